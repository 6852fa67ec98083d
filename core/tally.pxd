cimport cython

cdef tuple BOUNDS


@cython.final
cdef class CallRow:
    cdef public dict statuses
    cdef public list latency
    cdef public long long latency_sum
    cdef public list first
    cdef public long long first_sum
    cdef public long long attempts
    cdef public long long bytes_in
    cdef public long long bytes_out
    cdef public long long input
    cdef public long long output
    cdef public long long cache_read
    cdef public long long reasoning
    cdef public long long unknown


@cython.final
cdef class ConsumerRow:
    cdef public long long requests
    cdef public long long failed
    cdef public long long input
    cdef public long long output


@cython.final
cdef class Tally:
    cdef public dict calls
    cdef public dict consumers
    cdef public dict errors
    cdef public dict limited
    cdef public long long events
    cdef Py_ssize_t call_rows
    cdef Py_ssize_t consumer_rows

    @cython.locals(key=tuple, row=CallRow, consumer=ConsumerRow, status=int, used="long long", latency="long long", first="long long")
    cpdef add(self, object event)
