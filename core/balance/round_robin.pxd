cimport cython
from core.endpoint cimport serving


@cython.final
cdef class RoundRobin:
    cdef Py_ssize_t _turn

    @cython.locals(ready=list, start=Py_ssize_t)
    cpdef list order(self, list endpoints)
