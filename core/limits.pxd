cimport cython
from libc.stdint cimport int64_t
from core.cells cimport Cells


@cython.final
cdef class RateLimit:
    cdef readonly Cells cells
    cdef readonly Py_ssize_t row
    cdef readonly long long limit
    # Nanoseconds: the time one request takes up, and the time the whole burst does.
    cdef readonly long long interval
    cdef readonly long long depth

    @cython.locals(tat=cython.longlong, after=cython.longlong)
    cpdef int64_t take(self, long long now_ns) except? -2
    @cython.locals(refund=cython.longlong)
    cpdef give_back(self, long long taken_ns, long long now_ns)
    @cython.locals(ahead=cython.longlong)
    cpdef int64_t remaining(self, long long now_ns) except? -2
    @cython.locals(ahead=cython.longlong)
    cpdef int64_t reset_ns(self, long long now_ns) except? -2
    @cython.locals(wait=cython.longlong)
    cpdef int64_t retry_after_ns(self, long long now_ns) except? -2


@cython.final
cdef class ConcurrencyLimit:
    cdef readonly Cells cells
    cdef readonly Py_ssize_t row
    cdef readonly Py_ssize_t worker
    cdef readonly long long limit

    cpdef int64_t take(self) except? -2
    cpdef release(self)
