cimport cython

cdef dict KINDS

cpdef int kind_of(bytes name)
cpdef bint is_valid_host(bytes host)
cpdef bytes status_line(int status)
