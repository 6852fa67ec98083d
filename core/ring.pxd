cimport cython
from libc.stdint cimport uint64_t


@cython.final
cdef class Ring:
    cdef Py_buffer view
    cdef uint64_t *words
    cdef unsigned char *bytes
    cdef readonly Py_ssize_t room

    cdef void copy_in(self, uint64_t position, const unsigned char *data, Py_ssize_t length) noexcept
    cdef void copy_out(self, uint64_t position, unsigned char *data, Py_ssize_t length) noexcept
    cdef uint64_t next(self, uint64_t position) noexcept

    cpdef long long next_number(self) except -1
    cpdef bint push(self, bytes body) except -1
    cpdef bytes peek(self, Py_ssize_t limit)
    cpdef int free(self, long long position) except -1
