cimport cython

# For callers.
@cython.locals(
    text="const unsigned char*", size=Py_ssize_t, at=Py_ssize_t, key=Py_ssize_t, start=Py_ssize_t, found=Py_ssize_t,
    spans=list
)
cpdef list scan(bytes body, tuple wanted)
@cython.locals(
    text="const unsigned char*", size=Py_ssize_t, at=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, length=Py_ssize_t
)
cpdef tuple last_member(bytes body, bytes key)
@cython.locals(
    text="const unsigned char*", name="const unsigned char*", length=Py_ssize_t, at=Py_ssize_t, same=Py_ssize_t
)
cpdef Py_ssize_t last_key(bytes body, bytes key, Py_ssize_t start, Py_ssize_t end) except -2
@cython.locals(text="const unsigned char*", start=Py_ssize_t, end=Py_ssize_t)
cpdef bytes replace(bytes body, tuple span, bytes new)
@cython.locals(text="const unsigned char*", end=Py_ssize_t, last=Py_ssize_t, comma=bytes)
cpdef bytes insert_member(bytes body, bytes member)

# One step each: offset in, offset out.
@cython.locals(text="const unsigned char*", start=Py_ssize_t, depth=Py_ssize_t, char="unsigned char")
cdef Py_ssize_t _value(bytes body, Py_ssize_t at, Py_ssize_t size) except -1
@cython.locals(text="const unsigned char*", depth=Py_ssize_t, char="unsigned char")
cdef Py_ssize_t _closing(bytes body, Py_ssize_t at, Py_ssize_t size) except? -1000000
@cython.locals(text="const unsigned char*", near=Py_ssize_t, quote=Py_ssize_t, run=Py_ssize_t, char="unsigned char")
cdef Py_ssize_t _string(bytes body, Py_ssize_t at, Py_ssize_t size) except -1
@cython.locals(char="unsigned char")
cdef Py_ssize_t _space(const unsigned char* text, Py_ssize_t at, Py_ssize_t size) noexcept
@cython.locals(length=Py_ssize_t, index=Py_ssize_t, at=Py_ssize_t, key=bytes)
cdef Py_ssize_t _find(const unsigned char* text, Py_ssize_t start, Py_ssize_t end, tuple wanted) except -2
cdef Py_ssize_t _find_escaped(bytes token, tuple wanted) except -2
cdef int _finish(const unsigned char* text, Py_ssize_t at, Py_ssize_t size) except -1
