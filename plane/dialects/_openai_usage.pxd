cimport cython

from plane.dialects._openai_counts cimport Counts
from plane.usage cimport Usage


@cython.locals(counts=Counts, usage=Usage)
cpdef Usage usage_of(object counted, bint reasoning_counted=*, str service_tier=*)
@cython.locals(counts=Counts)
cpdef Counts counts_at(bytes text, Py_ssize_t start, Py_ssize_t end)
