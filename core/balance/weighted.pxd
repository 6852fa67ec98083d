cimport cython
from core.endpoint cimport Endpoint, serving


@cython.final
cdef class Weighted:
    @cython.locals(ready=list, endpoint=Endpoint, total="long long")
    cpdef list order(self, list endpoints)


cpdef long long _current(Endpoint endpoint) except? -1
