cimport cython
from core.splice cimport scan

@cython.final
cdef class EventScan:
    # Set by the owner.
    cdef public bint strip_usage
    # What was read in passing.
    cdef readonly bytes usage
    cdef readonly bint done
    cdef readonly bint error
    cdef readonly long long events
    # Between two reads.
    cdef Py_ssize_t _limit
    cdef bytearray _held
    cdef Py_ssize_t _at
    cdef Py_ssize_t _line
    cdef bint _data
    cdef bint _look
    cdef bint _cr
    cdef bint _dropped
    cdef list _drops

    @cython.locals(cut=Py_ssize_t, out=bytes)
    cpdef bytes feed(self, bytes chunk)
    @cython.locals(tail=bytes, dropped=bint)
    cpdef bytes flush(self)

    @cython.locals(
        at=Py_ssize_t, line=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, data=bint, look=bint, found=int,
        char="unsigned char"
    )
    cdef Py_ssize_t _scan(self, const unsigned char* text, Py_ssize_t size) except -1
    @cython.locals(text=bytes, spans=list)
    cdef bint _inspect(self, bytes event) except -1
    cdef bytes _without_drops(self, bytes out)

@cython.locals(end=Py_ssize_t, index=Py_ssize_t, name="const unsigned char*")
cdef int _key(const unsigned char* text, Py_ssize_t at, Py_ssize_t size) noexcept
cdef int _data_line(const unsigned char* text, Py_ssize_t at, Py_ssize_t end) noexcept
cdef bytes _part(bytes text, tuple span)
