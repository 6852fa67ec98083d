cimport cython

from plane.exchange cimport Downstream, Exchange
from plane.runtime cimport Consumer, Route, Runtime, Target

cdef dict RELAYED


@cython.locals(route=Route)
cpdef accept(Exchange exchange)
@cython.locals(secret=bytes)
cpdef accept_stream(Exchange exchange, bint is_event_stream)
cpdef accept_estimate(Exchange exchange, bytes reply)
cdef bytes error_lines(Exchange exchange)
cpdef accept_translated(Exchange exchange, bytes reply)
@cython.locals(lines=list, route=Route, target=Target, field=tuple)
cdef bytes fields_of(Exchange exchange)
@cython.locals(lines=list, runtime=Runtime, consumer=Consumer, route=Route)
cdef list own_fields(Exchange exchange)
@cython.locals(milliseconds="long long", seconds="long long")
cpdef bytes duration_text(long long span)
cpdef refuse(Exchange exchange, object error)
@cython.locals(downstream=Downstream)
cpdef send(Exchange exchange)
