cimport cython

cdef dict KINDS
cdef list SIZES

cpdef int kind_of(bytes name)
cpdef bint is_valid_host(bytes host)
cpdef bytes status_line(int status)
@cython.locals(size=Py_ssize_t, line=bytes)
cpdef bytes chunk(bytes data)
