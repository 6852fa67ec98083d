cimport cython

from plane.exchange cimport Exchange
from plane.http1.framing cimport kind_of
from plane.metrics cimport Metrics
from plane.timers cimport Timed, Timers

cdef int CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, FAILED, HOP, OPENED, SLASH, TRANSFER_ENCODING
cdef long long DRAIN_TIME, HIGH_WATER, MAX_ANSWER_FIELDS, MAX_ANSWER_HEAD, MAX_DRAINED, MAX_HELD, MAX_INFORMATIONAL, SECOND, SMALL


@cython.final
cdef class Pool:
    cdef public object origin
    cdef readonly object loop
    cdef Timers timers
    cdef Metrics metrics
    cdef object dial
    cdef public object ssl_context
    cdef public list idle
    cdef public object waiters
    cdef public int limit
    cdef public int size
    cdef public int dialling
    cdef public long long max_idle_time
    cdef public long long max_age
    cdef bint closed
    cdef set dials

    @cython.locals(connection=UpstreamConnection)
    cpdef UpstreamConnection take(self)
    @cython.locals(now='long long')
    cpdef release(self, UpstreamConnection connection)
    cpdef dialled(self, UpstreamConnection connection)
    cpdef discard(self, UpstreamConnection connection)
    cpdef close_idle(self)
    cdef dial_if_wanted(self)


cdef class UpstreamConnection(Timed):
    cdef public Pool pool
    cdef object transport
    cdef object parser
    cdef Exchange exchange
    cdef public bint reused
    cdef public long long born

    # the call under way
    cdef long long first_token
    cdef long long idle_time
    cdef long long total_due
    cdef long long call_due
    cdef long long first_due
    cdef bint replayable
    cdef bint is_head
    cdef bint any_byte
    cdef bint says_11
    cdef bint complete
    cdef bint until_close
    cdef bint informational
    cdef int informationals
    cdef int fields
    cdef long long head_bytes
    cdef long long field_bytes
    cdef long long drained
    cdef int lengths
    cdef bytes connection_options
    cdef bytes transfer_encoding
    cdef bint paused
    cdef bint draining
    cdef bint reusable
    cdef readonly bint full
    cdef public bint unsent
    cdef bint lost
    cdef bint closing
    cdef bint counted
    cdef long long keep_alive_time

    # what the parser calls
    @cython.locals(exchange=Exchange)
    cpdef on_message_begin(self)
    @cython.locals(exchange=Exchange, kind=int)
    cpdef on_header(self, bytes name, bytes value)
    @cython.locals(exchange=Exchange, status=int, version=str)
    cpdef on_headers_complete(self)
    @cython.locals(exchange=Exchange)
    cpdef on_body(self, bytes body)
    cpdef on_message_complete(self)

    @cython.locals(now='long long')
    cpdef call(self, Exchange exchange, bytes head, bytes body, object timeouts, bint replayable)
    cpdef send_more(self, bytes data, bint last)
    cpdef bint is_usable(self)
    cpdef pause(self)
    cpdef unpause(self)
    cpdef detach(self, bint drain)
    cpdef close(self)
    @cython.locals(exchange=Exchange)
    cdef done(self)
    cdef fail(self, int status, str code, str message, bint retry)
    cpdef await_content(self)
    cpdef begun(self)
    cdef long long until(self, long long now, long long span)


cpdef bint is_event_stream(bytes content_type)
cpdef bint is_stream(bytes content_type)
