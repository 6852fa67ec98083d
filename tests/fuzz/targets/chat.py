"""Bodies of chat calls through the whole pipeline: what goes upstream is the body but for the model's name.

Whatever comes, the caller gets one well-formed answer, and nothing is held afterwards.
"""

import tempfile
from collections.abc import Hashable
from pathlib import Path

import msgspec
from httptools import HttpResponseParser

from tests.plane.rig import Gateway, answer, consumer, one_model

WORDS = (
    *(
        b'"model":"m"',
        b'"model":"real"',
        b'"stream":true',
        b'"stream":null',
        b'"stream_options":{"include_usage":true}',
    ),
    *(b'"messages":[]', b"{", b"}", b",", b":", b'"', b"\\u006d", b"null", b"[", b"]", b"1e400", b"\xff", b" ", b"\\"),
)
CONFIG = one_model() | {"consumers": {"c": consumer(limits={"requests": "1000000/s", "concurrent": 8})}}
ANSWER = answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}')


class Status:
    """The answers that the caller got."""

    def __init__(self, raw: bytes) -> None:
        self.whole = 0
        self.parser = HttpResponseParser(self)
        self.parser.feed_data(raw)
        self.status = self.parser.get_status_code()

    def on_message_complete(self) -> None:
        self.whole += 1


class Pipeline:
    """A gateway that serves one input after the other, made anew after a finding."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.gateway = Gateway(Path(folder), CONFIG)
        self.upstream = self.gateway.upstreams[9001]
        self.peer = self.upstream.connect()

    def call(self, body: bytes) -> tuple[int, bytes]:
        """Return the status of a call, and what went upstream."""
        if not self.upstream.pool.idle:  # The one before was too old to be kept.
            self.peer = self.upstream.connect()
        caller = self.gateway.caller()
        caller.chat(body)
        sent = self.peer.take()
        if sent:
            self.peer.say(ANSWER)
        answered = Status(caller.take())
        assert answered.whole == 1, "not one whole answer"
        caller.leave()
        assert self.gateway.is_at_rest(), "something is held still"
        assert len(self.gateway.events()) == 1, "not one usage event"
        return answered.status, sent.partition(b"\r\n\r\n")[2]


class Kept:
    """The pipeline in use."""

    pipeline: Pipeline | None = None


def check(data: bytes) -> Hashable:
    """Call with `data` as body, and look at what the provider gets."""
    pipeline, Kept.pipeline = Kept.pipeline or Pipeline(), None
    kind = judged(data, *pipeline.call(data))
    Kept.pipeline = pipeline
    return kind


def judged(data: bytes, status: int, sent: bytes) -> Hashable:
    """Return what kind of call it was; fail where what went upstream is not what was asked."""
    if not sent:
        assert status in (400, 404, 413), f"status {status} and nothing sent"
        return status
    assert status == 200, f"status {status} of a call that was sent"
    try:
        asked = msgspec.json.decode(data)
    except ValueError:
        return "not JSON where nobody looks"  # The gateway reads no more of a body than it needs; the provider will.
    got = msgspec.json.decode(sent)
    assert got["model"] == "real"
    if asked.get("stream") is True:
        assert got["stream_options"]["include_usage"] is True
        got["stream_options"] = asked.get("stream_options")
        asked.setdefault("stream_options", None)
    assert got == {**asked, "model": "real"}, "more was changed than the model's name"
    return status, asked.get("stream"), "stream_options" in asked
