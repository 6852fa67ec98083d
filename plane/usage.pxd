cimport cython


@cython.final
cdef class Usage:
    cdef public long long input_total
    cdef public long long output_total
    cdef public long long cache_read
    cdef public long long reasoning
    cdef public long long cache_write_5m
    cdef public long long cache_write_1h
    cdef public long long audio_in
    cdef public long long audio_out
    cdef public long long image_in
    cdef public long long image_out
    cdef public long long tool_use_prompt
    cdef public long long server_tools
    cdef public long long units
    cdef public long long milliseconds
    cdef public str service_tier
    cdef public bint estimated
