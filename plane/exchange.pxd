cimport cython

from core.limits cimport ConcurrencyLimit
from plane.overload cimport Gauge, Tally
from plane.retries cimport RetryRule
from plane.timers cimport Timed


cdef class Downstream(Timed):
    cdef public bint full
    cdef public bint secure

    cpdef want_body(self, Exchange exchange, long long limit)
    cpdef hold_body(self)
    cpdef let_body(self)
    cpdef answer(self, int status, bytes fields, bytes body)
    cpdef start(self, int status, bytes fields, long long length)
    cpdef write(self, bytes data)
    cpdef finish(self, bytes data)
    cpdef abort(self)
    cpdef ended(self, Exchange exchange)


@cython.final
cdef class Exchange(Timed):
    # how it runs
    cdef object coroutine
    cdef bint running
    cdef bint awake
    cdef public Exception fault
    cdef object mover
    cdef public bint moved

    # door
    cdef public Downstream downstream
    cdef public object runtime
    cdef public long long started
    cdef public bytes method
    cdef public bytes url
    cdef public bytes path
    cdef public bytes query
    cdef public bytes host
    cdef public bytes peer
    cdef public bytes credential
    cdef public list headers
    cdef public bytes request_id
    cdef public long long content_length
    cdef public bint expects_continue
    cdef public bint keep_alive
    cdef public bint is_http10
    cdef public long long patience
    cdef public object trace
    cdef public bint tells_cost
    cdef public list body_parts
    cdef public long long body_size
    cdef public long long body_limit
    cdef public bint body_complete
    cdef public long long body_ns

    # match
    cdef public object route

    # identify
    cdef public object consumer

    # shed
    cdef readonly Gauge gauge
    cdef readonly Tally tally
    cdef readonly long long held

    # admit
    cdef public ConcurrencyLimit holding
    cdef public long long limit
    cdef public long long remaining
    cdef public long long reset_ns

    # decode
    cdef public bytes body
    cdef public str model_name
    cdef public object model
    cdef public object edits
    cdef public bint stream
    cdef public bint strip_usage
    cdef public dict pins
    cdef public object home
    cdef public bytes pinned_path
    cdef public bint keeps
    cdef public bint background
    cdef public object owed
    cdef public object upload

    # choose
    cdef public list candidates
    cdef public bytes affinity
    cdef public object timeouts
    cdef public RetryRule retries
    cdef public bint relay_at_once

    # call
    cdef public int tried
    cdef public int rounds
    cdef public long long pause
    cdef public bint probing
    cdef public bint reported
    cdef public int failure
    cdef public list visited
    cdef public list unfit
    cdef public bint is_held
    cdef public bytes early
    cdef public int attempts
    cdef public long long connection_ns
    cdef public long long asked
    cdef public object target
    cdef public object way
    cdef public object translation
    cdef public object answering
    cdef public object upstream
    cdef public int answer_status
    cdef public bytes answer_type
    cdef public list answer_headers
    cdef public long long answer_length
    cdef public list answer_parts
    cdef public long long answer_held
    cdef public bint answer_streams
    cdef public bint answer_stopped
    cdef public bint answer_head
    cdef public bint answer_ended
    cdef public long long first_byte

    # relay
    cdef public bint committed
    cdef public long long relayed
    cdef public bytes tail
    cdef public object scan
    cdef public object cleaner

    # settle
    cdef public object usage
    cdef public object cost
    cdef public str price

    # the answer, by answer.py
    cdef public int status
    cdef public str error
    cdef public bytes fields
    cdef public bytes reply

    cpdef begin(self, object coroutine)
    cpdef move_by(self, object mover)
    cpdef resume(self)
    cpdef interrupt(self, Exception fault)
    cpdef bytes take_answer(self)
    cpdef long long deadline(self, long long total)
    cpdef hold(self, long long size)
    cdef enter(self, Gauge gauge)
    cdef join(self, Tally tally)
    cdef leave_gauge(self)
    cdef bint is_squeezed(self) except -1
    cdef bint move(self) except -1
    cdef step(self)
