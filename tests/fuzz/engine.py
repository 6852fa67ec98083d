"""A mutational fuzzer: it changes inputs of a kept corpus at random and looks whether a target's promise still holds.

A target is a module with `check(data)`, which raises where the promise is broken and else returns what kind of thing
happened, and `WORDS`, which matter in its inputs. An input that made something new happen is worth changing again. The
input being tried stands in a mapped file, so that it is still there after a crash of the interpreter.
"""

import faulthandler
import hashlib
import itertools
import logging
import mmap
import random
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

__all__ = ["CORPUS", "FindingError", "Fuzzer", "Target", "Watched", "corpus_of", "cuts", "saved"]

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096
"""Bytes of an input; what depends on larger sizes is tested for itself."""
HANG = 60
"""Seconds after which one input counts as a hang, and the process ends with the stacks of all threads."""
POOL = 2000
"""Inputs kept for further changes."""
BYTES = b"\x00\x09\x0a\x0d\x20\x22\x2c\x2f\x30\x31\x39\x3a\x3b\x5b\x5c\x5d\x7b\x7d\x7f\x80\xff"


class Target(Protocol):
    """What is fuzzed."""

    WORDS: Sequence[bytes]

    def check(self, data: bytes) -> Hashable:
        """Return what kind of thing `data` made happen; raise where a promise is broken."""


class Watched(logging.Handler):
    """A target whose promise is broken as well by an error that the gateway only logs."""

    def __init__(self, target: Target) -> None:
        super().__init__(logging.ERROR)
        self.target = target
        self.WORDS = target.WORDS
        self.logged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")

    def check(self, data: bytes) -> Hashable:
        """Check, and look into the log."""
        logger = logging.getLogger("headgate")
        logger.addHandler(self)
        try:
            kind = self.target.check(data)
        finally:
            logger.removeHandler(self)
            logged, self.logged = self.logged, []
        assert not logged, f"the gateway logged {logged}"
        return kind


class FindingError(Exception):
    """An input that breaks the promise of a target.

    data: the input, made smaller as far as it still does.
    """

    def __init__(self, data: bytes, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.data = data


def corpus_of(name: str, folder: Path = CORPUS) -> dict[str, bytes]:
    """Return the kept inputs of a target, by file name."""
    return {path.name: path.read_bytes() for path in sorted((folder / name).iterdir())}


def cuts(data: bytes) -> list[bytes]:
    """Return `data` in pieces that depend on nothing else: single bytes, or a few cuts anywhere."""
    chance = random.Random(data)  # repeatable on purpose.
    if chance.random() < 0.3:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6)))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


class Fuzzer:
    """One target under changes of its corpus.

    executions: how many inputs were tried. kinds: what happened so far.
    """

    def __init__(self, target: Target, corpus: Iterable[bytes], seed: int, folder: Path) -> None:
        self.target = target
        self.chance = random.Random(seed)
        self.executions = 0
        self.kinds: set[Hashable] = set()
        self.pool: list[bytes] = []
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "current").open("w+b") as file:
            file.truncate(LONGEST + 8)
            self.current = mmap.mmap(file.fileno(), LONGEST + 8)
        for data in corpus:
            self.attempt(data[:LONGEST])

    def attempt(self, data: bytes) -> None:
        """Try one input and keep it if something new happened; FindingError if it breaks the promise."""
        self.current[: len(data) + 8] = len(data).to_bytes(8, "big") + data
        self.executions += 1
        try:
            kind = self.target.check(data)
        except Exception as error:
            raise FindingError(self.smaller(data, error), error) from error
        if kind not in self.kinds:
            self.kinds.add(kind)
            self.pool.append(data)
            if len(self.pool) > POOL:
                self.pool.pop(self.chance.randrange(POOL))

    def run(self, seconds: float = float("inf"), executions: float = float("inf")) -> None:
        """Try changed inputs for so long, or so many of them; FindingError at the first that breaks the promise."""
        end = time.monotonic() + seconds
        last = self.executions + executions
        try:
            while self.executions < last:
                if self.executions % 64 == 0:
                    if time.monotonic() >= end:
                        break
                    faulthandler.dump_traceback_later(HANG, exit=True)
                self.attempt(self.changed(self.chance.choice(self.pool)))
        finally:
            faulthandler.cancel_dump_traceback_later()

    def changed(self, data: bytes) -> bytes:
        """Return `data` with a few changes, mostly one or two."""
        for _ in range(1 + int(self.chance.expovariate(0.8))):
            data = self.chance.choice(CHANGES)(self, data)
        return data[:LONGEST]

    def smaller(self, data: bytes, error: Exception) -> bytes:
        """Return the smallest part of `data` that was found to fail in the same way."""
        size = len(data) // 2
        tries = 2000
        while size and tries:
            at = 0
            while at < len(data) and tries:
                tries -= 1
                shorter = data[:at] + data[at + size :]
                if self.fails(shorter, error):
                    data = shorter
                else:
                    at += size
            size //= 2
        return data

    def fails(self, data: bytes, error: Exception) -> bool:
        """Tell whether `data` breaks the promise with an error like this one."""
        try:
            self.target.check(data)
        except Exception as other:
            return type(other) is type(error) and str(other)[:20] == str(error)[:20]
        return False

    # --- the changes

    def span(self, data: bytes) -> tuple[int, int]:
        """Return a random range of `data`, mostly a short one."""
        start = self.chance.randrange(len(data) + 1)
        return start, min(len(data), start + int(self.chance.expovariate(0.1)) + 1)

    def flip(self, data: bytes) -> bytes:
        """Flip one bit."""
        if not data:
            return data
        at = self.chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self.chance.randrange(8)]) + data[at + 1 :]

    def put(self, data: bytes) -> bytes:
        """Set or insert one byte that means something somewhere."""
        at = self.chance.randrange(len(data) + 1)
        return data[:at] + bytes([self.chance.choice(BYTES)]) + data[at + self.chance.randrange(2) :]

    def cut(self, data: bytes) -> bytes:
        """Leave a range out."""
        start, end = self.span(data)
        return data[:start] + data[end:]

    def double(self, data: bytes) -> bytes:
        """Repeat a range, now and then often."""
        start, end = self.span(data)
        times = self.chance.choice((2, 2, 2, 3, 17, 130))
        return data[:start] + data[start:end] * times + data[end:]

    def word(self, data: bytes) -> bytes:
        """Put one of the target's words in, over what stands there or before it."""
        start, end = self.span(data)
        return data[:start] + self.chance.choice(self.target.WORDS) + data[self.chance.choice((start, end)) :]

    def number(self, data: bytes) -> bytes:
        """Put a number in that is near a bound of something."""
        start, end = self.span(data)
        value = self.chance.choice(
            (0, 1, 9, 127, 128, 255, 256, 999, 1000, 1001, 65535, 65536, 2**31, 2**32, 2**63, 10**20)
        )
        text = self.chance.choice((b"%d" % value, b"%x" % value, (value % 2**32).to_bytes(4, "big")))
        return data[:start] + text + data[self.chance.choice((start, end)) :]

    def cross(self, data: bytes) -> bytes:
        """Go on with a part of another input."""
        other = self.chance.choice(self.pool)
        start, end = self.span(other)
        at = self.chance.randrange(len(data) + 1)
        return data[:at] + (other[start:] if self.chance.random() < 0.5 else other[start:end] + data[at:])


CHANGES: tuple[Callable[[Fuzzer, bytes], bytes], ...] = (
    *(Fuzzer.flip, Fuzzer.put, Fuzzer.cut, Fuzzer.double),
    *(Fuzzer.word, Fuzzer.word, Fuzzer.number, Fuzzer.cross),
)


def saved(finding: FindingError, folder: Path) -> Path:
    """Keep the input of a finding and return its file."""
    path = folder / hashlib.sha256(finding.data).hexdigest()[:16]
    path.write_bytes(finding.data)
    return path
