cimport cython

from plane.exchange cimport Exchange
from plane.http1.framing cimport kind_of
from plane.runtime cimport Candidate, Route, Target
from plane.way cimport Way

cdef int API_KEY, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOP, HOST, TRANSFER_ENCODING


cpdef tuple head_of(Exchange exchange, Candidate candidate)
@cython.locals(route=Route, way=Way, lines=list, field=tuple, body=bytes, heads=tuple, forwarded=dict)
cdef tuple to_target(Exchange exchange, Target target)
@cython.locals(route=Route, way=Way, lines=list, field=tuple, body=bytes)
cdef tuple to_home(Exchange exchange, Target target)
cdef list missing_fields(Exchange exchange, Way way)
cdef bytes signature(Exchange exchange, Target target, Way way, bytes body)
@cython.locals(route=Route, lines=list, field=tuple, kind=int, lowered=bytes, proto=bytes, body=bytes)
cdef tuple to_endpoint(Exchange exchange, Candidate endpoint)
cdef connection_options(Exchange exchange)
