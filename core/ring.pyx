"""The ring of records that stands in a mapped file: what a worker has finished and nobody else has yet.

In 64-bit words of this machine's byte order, then `room` bytes:

    header  8 words: magic, format, room, number, head, tail, spilled, spill done
    bytes   records as in `core.records`, one behind the other; one that meets the end goes on at the start

`head` and `tail` are positions that only grow; a position stands at byte `position % room`. The records are those from
tail to head. One process at a time has a ring, and its owner holds a lock on the file; what must be survived is that
process's death at any instruction. So a record's bytes are written first and `head` is published last, and a reader that
comes after the death sees a whole record or none.

`number` is the last number given to an event: the generation of the ring (a Unix second, above all before it) and, in
its low `SEQUENCE_BITS`, a count. It is stored before the number is used, so that none is given twice.

`spilled` and `spill done` are kept for the file that takes the oldest records of a full ring: its length after the last
whole write, and how much of it is delivered.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from zlib import crc32

from core.records import LARGEST as LARGEST_BODY
from core.usage import SEQUENCE_BITS

__all__ = ["Ring", "ring_size"]

cdef extern from *:
    """
    static inline uint64_t hr_load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void hr_store(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    """
    uint64_t hr_load(const uint64_t *at) noexcept
    void hr_store(uint64_t *at, uint64_t value) noexcept

cdef enum:
    HEADER = 8
    FORMAT = 1
    MAGIC_AT = 0
    FORMAT_AT = 1
    ROOM_AT = 2
    NUMBER_AT = 3
    HEAD_AT = 4
    TAIL_AT = 5
    SPILLED_AT = 6
    SPILL_DONE_AT = 7
    # Bytes before a body: its length and its checksum.
    FRONT = 8

cdef uint64_t MAGIC = 0x31474E4952474848        # "HHGRING1" where bytes are little-endian
cdef uint64_t LARGEST = LARGEST_BODY
cdef int COUNT_BITS = SEQUENCE_BITS


def ring_size(room: int) -> int:
    """Return the bytes of a file whose ring has `room` bytes for records."""
    return 8 * HEADER + room


cdef class Ring:
    """The ring in `buffer`: writable, aligned to 8 bytes, kept exported while this lives. Zeros are an empty ring.

    ValueError: the buffer holds no ring of this format and size, or its positions cannot be.
    """

    def __cinit__(self, buffer: object) -> None:
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.words = <uint64_t *>self.view.buf
        self.room = self.view.len - 8 * HEADER
        if <size_t>self.words % 8 or self.room < FRONT + 1:
            raise ValueError("the buffer is too short or not aligned to 8 bytes")
        self.bytes = <unsigned char *>self.view.buf + 8 * HEADER
        if self.words[MAGIC_AT] == 0:
            self.words[FORMAT_AT] = FORMAT
            self.words[ROOM_AT] = <uint64_t>self.room
            memset(self.words + NUMBER_AT, 0, 8 * (HEADER - NUMBER_AT))
            hr_store(self.words + MAGIC_AT, MAGIC)
        if self.words[MAGIC_AT] != MAGIC:
            raise ValueError("the buffer does not hold a ring")
        if self.words[FORMAT_AT] != FORMAT:
            raise ValueError(f"the ring has format {self.words[FORMAT_AT]}; this build reads format {FORMAT}")
        if self.words[ROOM_AT] != <uint64_t>self.room:
            raise ValueError(f"the ring was made with {self.words[ROOM_AT]} bytes of room, not {self.room}")
        if (
            self.words[TAIL_AT] > self.words[HEAD_AT]
            or self.words[HEAD_AT] - self.words[TAIL_AT] > <uint64_t>self.room
            or self.words[HEAD_AT] >> 62
        ):
            raise ValueError("the ring's positions cannot be")

    def __dealloc__(self) -> None:
        PyBuffer_Release(&self.view)

    @property
    def head(self) -> int:
        """The position behind the newest record."""
        return hr_load(self.words + HEAD_AT)

    @property
    def tail(self) -> int:
        """The position of the oldest record."""
        return hr_load(self.words + TAIL_AT)

    @property
    def spilled(self) -> int:
        """How long the spill is up to its last whole write; 0 where that is not known."""
        return self.words[SPILLED_AT]

    @property
    def spill_done(self) -> int:
        """How much of the spill is delivered."""
        return self.words[SPILL_DONE_AT]

    def note_spill(self, spilled: int, done: int) -> None:
        """Keep both; a death between the two leaves `spilled` new and `done` old."""
        hr_store(self.words + SPILLED_AT, spilled)
        hr_store(self.words + SPILL_DONE_AT, done)

    @property
    def generation(self) -> int:
        """The generation of the numbers given last."""
        return self.words[NUMBER_AT] >> COUNT_BITS

    def begin(self, second: int) -> int:
        """Start a new generation and cut off what a crash of the host left unreadable; return how many bytes that was.

        second: Unix time; the generation is it, or one above the last one where the clock is not ahead of that.
        A death of the process leaves nothing unreadable; a host that lost power may have written head before bytes.
        """
        cdef uint64_t generation = max((self.words[NUMBER_AT] >> COUNT_BITS) + 1, second)
        cdef uint64_t head = self.words[HEAD_AT]
        cdef uint64_t at = self.words[TAIL_AT]
        cdef uint64_t after
        hr_store(self.words + NUMBER_AT, generation << COUNT_BITS)
        while at < head:
            after = self.next(at)
            if after > head:
                break
            at = after
        hr_store(self.words + HEAD_AT, at)
        return head - at

    cpdef long long next_number(self) except -1:
        """Return a number above every one given before, in this generation or an earlier one; below 2**57."""
        cdef uint64_t number = self.words[NUMBER_AT] + 1
        hr_store(self.words + NUMBER_AT, number)
        return <long long>number

    cpdef bint push(self, bytes body) except -1:
        """Append a record; return whether there was room. ValueError: it is empty or too large ever to fit."""
        cdef uint64_t head = self.words[HEAD_AT]
        cdef Py_ssize_t length = len(body)
        cdef uint32_t front[2]
        if length == 0 or <uint64_t>length > LARGEST or length + FRONT > self.room:
            raise ValueError(f"a record of {length} bytes does not fit into a ring of {self.room}")
        if <uint64_t>(length + FRONT) > <uint64_t>self.room - (head - self.words[TAIL_AT]):
            return False
        front[0] = <uint32_t>length
        front[1] = <uint32_t>crc32(body)
        self.copy_in(head, <const unsigned char *>front, FRONT)
        self.copy_in(head + FRONT, <const unsigned char *>PyBytes_AS_STRING(body), length)
        # Last of all: until here the record is not there.
        hr_store(self.words + HEAD_AT, head + FRONT + length)
        return True

    cpdef bytes peek(self, Py_ssize_t limit):
        """Return the oldest records, whole, at most `limit` bytes but one at least; b"" where there is none."""
        cdef uint64_t tail = self.words[TAIL_AT]
        cdef uint64_t head = self.words[HEAD_AT]
        cdef uint64_t at = tail
        cdef uint64_t after
        cdef bytes data
        while at < head:
            after = self.next(at)
            if after > head or (after - tail > <uint64_t>limit and at > tail):
                break
            at = after
        data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(at - tail))
        self.copy_out(tail, <unsigned char *>PyBytes_AS_STRING(data), <Py_ssize_t>(at - tail))
        return data

    cpdef int free(self, long long position) except -1:
        """Drop the records before `position`, the tail plus the length of what `peek` returned; later ones stay.

        A position that is free already changes nothing. ValueError: there is nothing written up to it.
        """
        if <uint64_t>position > self.words[HEAD_AT]:
            raise ValueError(f"position {position} is ahead of the ring")
        if <uint64_t>position > self.words[TAIL_AT]:
            hr_store(self.words + TAIL_AT, <uint64_t>position)
        return 0

    cdef uint64_t next(self, uint64_t position) noexcept:
        """Return where the record after the one at `position` begins; beyond any head where its length cannot be."""
        cdef uint32_t front[2]
        self.copy_out(position, <unsigned char *>front, FRONT)
        if front[0] == 0 or front[0] > LARGEST:
            return <uint64_t>-1
        return position + FRONT + front[0]

    cdef void copy_in(self, uint64_t position, const unsigned char *data, Py_ssize_t length) noexcept:
        cdef Py_ssize_t at = <Py_ssize_t>(position % <uint64_t>self.room)
        cdef Py_ssize_t first = min(length, self.room - at)
        memcpy(self.bytes + at, data, first)
        memcpy(self.bytes, data + first, length - first)

    cdef void copy_out(self, uint64_t position, unsigned char *data, Py_ssize_t length) noexcept:
        cdef Py_ssize_t at = <Py_ssize_t>(position % <uint64_t>self.room)
        cdef Py_ssize_t first = min(length, self.room - at)
        memcpy(data, self.bytes + at, first)
        memcpy(data + first, self.bytes, length - first)
