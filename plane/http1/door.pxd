cimport cython

from plane.http1.framing cimport is_valid_host
from plane.metrics cimport Metrics
from plane.overload cimport Gauge
from plane.timers cimport Timers

cdef long long MAX_HOSTS, SECOND


@cython.final
cdef class Door:
    cdef public object live
    cdef public object serve
    cdef public object drained
    cdef public Timers timers
    cdef public Metrics metrics
    cdef public Gauge gauge
    cdef public str name
    cdef public int accepted
    cdef public set connections
    cdef set hosts
    cdef public bint draining
    cdef public bytes date
    cdef public long long max_head_time
    cdef public long long max_idle_time
    cdef public long long max_stall_time
    cdef public long long body_grace
    cdef public long long body_rate
    cdef public long long linger_time
    cdef public long long drain_time

    cpdef bint is_known_host(self, bytes host) except -1
    cpdef long long idle_time(self)
