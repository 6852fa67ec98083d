from plane.exchange cimport Exchange
from plane.runtime cimport Target
from plane.usage cimport Usage


cdef class Dialect:
    cdef public dict translators

    cpdef read(self, Exchange exchange)
    cpdef bytes write(self, Exchange exchange, Target target)
    cpdef scan(self, Exchange exchange)
    cpdef Usage usage(self, Exchange exchange)
    cpdef bytes error(self, object error)
    cpdef bytes error_event(self, object error)
