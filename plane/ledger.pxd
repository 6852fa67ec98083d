cimport cython

from core.ring cimport Ring


@cython.final
cdef class Ledger:
    cdef public int worker
    cdef public str boot
    cdef public long long memory
    cdef public long long dropped
    cdef public long long kept
    cdef public Ring ring
    cdef public object spill
    cdef public bint disk_full
    cdef public object waiting
    cdef public long long waiting_size
    cdef public long long number
    cdef public Py_ssize_t unanswered
    cdef long long first_id
    cdef long long position
    cdef long long ids
    cdef bytes prefix

    cpdef long long next_event_id(self)
    cpdef bytes next_id(self)
    @cython.locals(body=bytes)
    cpdef append(self, object event)
    cpdef overflow(self, bytes body)
    @cython.locals(records=bytes)
    cpdef make_room(self)
    @cython.locals(ring=Ring)
    cpdef long long backlog(self)
    @cython.locals(records=bytes)
    cpdef bytes batch(self)
    cpdef taken(self, long long number)
    cpdef close(self)
    cpdef give_up(self)
