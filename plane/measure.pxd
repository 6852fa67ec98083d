cimport cython

from plane.exchange cimport Exchange
from plane.metrics cimport Metrics
from plane.runtime cimport Route

cdef int BODY, CONNECTION, GATEWAY, LOCAL, OTHER, RELAY, UPSTREAM
cdef dict UNROUTED


@cython.locals(metrics=Metrics, end='long long')
cpdef measure_phases(Exchange exchange, long long now)
@cython.locals(metrics=Metrics)
cpdef count_unrecorded(Exchange exchange)
