cimport cython

from plane.exchange cimport Downstream, Exchange
from plane.head cimport over_bounds, take_absolute, take_field, take_url, wrong_target
from plane.http1.door cimport Door
from plane.http1.framing cimport chunk, status_line
from plane.shed cimport check_growth

cdef int CONNECTION, HOST, TRANSFER_ENCODING
cdef long long MAX_AHEAD, MAX_FIELDS, MAX_HEAD, MAX_PARTS, MAX_URL, MAX_WAITING, REST_TIME, SECOND, SPACE


cdef class Connection(Downstream):
    cdef Door door
    cdef object transport
    cdef object send
    cdef object parser
    cdef bytes peer

    # reading
    cdef Exchange incoming
    cdef list waiting
    cdef long long head_bytes
    cdef long long head_fed
    cdef int fields
    cdef int hosts
    cdef bytes transfer_encoding
    cdef int begun
    cdef bint in_head
    cdef bint says_connection
    cdef bint broken
    cdef bint paused
    cdef long long ahead
    cdef long long body_started
    cdef long long body_seen
    cdef long long framing_fed
    cdef Py_ssize_t joined

    # serving
    cdef Exchange active
    cdef bint serving
    cdef bint chunked
    cdef bint is_head
    cdef bint closing
    cdef bint lingering
    cdef bint gone
    cdef long long unread

    # what the loop calls
    @cython.locals(active=Exchange, is_behind=bint)
    cpdef data_received(self, bytes data)
    @cython.locals(active=Exchange)
    cpdef resume_writing(self)
    cdef release(self)
    cdef rest(self, long long now)
    cpdef hurry(self, long long latest)
    cdef leave(self)

    # what the parser calls
    cpdef on_message_begin(self)
    cpdef on_url(self, bytes url)
    @cython.locals(kind=int, size=Py_ssize_t)
    cpdef on_header(self, bytes name, bytes value)
    @cython.locals(exchange=Exchange)
    cpdef on_headers_complete(self)
    @cython.locals(exchange=Exchange)
    cpdef on_body(self, bytes body)
    @cython.locals(exchange=Exchange, has_body=bint)
    cpdef on_message_complete(self)

    # as Timed and Downstream
    cpdef want_body(self, Exchange exchange, long long limit)
    @cython.locals(exchange=Exchange)
    cpdef answer(self, int status, bytes fields, bytes body)
    cpdef start(self, int status, bytes fields, long long length)
    cpdef write(self, bytes data)
    cpdef finish(self, bytes data)
    cpdef abort(self)
    cpdef ended(self, Exchange exchange)

    # reading
    @cython.locals(fed=Py_ssize_t, was_reading=bint, is_alone=bint)
    cdef feed(self, bytes data)
    cdef read_on(self, Exchange exchange)
    cdef check_bounds(self, long long fed)
    @cython.locals(parts=list)
    cdef check_body(self, long long fed, Exchange exchange)
    cdef long long body_due(self) except -1
    @cython.locals(exchange=Exchange)
    cdef refuse(self, int status, str code, str message)
    @cython.locals(version=str)
    cdef check_head(self, Exchange exchange)
    cdef wrong_head(self, Exchange exchange, str version)

    # serving
    @cython.locals(exchange=Exchange)
    cdef serve_next(self)
    cdef settle_reading(self)
    cdef read_again(self)
    @cython.locals(exchange=Exchange, end=bytes)
    cdef bytes head(self, int status, bytes fields, long long length)
    cdef finished(self)
    cdef close(self)
    cdef long long last_due(self) except -1
    cdef drop(self)
    @cython.locals(exchange=Exchange)
    cpdef bint cut(self, object fault) except -1
