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
    cdef public long long cache_write
    cdef public long long audio_in
    cdef public long long audio_out
    cdef public long long image_in
    cdef public long long image_out
    cdef public long long units
    cdef public long long milliseconds
    cdef public long long server_tools
    cdef public long long estimated
    cdef public long long cost_nano
    cdef public long long unpriced


@cython.final
cdef class ConsumerRow:
    cdef public long long requests
    cdef public long long failed
    cdef public long long input
    cdef public long long output
    cdef public long long cost_nano


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


cdef add_detail(CallRow row, object detail)
