"""C memory, and all of it: the table of 64-bit cells that limits count in.

It stands in a buffer handed in. A file mapped by several processes makes the cells common to them: each decision is one
compare-and-swap, without a lock, and what was counted outlives the process that counted it.

`Cells`, in 64-bit words of this machine's byte order:

    header     16 words: magic, format, workers, capacity, rows used, blocks used, boot id (2)
    directory  2 x capacity slots of 4 words: digest (2), place (kind | block << 8), cell; open addressing
    columns    capacity blocks of one word per worker; a concurrency row owns a block

A row is known by the digest of (subject, limit) and found from it; it never moves. `place` is stored last when a row is
added, so that a reader without a lock sees all of a row or none of it.

A concurrency row counts twice: in its cell, how many are in flight on the host; in the column of each worker, how many
of them are its own (low half) and a sequence (high half) that is odd while the worker stands between the two. Only its
worker writes a column. That is enough to set the cell right after a death at any instruction: see `Cells.reap`.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

__all__ = ["CONCURRENCY", "MONEY", "RATE", "Cells", "TableFullError", "size_for"]

cdef extern from *:
    """
    static inline uint64_t hg_load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void hg_store(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    static inline uint64_t hg_add(uint64_t *at, uint64_t n) { return __atomic_add_fetch(at, n, __ATOMIC_ACQ_REL); }
    static inline int hg_swap(uint64_t *at, uint64_t old, uint64_t value) {
        return __atomic_compare_exchange_n(at, &old, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    uint64_t hg_load(const uint64_t *at) noexcept
    void hg_store(uint64_t *at, uint64_t value) noexcept
    uint64_t hg_add(uint64_t *at, uint64_t n) noexcept
    bint hg_swap(uint64_t *at, uint64_t old, uint64_t value) noexcept

cdef enum:
    HEADER = 16
    SLOT = 4
    FORMAT = 1
    # Words of the header.
    MAGIC_AT = 0
    FORMAT_AT = 1
    WORKERS_AT = 2
    CAPACITY_AT = 3
    ROWS_AT = 4
    BLOCKS_AT = 5
    BOOT_AT = 6
    # Words of a slot.
    PLACE_AT = 2
    CELL_AT = 3
    # A slot whose row is gone: look-ups pass over it, a new row may take it.
    GONE = 255
    # How often a row is read again while others count in it, before the reader gives up.
    TRIES = 1000

cdef uint64_t MAGIC = 0x31534C4C45434748        # "HGCELLS1" where bytes are little-endian
cdef uint64_t COUNT = 0xFFFFFFFF                # the half of a column that counts
cdef uint64_t STEP = 0x100000000                # one step of its sequence


class TableFullError(OverflowError):
    """The table has no room for another row. Rows of limits no longer in use are freed on the next boot, or by a new file."""


def size_for(rows: int, workers: int = 64) -> int:
    """Return the bytes a table of `rows` rows needs. Pages never written cost nothing, so a file may be generous."""
    if rows < 0 or workers < 1:
        raise ValueError("a table needs rows >= 0 and workers >= 1")
    return 8 * (HEADER + rows * (2 * SLOT + workers))


cdef class Cells:
    """A table of cells over `buffer`: writable, aligned to 8 bytes, `size_for` long; kept exported while this lives.

    workers: how many columns a concurrency row has, the same for all who share the buffer. A worker index stands for
    one living process at a time.

    A buffer of zeros is a table nobody has prepared yet. ValueError: the buffer is no such table, is of another format
    or another number of workers, or is cut short.
    """

    def __cinit__(self, buffer: object, Py_ssize_t workers = 64) -> None:
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.words = <uint64_t *>self.view.buf
        self.workers = workers
        if workers < 1 or workers > 65536:
            raise ValueError(f"a table has 1 to 65536 workers, not {workers}")
        if <size_t>self.words % 8 or self.view.len < 8 * HEADER:
            raise ValueError("the buffer is too short or not aligned to 8 bytes")
        if hg_load(self.words) != 0:
            self.format()

    def __dealloc__(self) -> None:
        PyBuffer_Release(&self.view)

    cdef int format(self) except -1:
        """Check the header and take the table's measures from it."""
        cdef uint64_t *words = self.words
        cdef uint64_t room = (<uint64_t>self.view.len // 8 - HEADER) // (2 * SLOT + self.workers)
        if words[MAGIC_AT] != MAGIC:
            raise ValueError("the buffer does not hold a table of cells")
        if words[FORMAT_AT] != FORMAT:
            raise ValueError(f"the table has format {words[FORMAT_AT]}; this build reads format {FORMAT}")
        if words[WORKERS_AT] != <uint64_t>self.workers:
            raise ValueError(f"the table was made for {words[WORKERS_AT]} workers, not {self.workers}")
        if words[CAPACITY_AT] > room:
            raise ValueError(f"the table is cut short: {words[CAPACITY_AT]} rows, room for {room}")
        self.capacity = <Py_ssize_t>words[CAPACITY_AT]
        self.slots = 2 * words[CAPACITY_AT]
        self.columns = words + HEADER + self.slots * SLOT
        return 0

    @property
    def boot(self) -> bytes:
        """The boot id the table was prepared for; zeros before that."""
        return (<char *>(self.words + BOOT_AT))[:16]

    @property
    def rows(self) -> int:
        """How many rows of `capacity` are taken."""
        return self.words[ROWS_AT]

    def prepare(self, boot: bytes) -> bool:
        """Make the table ready for this boot of the host; return whether its cells started afresh.

        boot: 16 bytes that differ from boot to boot. Where they are new, rows of rates and of concurrency are dropped
        (their clock and their processes are gone), others stay. Killed half-way, it begins again the next time.
        To be called by the opener, alone: before any other process counts in the buffer, or under the lock of `row`.
        """
        cdef uint64_t *words = self.words
        cdef Py_ssize_t at
        if len(boot) != 16:
            raise ValueError(f"a boot id has 16 bytes, not {len(boot)}")
        if hg_load(words) == 0:
            # Only what is not zero is written: a sparse file stays sparse.
            for at in range(self.view.len // 8):
                if words[at] != 0:
                    words[at] = 0
            words[FORMAT_AT] = FORMAT
            words[WORKERS_AT] = self.workers
            words[CAPACITY_AT] = (<uint64_t>self.view.len // 8 - HEADER) // (2 * SLOT + self.workers)
            memcpy(words + BOOT_AT, <char *>boot, 16)
            hg_store(words, MAGIC)
            self.format()
            return True
        self.format()
        if self.boot == boot:
            return False
        self.forget()
        memcpy(words + BOOT_AT, <char *>boot, 16)
        return True

    cdef int forget(self) except -1:
        """Drop every row that does not outlive a boot."""
        cdef uint64_t *words = self.words
        cdef uint64_t *slot
        cdef uint64_t at, back, following, kept = 0
        for at in range(min(words[BLOCKS_AT], <uint64_t>self.capacity) * self.workers):
            self.columns[at] = 0
        words[BLOCKS_AT] = 0
        # Backwards, so that a slot knows whether a search would go on beyond it; twice, since the table is a ring.
        for back in range(2 * self.slots):
            at = (2 * self.slots - 1 - back) % self.slots
            slot = words + HEADER + at * SLOT
            if slot[PLACE_AT] == 0 or slot[PLACE_AT] == MONEY:
                continue
            following = at + 1 if at + 1 < self.slots else 0
            slot[0] = slot[1] = slot[CELL_AT] = 0
            slot[PLACE_AT] = GONE if words[HEADER + following * SLOT + PLACE_AT] else 0
        for at in range(self.slots):
            kept += words[HEADER + at * SLOT + PLACE_AT] == MONEY
        words[ROWS_AT] = kept
        return 0

    def row(self, digest: bytes, kind: int, lock: object) -> int:
        """Return the row of `digest`, adding it with zero cells if nobody has yet.

        digest: 16 bytes that stand for (subject, limit). kind: `RATE`, `CONCURRENCY` or `MONEY`.
        lock: a context manager held by one adder at a time in all processes; entered only to add.
        TableFullError: it is new and there is no room. ValueError: the digest belongs to another kind, or the table is not prepared.
        """
        cdef uint64_t key[2]
        cdef Py_ssize_t row
        if len(digest) != 16:
            raise ValueError(f"a row's digest has 16 bytes, not {len(digest)}")
        if kind not in (RATE, CONCURRENCY, MONEY):
            raise ValueError(f"there is no kind of row {kind}")
        if self.columns == NULL:
            raise ValueError("the table is not prepared")
        memcpy(key, <char *>digest, 16)
        row = self.find(key, kind)
        if row < 0:
            with lock:
                row = self.find(key, kind)
                if row < 0:
                    row = self.append(key, kind)
        return row

    cdef Py_ssize_t find(self, const uint64_t *key, uint64_t kind) except? -1:
        cdef uint64_t *slot
        cdef uint64_t place, tried, at
        if self.slots == 0:
            return -1
        at = key[0] % self.slots
        for tried in range(self.slots):
            slot = self.words + HEADER + at * SLOT
            place = hg_load(slot + PLACE_AT)
            if place == 0:
                return -1
            if slot[0] == key[0] and slot[1] == key[1] and place != GONE:
                if place & 255 != kind:
                    raise ValueError(f"the row is of kind {place & 255}, not {kind}")
                return <Py_ssize_t>at
            at = at + 1 if at + 1 < self.slots else 0
        return -1

    cdef Py_ssize_t append(self, const uint64_t *key, uint64_t kind) except -1:
        """Add a row; the caller holds the lock and has not found it."""
        cdef uint64_t *words = self.words
        cdef uint64_t *slot
        cdef uint64_t at, place = kind
        if words[ROWS_AT] >= <uint64_t>self.capacity or words[BLOCKS_AT] >= <uint64_t>self.capacity:
            raise TableFullError(f"all {self.capacity} rows of the table of limits are taken")
        # Counted before it is there: an adder that dies here wastes a row, and never lends a block twice.
        words[ROWS_AT] += 1
        if kind == CONCURRENCY:
            place |= words[BLOCKS_AT] << 8
            words[BLOCKS_AT] += 1
        at = key[0] % self.slots
        while True:
            slot = words + HEADER + at * SLOT
            if slot[PLACE_AT] == 0 or slot[PLACE_AT] == GONE:
                break
            at = at + 1 if at + 1 < self.slots else 0
        slot[0] = key[0]
        slot[1] = key[1]
        slot[CELL_AT] = 0
        hg_store(slot + PLACE_AT, place)
        return <Py_ssize_t>at

    cdef uint64_t *cell(self, Py_ssize_t row) except NULL:
        if <uint64_t>row >= self.slots:
            raise IndexError(f"the table has no row {row}")
        return self.words + HEADER + row * SLOT + CELL_AT

    cdef uint64_t *column(self, Py_ssize_t row, Py_ssize_t worker) except NULL:
        cdef uint64_t place
        if <uint64_t>row >= self.slots or <size_t>worker >= <size_t>self.workers:
            raise IndexError(f"the table has no row {row} or no worker {worker}")
        place = self.words[HEADER + row * SLOT + PLACE_AT]
        if place & 255 != CONCURRENCY or place >> 8 >= <uint64_t>self.capacity:
            raise ValueError(f"row {row} does not count concurrency")
        return self.columns + (place >> 8) * self.workers + worker

    cpdef int kind(self, Py_ssize_t row) except -1:
        """Return the kind of `row`, 0 where no row is."""
        return self.cell(row)[PLACE_AT - CELL_AT] & 255

    cpdef long long load(self, Py_ssize_t row) except? -1:
        """Return the cell of `row`."""
        return <long long>hg_load(self.cell(row))

    cpdef bint swap(self, Py_ssize_t row, long long old, long long new) except -1:
        """Set the cell of `row` to `new` if it is `old`; return whether it was."""
        return hg_swap(self.cell(row), <uint64_t>old, <uint64_t>new)

    cpdef long long add(self, Py_ssize_t row, long long amount) except? -1:
        """Add `amount` to the cell of `row`, modulo 2**64; return the sum."""
        return <long long>hg_add(self.cell(row), <uint64_t>amount)

    cpdef long long enter(self, Py_ssize_t row, Py_ssize_t worker, long long limit) except? -1:
        """Count one more in flight, for `worker`; return how many more may enter, or -1 where `limit` are in already."""
        cdef uint64_t *column = self.column(row, worker)
        cdef uint64_t *cell = self.cell(row)
        cdef uint64_t held = column[0]
        cdef long long count = <long long>hg_load(cell)
        if count >= limit:
            return -1
        hg_store(column, held | STEP)
        while not hg_swap(cell, <uint64_t>count, <uint64_t>(count + 1)):
            count = <long long>hg_load(cell)
            if count >= limit:
                hg_store(column, held)
                return -1
        hg_store(column, (held | STEP) + STEP + 1)
        return limit - count - 1

    cpdef int leave(self, Py_ssize_t row, Py_ssize_t worker) except -1:
        """Undo one `enter`. RuntimeError: `worker` has none in flight here."""
        cdef uint64_t *column = self.column(row, worker)
        cdef uint64_t held = column[0]
        if held & COUNT == 0:
            raise RuntimeError(f"worker {worker} left row {row} more often than it entered")
        hg_store(column, held | STEP)
        hg_add(self.cell(row), <uint64_t>-1)
        hg_store(column, (held | STEP) + STEP - 1)
        return 0

    def reap(self, worker: int) -> int:
        """Take back what a dead worker had in flight, in every row; return how many rows could not be settled yet.

        Others may count meanwhile. Calling it again does no harm, and is the answer to a result above 0: another
        worker stood still, or lies dead and not yet reaped, between its column and the cell. Until then such a row
        counts too many, never too few. To be called before the index is given to another process.
        """
        cdef Py_ssize_t row, unsettled = 0, index = worker
        if not 0 <= index < self.workers:
            raise IndexError(f"the table has no worker {worker}")
        for row in range(<Py_ssize_t>self.slots):
            if hg_load(self.words + HEADER + row * SLOT + PLACE_AT) & 255 == CONCURRENCY:
                hg_store(self.column(row, index), 0)
                unsettled += not self.settle(row)
        return unsettled

    cdef bint settle(self, Py_ssize_t row) except -1:
        """Set the cell of a concurrency row to the sum of its columns, as of one moment when no worker stood between.

        Sequences only grow, so two equal sums of whole columns mean that nothing moved from one reading to the other;
        a cell that changed after it was read makes the swap fail.
        """
        cdef uint64_t *columns = self.column(row, 0)
        cdef uint64_t *cell = self.cell(row)
        cdef uint64_t word, before, after, torn, count
        cdef Py_ssize_t worker
        for _ in range(TRIES):
            before = after = torn = 0
            for worker in range(self.workers):
                word = hg_load(columns + worker)
                before += word
                torn |= word & STEP
            count = hg_load(cell)
            for worker in range(self.workers):
                after += hg_load(columns + worker)
            if torn == 0 and before == after and hg_swap(cell, count, before & COUNT):
                return True
        return False
