cimport cython

from core.stream_scan cimport StreamScan
from plane.exchange cimport Exchange
from plane.http1.client cimport Pool, UpstreamConnection, is_stream
from plane.request cimport head_of
from plane.retries cimport RetryRule
from plane.runtime cimport Candidate, Target

cdef int CONNECT, ELSEWHERE, MAX_BYTES, MAX_EVENTS, REFUSAL, RESET


@cython.locals(pool=Pool)
cpdef UpstreamConnection enter(Exchange exchange, Candidate candidate)
@cython.locals(rule=RetryRule, replayable=bint, head=bytes, body=bytes)
cpdef send(Exchange exchange, Candidate candidate, UpstreamConnection connection)
cpdef bint arrive(Exchange exchange) except -1
cdef bint may_fail_unseen(Exchange exchange) except -1
cdef hold(Exchange exchange)
@cython.locals(rule=RetryRule)
cpdef bint is_judged(Exchange exchange) except -1
@cython.locals(scan=StreamScan, data=bytes)
cdef bint gather(Exchange exchange) except -1
@cython.locals(candidate=Candidate, connection=UpstreamConnection)
cpdef leave(Exchange exchange)
