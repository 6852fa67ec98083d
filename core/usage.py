"""The usage event: what is kept of one finished call, and the number it is known by."""

from msgspec import Struct, msgpack

from core.explanation import Explanation

__all__ = ["SEQUENCE_BITS", "WORKER_SHIFT", "Detail", "UsageEvent", "decode_event", "encode_event", "make_id"]

SEQUENCE_BITS = 25
"""Bits of an id that count the events of one generation of a ring; a count that runs over carries into it."""
WORKER_SHIFT = 57
"""Where in an id the worker's index stands; what is below is the number that its ring gave."""


class Detail(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What most calls have nothing of; the tokens are part of `input_total` or `output_total`.

    cache_write_5m, cache_write_1h: written to a prompt cache, by how long it lives (where a provider does not say: 5m).
    tool_use_prompt: input that came of the provider's own tools. server_tools: calls of those. units: what is counted
    in pieces (images made, characters spoken, searches of a rerank, pages read). milliseconds: of audio. service_tier:
    as the provider named it; of pictures ``size/quality``. estimated: the counts are the gateway's guess, as the call
    was cut short. requested: the name that the caller asked for, where the model is a wildcard. explanation: where the
    caller asked for one and may have it. once: events with the same word tell of the same usage, that of a background
    response, which is counted once.
    """

    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_out: int = 0
    tool_use_prompt: int = 0
    server_tools: int = 0
    units: int = 0
    milliseconds: int = 0
    service_tier: str = ""
    estimated: bool = False
    requested: str = ""
    explanation: Explanation | None = None
    once: str = ""


class UsageEvent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One finished call. (host, id) is its identity, the host being that of the file or connection it comes from.

    id: see `make_id`. time_ms: Unix time of its end, in ms. snapshot: the digest it was served under. target:
    ``provider/model`` that answered, or ``""``. status: as the caller saw it. error: the machine word of a failure, or
    ``""``. attempts: calls made upstream. latency_us: from the head read to just before the last bytes leave; first_us:
    to the first byte of the answer's body. input_total .. reasoning: tokens, meaningful only if usage_known (else 0).
    method, path: of the request; the path without its query and at most 256 characters of it. peer: the caller's
    address. bytes_in, bytes_out: of the two bodies, without framing. door: ``http`` or ``https``.
    cost_nano: billionths of a US dollar; None: unpriced, as there is no price for it or the usage is not known, which
    is not the same as 0. price: where the price came from, ``""`` without one. detail: None where it is all defaults.
    """

    id: int
    time_ms: int
    snapshot: str
    request_id: str
    consumer: str
    route: str
    model: str
    target: str
    status: int
    error: str
    stream: bool
    attempts: int
    latency_us: int
    first_us: int
    input_total: int
    output_total: int
    cache_read: int
    reasoning: int
    usage_known: bool
    method: str = ""
    path: str = ""
    peer: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    door: str = "http"
    cost_nano: int | None = None
    price: str = ""
    detail: Detail | None = None

    @property
    def worker(self) -> int:
        """The index of the worker that served the call."""
        return self.id >> WORKER_SHIFT


def make_id(worker: int, generation: int, sequence: int) -> int:
    """Return the id of an event, below 2**63: the ids of one worker index only grow, over all of its lives.

    worker: 0 to 63. generation: of its ring, a Unix second. sequence: of the event in that generation.
    """
    return worker << WORKER_SHIFT | (generation << SEQUENCE_BITS) + sequence


encode_event = msgpack.Encoder().encode
decode_event = msgpack.Decoder(UsageEvent).decode
