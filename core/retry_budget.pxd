cimport cython


@cython.final
cdef class RetryBudget:
    cdef object __weakref__
    cdef public int percent
    cdef public long long asked
    cdef public long long seen
    cdef public long long time
    cdef public long long saved

    @cython.locals(since='long long')
    cpdef bint take(self, long long now)
    cpdef give_back(self)
