cimport cython


@cython.final
cdef class BreakerRule:
    cdef public int share
    cdef public int calls
    cdef public long long slot
    cdef public int row
    cdef public long long pause


@cython.final
cdef class Breaker:
    cdef public BreakerRule rule
    cdef public int state
    cdef public long long until
    cdef public int times
    cdef public int failed_in_row
    cdef public list calls
    cdef public list failures
    cdef public long long at

    cpdef begin(self, long long now)
    cpdef obey(self, BreakerRule rule)
    cpdef bint is_shut(self, long long now)
    cpdef int enter(self, long long now) except -1
    cpdef bint leave(self, long long now, bint failed, bint probing, bint may_open) except -1
    cpdef lose(self, bint probing)
    @cython.locals(pause='long long')
    cdef bint move(self, long long now, int event) except -1
    @cython.locals(at='long long', passed='long long')
    cdef count(self, long long now, bint failed)
    @cython.locals(rule=BreakerRule, calls='long long')
    cdef bint is_too_much(self, bint may_open) except -1
