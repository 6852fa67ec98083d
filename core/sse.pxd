cimport cython
from core.splice cimport scan
from core.stream_scan cimport StreamScan

@cython.final
cdef class Marks:
    cdef readonly bytes needle
    cdef readonly tuple keys
    cdef readonly dict names
    cdef readonly bint every


cdef class EventScan(StreamScan):
    # Set by the owner.
    cdef public bint strip_usage
    # What was read in passing.
    cdef readonly bytes usage
    cdef readonly list usages
    # Between two reads.
    cdef Py_ssize_t _limit
    cdef Marks _marks
    cdef bytes _needle
    cdef bytearray _held
    cdef Py_ssize_t _at
    cdef Py_ssize_t _line
    cdef bint _data
    cdef bint _look
    cdef int _name
    cdef bint _cr
    cdef bint _dropped
    cdef list _drops

    @cython.locals(cut=Py_ssize_t, out=bytes)
    cpdef bytes feed(self, bytes chunk)
    @cython.locals(tail=bytes, dropped=bint)
    cpdef bytes flush(self)

    @cython.locals(
        at=Py_ssize_t, line=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, data=bint, look=bint, found=int,
        char="unsigned char", needle="const unsigned char*", length=Py_ssize_t, first="unsigned char"
    )
    cdef Py_ssize_t _scan(self, const unsigned char* text, Py_ssize_t size) except -1
    @cython.locals(text=bytes, inner=bytes, spans=list)
    cdef bint _inspect(self, bytes event) except -1
    cdef bint _note(self, bytes text, list spans) except -1
    cdef bytes _without_drops(self, bytes out)

@cython.locals(end=Py_ssize_t, index=Py_ssize_t)
cdef int _key(
    const unsigned char* text, Py_ssize_t at, Py_ssize_t size, const unsigned char* name, Py_ssize_t length
) noexcept
cdef bint _is_event_line(const unsigned char* text, Py_ssize_t at, Py_ssize_t end) noexcept
cdef int _data_line(const unsigned char* text, Py_ssize_t at, Py_ssize_t end) noexcept
@cython.locals(at=Py_ssize_t)
cdef bint _is_content(bytes event) except -1
@cython.locals(text="const unsigned char*", end=Py_ssize_t, data=bytes)
cdef bytes _data_of(bytes event)
cdef bytes _part(bytes text, tuple span)
