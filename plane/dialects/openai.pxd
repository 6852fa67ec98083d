cimport cython

from core.splice cimport last_key, last_member, replace, scan
from plane.dialect cimport Dialect
from plane.dialects._openai_counts cimport Counts
from plane.dialects._openai_usage cimport counts_at
from plane.exchange cimport Exchange
from plane.runtime cimport Route, Target
from plane.usage cimport Usage


cdef class OpenAI(Dialect):
    cdef readonly object can
    cdef object asked

    @cython.locals(body=bytes, spans=list, options=tuple, text=bytes, switched=bytes)
    cpdef read(self, Exchange exchange)
    @cython.locals(body=bytes, spans=list, options=tuple, name=tuple)
    cpdef bytes write(self, Exchange exchange, Target target)
    cpdef scan(self, Exchange exchange)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, counts=Counts, usage=Usage, tier=bytes, spans=list, said=bytes)
    cpdef Usage usage(self, Exchange exchange)
    cpdef bytes error(self, object error)
    cpdef bytes error_event(self, object error)


cdef bytes with_usage(bytes options)
@cython.locals(at=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t)
cdef bytes tier_of(bytes reply, Py_ssize_t after)
@cython.locals(field=tuple)
cdef long long cached_by_field(list headers)
