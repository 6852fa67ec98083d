cimport cython


cdef class Endpoint:
    cdef public str name
    cdef public int weight
    cdef public int in_flight
    cdef public long long current


@cython.locals(endpoint=Endpoint)
cpdef list serving(list endpoints)
