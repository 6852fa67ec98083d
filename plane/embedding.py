"""The hub for embeddings: what a call of an embedding model and its answer are, whoever's wire format they had."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Literal, Protocol

from msgspec import Struct, field

from core.errors import GatewayError
from plane.canonical import Carry, Image
from plane.usage import Usage

__all__ = [
    "EmbeddingAnswer",
    "EmbeddingRequest",
    "EmbeddingTranslator",
    "Input",
    "Purpose",
    "Vector",
    "pack_floats",
    "unpack_floats",
    "unsupported_input",
]

Purpose = Literal[
    "", "query", "document", "similarity", "classification", "clustering", "question", "fact", "code", "image"
]
"""What the vectors are for, where a caller can say it; "" where it did not."""

Input = str | list[int] | Image
"""One thing to embed: text, the numbers of its tokens, or a picture."""


class EmbeddingRequest(Struct):
    """A call of an embedding model. What is None or empty was not said.

    single: the caller gave one input that is no list, which matters where an answer to one has another form than an
    answer to many. dimensions: how long the vectors should be. base64: the caller wants vectors as base64 of
    little-endian 32-bit floats; None where it said nothing. extras: what the caller said that has no field here, by the
    name in its dialect, as JSON text.
    """

    model: str
    inputs: list[Input]
    single: bool = False
    dimensions: int | None = None
    base64: bool | None = None
    purpose: Purpose = ""
    title: str = ""
    user: str = ""
    extras: dict[str, str] = field(default_factory=dict)


class Vector(Struct):
    """The embedding of input `index`: either its `values`, or their base64 as `packed` (see `pack_floats`)."""

    index: int
    values: list[float] = field(default_factory=list)
    packed: str = ""

    def floats(self) -> list[float]:
        """Return the values; GatewayError 502 ``upstream_bad_answer`` where `packed` holds none."""
        return unpack_floats(self.packed) if self.packed else self.values

    def base64(self) -> str:
        """Return the base64 of the values."""
        return self.packed or pack_floats(self.values)


class EmbeddingAnswer(Struct):
    """All vectors, in the order of their inputs. id: as the provider says, "" where it does not."""

    model: str
    vectors: list[Vector]
    usage: Usage | None = None
    id: str = ""


class EmbeddingTranslator(Protocol):
    """Calls of the kind ``embeddings`` in one dialect, from and to the hub; errors as of `plane.dialect.Translator`."""

    def read_request(self, body: bytes, model: str) -> EmbeddingRequest:
        """Return what a caller asks for; model as `Dialect.read` found it."""

    def write_request(self, request: EmbeddingRequest, carry: Carry) -> bytes:
        """Return the body for a provider; what it has no place for is told to `carry`."""

    def read_answer(self, body: bytes, carry: Carry) -> EmbeddingAnswer:
        """Return what a provider answered."""

    def write_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest) -> bytes:
        """Return the body for a caller; request is what it asked."""


def unsupported_input(what: str) -> GatewayError:
    """Return the refusal of inputs that a provider cannot embed; leaving them out would answer another question."""
    return GatewayError(
        400, "unsupported", "caller", f"The provider of this model does not embed {what}.", param="input"
    )


def pack_floats(values: list[float]) -> str:
    """Return base64 of `values` as little-endian 32-bit floats; what is too large for one becomes infinite."""
    try:
        packed = struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        packed = struct.pack(f"<{len(values)}f", *map(_bounded, values))
    return base64.b64encode(packed).decode()


def unpack_floats(text: str) -> list[float]:
    """Return the numbers whose base64 as little-endian 32-bit floats `text` is; GatewayError 502 where it is not."""
    try:
        packed = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (binascii.Error, struct.error, ValueError):
        raise GatewayError(
            502, "upstream_bad_answer", "upstream", "The provider sent an embedding that is not base64 of floats."
        ) from None


def _bounded(value: float) -> float:
    """Return `value`, infinite where a 32-bit float cannot hold it."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return value
