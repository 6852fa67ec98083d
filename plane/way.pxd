cimport cython

from plane.dialect cimport Dialect


@cython.final
cdef class Way:
    cdef public Dialect dialect
    cdef public object operation
    cdef public str name
    cdef public bint translates
    cdef public object options
    cdef public bint signs
    cdef public list fields
    cdef public dict forwarded
