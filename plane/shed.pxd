cimport cython

from plane.exchange cimport Exchange
from plane.overload cimport Gauge, Tally
from plane.runtime cimport Route

cdef int GROWTH, NO_BYTES, NO_ROOM, NO_SHARE


@cython.locals(refused=int, route=Route, gauge=Gauge, size="long long", to_hold="long long")
cpdef shed(Exchange exchange)
cpdef join(Exchange exchange, Tally tally)
cpdef bint check_growth(Exchange exchange) except -1
cdef overloaded(Exchange exchange, int reason)
