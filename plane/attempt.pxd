cimport cython

from plane.exchange cimport Exchange
from plane.http1.client cimport Pool, UpstreamConnection
from plane.request cimport head_of
from plane.runtime cimport Candidate, Target


@cython.locals(pool=Pool)
cpdef UpstreamConnection enter(Exchange exchange, Candidate candidate)
@cython.locals(replayable=bint, head=bytes, body=bytes)
cpdef send(Exchange exchange, Candidate candidate, UpstreamConnection connection)
cpdef bint is_answered(Exchange exchange)
cpdef bint may_retry(Exchange exchange, object error)
@cython.locals(candidate=Candidate, connection=UpstreamConnection)
cpdef leave(Exchange exchange)
