cimport cython

cdef long long MOST


@cython.final
cdef class Schedule:
    cdef readonly long long above
    cdef readonly long long safe
    cdef readonly long long safe_pieces
    cdef readonly bint by_tokens
    cdef readonly bint by_hour
    cdef readonly bint by_unit
    cdef readonly bint by_request
    cdef readonly tuple numerators
    cdef long long input
    cdef long long output
    cdef long long cache_read
    cdef long long cache_write_5m
    cdef long long cache_write_1h
    cdef long long audio_in
    cdef long long audio_out
    cdef long long image_in
    cdef long long image_out
    cdef long long reasoning
    cdef long long milliseconds
    cdef long long units
    cdef long long server_tools
    cdef long long requests


@cython.final
cdef class Price:
    cdef readonly str source
    cdef readonly bint is_timed
    cdef list plain
    cdef list variants
    cdef dict by_tier
    cdef list by_hour

    @cython.locals(row=Schedule, other=Schedule, rows=list)
    cpdef Schedule schedule(self, str tier, long long minute, long long input_total)
    @cython.locals(row=Schedule, told=bint, twice="long long", images="long long", total="long long", pieces="long long")
    cpdef object cost(
        self,
        str tier,
        long long minute,
        long long input_total,
        long long output_total,
        long long cache_read,
        long long cache_write_5m,
        long long cache_write_1h,
        long long audio_in,
        long long audio_out,
        long long image_in,
        long long image_out,
        long long reasoning,
        long long milliseconds,
        long long units,
        long long server_tools,
    )
    cdef list of_picture(self, str tier)
