cimport cython

cdef dict KINDS

@cython.locals(kind=object)
cpdef int kind_of(bytes name)
cpdef bint is_valid_host(bytes host)
cpdef bytes status_line(int status)
