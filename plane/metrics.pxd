cimport cython

cdef int BUCKETS, MAX_SLOTS, SLOTS


@cython.final
cdef class Metrics:
    cdef long long counts[512]
    cdef long long told[512]
    cdef bint is_gauge[512]
    cdef long long bounds[32]

    cpdef void add(self, int slot, long long by) noexcept
    cpdef void set(self, int slot, long long value) noexcept
    @cython.locals(bucket=int)
    cpdef void observe(self, int slot, long long microseconds) noexcept
    cpdef long long count(self, int slot)
    @cython.locals(slot=int)
    cpdef list take(self)
