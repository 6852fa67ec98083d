cimport cython


@cython.final
cdef class Ledger:
    cdef public int worker
    cdef public str boot
    cdef public long long limit
    cdef public long long dropped
    cdef long long sequence
    cdef long long ids
    cdef list events
    cdef bytes prefix

    cpdef long long next_sequence(self)
    cpdef bytes next_id(self)
    cpdef append(self, object event)
    cpdef list take(self)
    cpdef put_back(self, list events)
