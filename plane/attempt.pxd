cimport cython

from plane.exchange cimport Exchange
from plane.http1.client cimport Pool, UpstreamConnection
from plane.request cimport head_of
from plane.retries cimport RetryRule
from plane.runtime cimport Candidate, Target

cdef int CONNECT, RESET


@cython.locals(pool=Pool)
cpdef UpstreamConnection enter(Exchange exchange, Candidate candidate)
@cython.locals(rule=RetryRule, replayable=bint, head=bytes, body=bytes)
cpdef send(Exchange exchange, Candidate candidate, UpstreamConnection connection)
cpdef bint is_answered(Exchange exchange)
@cython.locals(candidate=Candidate, connection=UpstreamConnection)
cpdef leave(Exchange exchange)
