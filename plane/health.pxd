cimport cython

from core.breaker cimport Breaker, BreakerRule

cdef long long COOLING, MAX_COOLING, MAX_QUARANTINE, PROBE_GRACE, QUARANTINE
cdef int LEAST_SHARE


@cython.final
cdef class HealthRule:
    cdef public BreakerRule breaker
    cdef public int max_ejected
    cdef public long long slow_start


@cython.final
cdef class Standing:
    cdef object __weakref__
    cdef public long long until
    cdef public int times


@cython.final
cdef class Health:
    cdef object __weakref__
    cdef public Standing standing
    cdef public HealthRule rule
    cdef public Breaker breaker
    cdef public list group
    cdef public bint down
    cdef public long long cool_until
    cdef public int cools
    cdef public long long slow_from
    cdef public int credit

    cpdef obey(self, HealthRule rule, list group)
    cpdef str reason(self, long long now)
    @cython.locals(at='long long')
    cpdef long long opens_at(self, long long now)
    cpdef bint is_open(self, long long now)
    cpdef int enter(self, long long now) except -1
    cpdef int leave(self, long long now, int failure, long long wait, bint probing) except -1
    @cython.locals(breaker=Breaker, opened=bint)
    cdef bint judge(self, long long now, bint failed, bint probing) except -1
    @cython.locals(other=Health, out=int)
    cdef bint may_eject(self) except -1
    cdef cool(self, long long now, long long wait)
    @cython.locals(standing=Standing)
    cdef bint quarantine(self, long long now) except -1
    cpdef probed(self, long long now, bint down)
    cpdef begin_slowly(self, long long now)
    @cython.locals(length='long long')
    cpdef bint is_slow(self, long long now)
    @cython.locals(breaker=Breaker)
    cpdef int state(self, long long now)
