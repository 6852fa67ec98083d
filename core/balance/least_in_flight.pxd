cimport cython
from core.endpoint cimport Endpoint, serving


@cython.final
cdef class LeastInFlight:
    cdef Py_ssize_t _turn

    @cython.locals(ready=list, least=double, equal=Py_ssize_t, start=Py_ssize_t)
    cpdef list order(self, list endpoints)


cpdef double _load(Endpoint endpoint) except? -1
