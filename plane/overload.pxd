cimport cython

cdef int FULL, HIGH, LATE_TICKS
cdef long long MAX_LATE, MIN_ROOM


@cython.final
cdef class Tally:
    cdef public long long in_flight
    cdef public long long held
    cdef object __weakref__


@cython.final
cdef class Gauge:
    cdef public long long connections
    cdef public long long in_flight
    cdef public long long held
    cdef public long long max_connections
    cdef public long long max_in_flight
    cdef public long long max_held
    cdef readonly long long room
    cdef readonly Tally anonymous
    cdef readonly list on_full
    cdef long long high_connections
    cdef long long full_connections
    cdef long long high_in_flight
    cdef long long high_held
    cdef long long full_held
    cdef long long late_ticks

    cpdef opened(self)
    cpdef closed(self)
    cpdef bint has_place(self)
    cpdef int crowding(self)
    cpdef int enter(self, long long size)
    @cython.locals(before="long long")
    cpdef bint is_fair(self, Tally tally)
    cpdef bint is_over(self)
    cpdef tick(self, long long late)
    cdef make_room(self, long long room)


cdef long long mark(long long cap, long long percent) except -1
