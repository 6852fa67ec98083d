cimport cython


@cython.final
cdef class Usage:
    cdef public long long input_total
    cdef public long long output_total
    cdef public long long cache_read
    cdef public long long reasoning
