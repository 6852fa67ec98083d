cimport cython

from plane.usage cimport Usage

cdef long long LIMIT


cdef long long bounded(object count)
@cython.locals(is_chat=bint, taken="long long", given="long long", total="long long", reasoning="long long", cached="long long", usage=Usage)
cpdef Usage usage_of(object counted, bint reasoning_counted=*, str service_tier=*)
