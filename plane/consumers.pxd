cimport cython

from plane.runtime cimport Consumer


@cython.final
cdef class Consumers:
    cdef public object directory
    cdef public dict by_key
    cdef public dict by_name

    @cython.locals(consumer=Consumer)
    cpdef Consumer find(self, bytes digest)
    @cython.locals(consumer=Consumer)
    cdef Consumer meet(self, bytes digest)
    @cython.locals(consumer=Consumer)
    cpdef Consumer named(self, str name)
    @cython.locals(consumer=Consumer)
    cdef Consumer keep(self, str name, object config)


cdef Consumer made(str name, object config)
