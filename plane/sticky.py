"""Which calls belong together, and which target they go to: the same one in every worker, with nothing remembered.

A key is taken from the request; targets are ranked by weighted rendezvous hashing (Thaler and Ravishankar 1998, the
weights as Schindelhauer and Schomaker 2005): each target has its share of all keys, and where one is drained, added or
cannot serve, only the keys that it has move.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log

import msgspec

from core.errors import GatewayError
from core.splice import scan
from plane.exchange import Exchange
from plane.runtime import Target

__all__ = ["Sticky", "rendezvous"]

SESSION = b"x-headgate-session"
"""The field in which a caller names its conversation."""
NAMED = (b"previous_response_id", b"conversation", b"prompt_cache_key")
"""Members that name a conversation or a prompt cache, the most certain first."""
PREFIX = (b"system", b"instructions", b"systemInstruction", b"system_instruction", b"tools")
"""Members that a prompt begins with, in the dialects that callers speak; caches hold it by its prefix."""
TALK = (b"messages", b"input", b"contents")
INSTRUCTIONS = frozenset(["system", "developer"])

_turns = msgspec.json.Decoder(list[msgspec.Raw])


class Turn(msgspec.Struct, gc=False):
    """What is read of a message."""

    role: str = ""


_turn = msgspec.json.Decoder(Turn)


class Sticky:
    """What makes calls of one model stay on one target.

    by: ``consumer``, ``conversation`` or ``header:NAME``.
    """

    def __init__(self, by: str) -> None:
        self.by = by
        kind, _, name = by.partition(":")
        self.kind = kind
        self.header = name.lower().encode()

    def key(self, exchange: Exchange) -> bytes:
        """Return what the calls that belong together share; b"" where this one belongs to none."""
        if self.kind == "consumer":
            name: bytes = exchange.consumer.name.encode()
            return name
        if self.kind == "header":
            return field(exchange, self.header)
        return conversation(exchange)


def rendezvous(targets: list[Target], key: bytes) -> list[Target]:
    """Return the targets that serve, in the order of this key: the first in proportion to the weights."""
    return sorted([target for target in targets if target.weight > 0], key=lambda target: score(target, key))


def score(target: Target, key: bytes) -> float:
    """Return how far a key is from a target; the heavier the target, the nearer."""
    digest = blake2b(target.name.encode(), digest_size=8, key=blake2b(key, digest_size=32).digest()).digest()
    return -log((int.from_bytes(digest) + 1) / (1 << 64)) / target.weight


def field(exchange: Exchange, name: bytes) -> bytes:
    """Return the value of a field of the request, b"" if it has none."""
    for key, value in exchange.headers:
        if key.lower() == name:
            found: bytes = value
            return found
    return b""


def conversation(exchange: Exchange) -> bytes:
    """Return what names the conversation of a request, or else its prompt's prefix: instructions and tools."""
    body = exchange.body
    try:
        spans = scan(body, (*NAMED, *PREFIX, *TALK))
    except GatewayError:
        return field(exchange, SESSION)  # No JSON object: a dialect without one has nothing else to go by.
    parts = [body[start:end] if start >= 0 and body[start:end] != b"null" else b"" for start, end in spans]
    named = parts[: len(NAMED)]
    session = field(exchange, SESSION)
    prefix = b"\n".join(parts[len(NAMED) : -len(TALK)])
    talk = b"".join(parts[-len(TALK) :])
    return next((found for found in (*named, session) if found), b"") or prefix + beginning(talk)


def beginning(talk: bytes) -> bytes:
    """Return the instructions that a talk begins with, or its first turn where there are none."""
    try:
        turns = _turns.decode(talk)
        count = 0
        while count < len(turns) and _turn.decode(turns[count]).role in INSTRUCTIONS:
            count += 1
    except msgspec.MsgspecError:
        return talk
    return b"".join(bytes(turn) for turn in turns[: max(count, 1)])
