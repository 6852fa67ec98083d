cimport cython
from libc.stdint cimport uint64_t


# The kinds of row. Rates and concurrency start afresh on a new boot; money never does.
cpdef enum:
    RATE = 1
    CONCURRENCY = 2
    MONEY = 3


@cython.final
cdef class Cells:
    cdef Py_buffer view
    cdef uint64_t *words
    cdef uint64_t *columns
    cdef uint64_t slots
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t workers

    cdef int format(self) except -1
    cdef int forget(self) except -1
    cdef Py_ssize_t find(self, const uint64_t *key, uint64_t kind) except? -1
    cdef Py_ssize_t append(self, const uint64_t *key, uint64_t kind) except -1
    cdef uint64_t *cell(self, Py_ssize_t row) except NULL
    cdef uint64_t *column(self, Py_ssize_t row, Py_ssize_t worker) except NULL
    cdef bint settle(self, Py_ssize_t row) except -1

    # Every decision of a limit goes through one of these.
    cpdef int kind(self, Py_ssize_t row) except -1
    cpdef long long load(self, Py_ssize_t row) except? -1
    cpdef bint swap(self, Py_ssize_t row, long long old, long long new) except -1
    cpdef long long add(self, Py_ssize_t row, long long amount) except? -1
    cpdef long long enter(self, Py_ssize_t row, Py_ssize_t worker, long long limit) except? -1
    cpdef int leave(self, Py_ssize_t row, Py_ssize_t worker) except -1
