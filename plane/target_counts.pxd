cimport cython

cdef int COLUMNS


@cython.final
cdef class TargetCounts:
    cdef object __weakref__
    cdef public long long attempts
    cdef public long long ejections
    cdef long long failures[16]
    cdef list told

    cpdef void failed(self, int kind) noexcept
    @cython.locals(index=int, counts=list)
    cpdef list take(self)
