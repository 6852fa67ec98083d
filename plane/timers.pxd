cimport cython


cdef class Timed:
    cdef public long long due


@cython.final
cdef class Timers:
    cdef set items

    cpdef add(self, Timed item)
    cpdef discard(self, Timed item)
    @cython.locals(item=Timed, expired=list)
    cpdef run(self, long long now)
