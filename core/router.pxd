cimport cython


cdef int _CLEAN
cdef int _SLASH
cdef int _ODD
cdef bytes _PLAIN
cdef bytes _HEX


# What is looked up, from the request to the entry.
@cython.final
cdef class Router:
    cdef Site _any
    cdef dict _sites
    cdef readonly list made

    @cython.locals(own=Site, entry=Entry, kind=int)
    cpdef object match(self, str method, bytes host, bytes path)
    @cython.locals(site=Site, entry=Entry)
    cpdef str pattern(self, str method, bytes host, bytes path)
    cdef Site _own(self, bytes host)


@cython.final
cdef class Site:
    cdef readonly dict exact
    cdef readonly Node root


@cython.final
cdef class Node:
    cdef readonly dict static
    cdef readonly Node param
    cdef readonly Leaf leaf
    cdef readonly Leaf wild


@cython.final
cdef class Leaf:
    cdef readonly dict methods
    cdef readonly Entry every


@cython.final
cdef class Entry:
    cdef readonly object value
    cdef readonly bytes pattern
    cdef readonly bint raw_path


# The search.
@cython.locals(leaf=Leaf)
cdef Entry _exact(Site site, str method, bytes path)
cdef Entry _serving(Leaf leaf, str method)
@cython.locals(end=Py_ssize_t, last=bint, entry=Entry, child=Node)
cdef Entry _walk(Node node, str method, bytes path, Py_ssize_t at)
cdef Entry _served(Node node, str method)
@cython.locals(end=Py_ssize_t, child=Node)
cdef _collect(Node node, bytes path, Py_ssize_t at, list leaves)
@cython.locals(text="const unsigned char*", size=Py_ssize_t)
cdef Py_ssize_t _segment_end(bytes path, Py_ssize_t at) except -1

# What is refused.
@cython.locals(
    text="const unsigned char*", plain="const unsigned char*", size=Py_ssize_t, kind=int, segment=Py_ssize_t,
    at=Py_ssize_t, char="unsigned char"
)
cdef int _check(bytes path) except -1
cdef bint _is_dots(const unsigned char* text, Py_ssize_t start, Py_ssize_t end) noexcept
@cython.locals(hex_digits="const unsigned char*", lower="unsigned char")
cdef int _escape(unsigned char high, unsigned char low) except -1
@cython.locals(before=list)
cdef bint _takes_slashes(Entry entry, bytes path) except -1

# Building.
cdef Site _site(list made)
@cython.locals(rest=bint, node=Node, child=Node, leaf=Leaf)
cdef Leaf _place(list made, Site site, bytes pattern)
cdef Node _node(list made)
cdef Leaf _leaf(list made)
cdef list _add(Leaf leaf, tuple methods, Entry entry)
