cdef class StreamScan:
    cdef public bint done
    cdef public bint error
    cdef public bint content
    cdef public long long events

    cpdef bytes feed(self, bytes chunk)
    cpdef bytes flush(self)
