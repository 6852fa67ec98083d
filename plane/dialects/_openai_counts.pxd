cimport cython

from plane.usage cimport Usage

cdef long long LIMIT
cdef int PROMPT, COMPLETION, TOTAL, INPUT, OUTPUT, CACHE_HIT, CACHED, SEARCHES, AUDIO_SECONDS
cdef int IN_CACHED, IN_WRITTEN, IN_AUDIO, IN_IMAGE, OUT_REASONING, OUT_AUDIO, OUT_IMAGE
cdef Py_ssize_t MAX_DIGITS
cdef tuple COUNTS, INPUTS, INPUT_PARTS, NO_COUNTS, OUTPUTS, OUTPUT_PARTS


@cython.final
cdef class Counts:
    cdef long long said[16]
    cdef unsigned int seen
    cdef bint has_input
    cdef bint has_output
    cdef object decoded

    @cython.locals(
        said="long long *", is_chat=bint, taken="long long", given="long long", total="long long",
        reasoning="long long", usage=Usage
    )
    cdef Usage usage(self, bint reasoning_counted)
    cdef bint is_silent(self) noexcept
    cdef take(self, object counted)
    cdef put(self, int which, object count)
    cdef bint read(self, const unsigned char* text, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(key=Py_ssize_t, size=Py_ssize_t, which=int)
    cdef Py_ssize_t members(
        self, const unsigned char* text, Py_ssize_t at, Py_ssize_t end, tuple keys, int first
    ) except -2
    cdef Py_ssize_t parts(
        self, const unsigned char* text, Py_ssize_t key, Py_ssize_t size, Py_ssize_t at, Py_ssize_t end
    ) except -2
    @cython.locals(start=Py_ssize_t, number="long long")
    cdef Py_ssize_t count(self, const unsigned char* text, Py_ssize_t at, Py_ssize_t end, int which) except -2


@cython.locals(start=Py_ssize_t)
cdef Py_ssize_t plain(const unsigned char* text, Py_ssize_t at, Py_ssize_t end) noexcept
@cython.locals(index=Py_ssize_t, offset=Py_ssize_t, key=bytes)
cdef Py_ssize_t index_of(const unsigned char* text, Py_ssize_t at, Py_ssize_t size, tuple keys) except -2
cdef Py_ssize_t space(const unsigned char* text, Py_ssize_t at, Py_ssize_t end) noexcept
cdef bint is_space(unsigned char char) noexcept
cdef bint is_digit(unsigned char char) noexcept
cdef bint is_end(unsigned char char) noexcept
