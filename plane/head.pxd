cimport cython

from plane.exchange cimport Exchange
from plane.http1.framing cimport kind_of

cdef int API_KEY, AUTHORIZATION, CONTENT_LENGTH, EXPECT, EXPLAIN, HOST, PATIENCE, REQUEST_ID, TELL_COST
cdef int SLASH, SPACE
cdef long long MAX_FIELDS, MAX_HEAD, MAX_URL, MILLISECOND

@cython.locals(kind=int, credential=bytes)
cpdef int take_field(Exchange exchange, bytes name, bytes value) except -1
cdef take_wish(Exchange exchange, int kind, bytes value)
@cython.locals(cut=Py_ssize_t)
cpdef take_url(Exchange exchange, bytes url)
cpdef bint take_absolute(Exchange exchange) except -1
cpdef over_bounds(Exchange exchange, long long fields, long long size)
@cython.locals(url=bytes)
cpdef wrong_target(Exchange exchange)
