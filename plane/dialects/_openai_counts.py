# cython: boundscheck=False, wraparound=False
"""The `usage` object of a chat as OpenAI writes it, read in one pass: no Python object is made for any of its counts.

Every call that passes through has one. What is written otherwise than servers do (a fraction, a string, a key with an
escape, parts of the input told twice) is left to the decoder in `_openai_usage`, which decides what it means; that both
say the same, where no key stands twice, is held by `tests/plane/test_openai_usage.py`.
"""

from __future__ import annotations

from typing import Any

from plane.usage import Usage

__all__ = ["Counts"]

LIMIT = 1 << 40
"""A count from here on is no count of tokens."""

(
    PROMPT,
    COMPLETION,
    TOTAL,
    INPUT,
    OUTPUT,
    CACHE_HIT,
    CACHED,
    SEARCHES,
    AUDIO_SECONDS,
    IN_CACHED,
    IN_WRITTEN,
    IN_AUDIO,
    IN_IMAGE,
    OUT_REASONING,
    OUT_AUDIO,
    OUT_IMAGE,
) = range(16)
"""Which count is which."""

COUNTS = (
    b"prompt_tokens",
    b"completion_tokens",
    b"total_tokens",
    b"input_tokens",
    b"output_tokens",
    b"prompt_cache_hit_tokens",
    b"cached_tokens",
    b"num_search_queries",
    b"prompt_audio_seconds",
)
INPUT_PARTS = (b"cached_tokens", b"cache_write_tokens", b"audio_tokens", b"image_tokens")
OUTPUT_PARTS = (b"reasoning_tokens", b"audio_tokens", b"image_tokens")
"""Keys of counts, each in the order above."""
INPUTS = (b"prompt_tokens_details", b"input_tokens_details", b"input_token_details")
OUTPUTS = (b"completion_tokens_details", b"output_tokens_details")
"""Keys of the objects that have the parts."""
NO_COUNTS = (b"seconds", *INPUTS, *OUTPUTS)
"""Keys of what is no whole number."""
MAX_DIGITS = 18


class Counts:
    """The counts of one answer; one that is absent, null or absurd is 0.

    said: by the numbers above. seen: which of them the answer has, a bit for each. has_input, has_output: an object
    with parts was there. decoded: the `_openai_usage.Counted` that they are from, where the decoder read it.
    """

    said: list[int]
    seen: int
    has_input: bool
    has_output: bool
    decoded: Any

    def usage(self, reasoning_counted: bool) -> Usage:
        """Return what the call used.

        reasoning_counted: as of `Options`; where the total says that reasoning comes on top, it does.
        """
        said = self.said
        is_chat = self.seen & 1 << INPUT == 0
        taken = said[PROMPT] if is_chat else said[INPUT]
        given = said[COMPLETION] if is_chat else said[OUTPUT]
        total = said[TOTAL]
        reasoning = said[OUT_REASONING]
        if reasoning and (total == taken + given + reasoning or (not reasoning_counted and total != taken + given)):
            given += reasoning
        usage = Usage.__new__(Usage)  # PERF: what it takes to pass four arguments is most of the cost of all this.
        usage.service_tier = ""
        usage.input_total = taken
        usage.output_total = given
        usage.cache_read = min(said[IN_CACHED] or said[CACHE_HIT] or said[CACHED], taken)
        usage.reasoning = min(reasoning, given)
        usage.cache_write_5m = min(said[IN_WRITTEN], taken - usage.cache_read)
        usage.audio_in = min(said[IN_AUDIO], taken)
        usage.image_in = min(said[IN_IMAGE], taken - usage.audio_in)
        usage.audio_out = min(said[OUT_AUDIO], given)
        usage.image_out = min(said[OUT_IMAGE], given - usage.audio_out)
        usage.server_tools = said[SEARCHES]
        usage.milliseconds = said[AUDIO_SECONDS] * 1000
        return usage

    def is_silent(self) -> bool:
        """Tell whether there is no count of the prompt: it was no chat."""
        return self.seen & 1 << PROMPT == 0

    def take(self, counted: Any) -> None:
        """Take the counts of a decoded `_openai_usage.Counted`."""
        self.decoded = counted
        self.put(PROMPT, counted.prompt_tokens)
        self.put(COMPLETION, counted.completion_tokens)
        self.put(TOTAL, counted.total_tokens)
        self.put(INPUT, counted.input_tokens)
        self.put(OUTPUT, counted.output_tokens)
        self.put(CACHE_HIT, counted.prompt_cache_hit_tokens)
        self.put(CACHED, counted.cached_tokens)
        self.put(SEARCHES, counted.num_search_queries)
        self.put(AUDIO_SECONDS, counted.prompt_audio_seconds)
        into = counted.prompt_tokens_details or counted.input_tokens_details or counted.input_token_details
        if into is not None:
            self.put(IN_CACHED, into.cached_tokens)
            self.put(IN_WRITTEN, into.cache_write_tokens)
            self.put(IN_AUDIO, into.audio_tokens)
            self.put(IN_IMAGE, into.image_tokens)
        out = counted.completion_tokens_details or counted.output_tokens_details
        if out is not None:
            self.put(OUT_REASONING, out.reasoning_tokens)
            self.put(OUT_AUDIO, out.audio_tokens)
            self.put(OUT_IMAGE, out.image_tokens)

    def put(self, which: int, count: int | None) -> None:
        """Take a count, where it is one."""
        if count is not None:
            self.said[which] = count if 0 <= count < LIMIT else 0
            self.seen |= 1 << which

    def read(self, text: bytes, at: int, end: int) -> bool:
        """Read the object from `at` to `end` of `text`; False where that is the decoder's part, to be done anew."""
        return 0 <= at < end and text[at] == ord("{") and self.members(text, at, end, COUNTS, PROMPT) == end

    def members(self, text: bytes, at: int, end: int, keys: tuple[bytes, ...], first: int) -> int:
        """Read the object at `at`, whose `keys` are the counts from `first` on; return the offset after it, or -1."""
        at = space(text, at + 1, end)
        if at < end and text[at] == ord("}"):
            return at + 1
        while at < end and text[at] == ord('"'):
            key = at + 1
            at = key
            while at < end and text[at] != ord('"') and text[at] != ord("\\"):
                at += 1
            size = at - key
            at = space(text, at + 1, end)
            if at >= end or text[at] != ord(":"):
                return -1
            at = space(text, at + 1, end)
            if at >= end:
                return -1
            which = index_of(text, key, size, keys)
            if which >= 0:
                at = self.count(text, at, end, first + which)
            elif text[at] == ord("{"):
                at = self.parts(text, key, size, at, end) if first == PROMPT else -1
            elif first == PROMPT and text[at] != ord("n") and index_of(text, key, size, NO_COUNTS) >= 0:
                return -1
            else:
                at = plain(text, at, end)
            if at < 0:
                return -1
            at = space(text, at, end)
            if at < end and text[at] == ord("}"):
                return at + 1
            if at >= end or text[at] != ord(","):
                return -1
            at = space(text, at + 1, end)
        return -1

    def parts(self, text: bytes, key: int, size: int, at: int, end: int) -> int:
        """Read an object of parts at `at`, whose key stands at `key`; return the offset after it, or -1."""
        if not self.has_input and index_of(text, key, size, INPUTS) >= 0:
            self.has_input = True
            return self.members(text, at, end, INPUT_PARTS, IN_CACHED)
        if not self.has_output and index_of(text, key, size, OUTPUTS) >= 0:
            self.has_output = True
            return self.members(text, at, end, OUTPUT_PARTS, OUT_REASONING)
        return -1

    def count(self, text: bytes, at: int, end: int, which: int) -> int:
        """Read the count at `at`, or null; return the offset after it, or -1."""
        start = at
        number = 0
        while at < end and at - start < MAX_DIGITS and is_digit(text[at]):
            number = number * 10 + text[at] - ord("0")
            at += 1
        if at == start:
            self.said[which] = 0
            self.seen &= ~(1 << which)
            return plain(text, at, end) if text[at] == ord("n") else -1
        if at >= end or not is_end(text[at]) or (text[start] == ord("0") and at - start > 1):
            return -1
        self.said[which] = number if number < LIMIT else 0
        self.seen |= 1 << which
        return at


def plain(text: bytes, at: int, end: int) -> int:
    """Return the offset after the null or the number without a sign at `at`; -1 for anything else."""
    if at + 4 < end and text[at] == ord("n"):
        if text[at + 1] != ord("u") or text[at + 2] != ord("l") or text[at + 3] != ord("l"):
            return -1
        return at + 4 if is_end(text[at + 4]) else -1
    start = at
    while at < end and is_digit(text[at]):
        at += 1
    if at == start or at >= end or (text[start] == ord("0") and at - start > 1):
        return -1
    if text[at] == ord("."):
        start = at + 1
        at = start
        while at < end and is_digit(text[at]):
            at += 1
        if at == start:
            return -1
    return at if at < end and is_end(text[at]) else -1


def index_of(text: bytes, at: int, size: int, keys: tuple[bytes, ...]) -> int:
    """Return which of `keys` stands at `at`, `size` bytes long; -1 if none does."""
    for index in range(len(keys)):
        key = keys[index]
        if len(key) == size:
            offset = size - 1  # From the end: they begin alike.
            while offset >= 0 and text[at + offset] == key[offset]:
                offset -= 1
            if offset < 0:
                return index
    return -1


def space(text: bytes, at: int, end: int) -> int:
    """Return the offset of the first byte from `at` on that is not white space."""
    while at < end and is_space(text[at]):
        at += 1
    return at


def is_space(char: int) -> bool:
    """Tell whether this is white space of JSON."""
    return char == ord(" ") or char == ord("\n") or char == ord("\r") or char == ord("\t")


def is_digit(char: int) -> bool:
    """Tell whether this is a digit."""
    return ord("0") <= char <= ord("9")


def is_end(char: int) -> bool:
    """Tell whether a number may end before this."""
    return char == ord(",") or char == ord("}") or is_space(char)
