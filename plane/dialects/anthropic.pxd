cimport cython

from core.sse cimport EventScan
from plane.dialect cimport Dialect
from plane.exchange cimport Exchange
from plane.runtime cimport Route, Target
from plane.usage cimport Usage


cdef class Anthropic(Dialect):
    cdef bint bearer
    cdef object asked
    cdef object counted
    cdef object answered

    @cython.locals(body=bytes)
    cpdef read(self, Exchange exchange)
    cpdef bytes write(self, Exchange exchange, Target target)
    cpdef scan(self, Exchange exchange)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cpdef Usage usage(self, Exchange exchange)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, usage=Usage)
    cdef Usage streamed(self, EventScan events, bint ended)
    cpdef bytes error(self, object error)
    cpdef bytes error_event(self, object error)
