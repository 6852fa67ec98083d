"""Pictures, sound and moderations through the official SDK, over real sockets; forms with large files at both doors."""

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.conformance.answers import STREAM_HEAD, chunk, sized
from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS, eventually
from tests.e2e.http2 import request_fields
from tests.providers.scripted import awaits

LARGE = 12 * 1024 * 1024


@pytest.fixture
def client(stage: Stage) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stage.gateway.url}/v1", api_key=KEYS["alice"], timeout=30, max_retries=0) as made:
        yield made


def answers(body: object) -> bytes:
    return sized("content-type: application/json", body=json.dumps(body).encode())


def test_a_recording_is_transcribed(client: OpenAI, stage: Stage) -> None:
    stage.upstream.script(answers({"text": "hello", "usage": {"type": "duration", "seconds": 3}}))
    sound = os.urandom(LARGE)
    said = client.audio.transcriptions.create(model="good", file=("a.wav", io.BytesIO(sound), "audio/wav"))
    assert said.text == "hello"
    (request,) = stage.upstream.requests
    assert request.path == "/v1/audio/transcriptions"
    assert b"scripted-small" in request.body
    assert b'name="model"\r\n\r\ngood' not in request.body
    start = request.body.index(b"audio/wav\r\n\r\n") + len(b"audio/wav\r\n\r\n")
    assert hashlib.sha256(request.body[start : start + LARGE]).digest() == hashlib.sha256(sound).digest()


def test_a_transcription_streams(client: OpenAI, stage: Stage) -> None:
    events = [
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.done", "text": "hello", "usage": {"type": "tokens", "input_tokens": 5}},
    ]
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    stage.upstream.script(STREAM_HEAD, chunk(data), b"0\r\n\r\n")
    stream = client.audio.transcriptions.create(model="good", file=("a.wav", b"RIFF"), stream=True)
    assert [event.type for event in stream] == ["transcript.text.delta", "transcript.text.done"]


def test_speech_is_relayed(client: OpenAI, stage: Stage) -> None:
    sound = os.urandom(300_000)
    stage.upstream.script(sized("content-type: audio/mpeg", body=sound))
    assert client.audio.speech.create(model="good", voice="alloy", input="hello").content == sound


def test_a_picture_is_made_and_edited(client: OpenAI, stage: Stage) -> None:
    made = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 4, "output_tokens": 9}}
    stage.upstream.script(answers(made))
    assert client.images.generate(model="good", prompt="a cat").data[0].b64_json == "aGk="
    stage.upstream.script(answers(made))
    picture = ("cat.png", b"\x89PNG" + os.urandom(5000), "image/png")
    assert client.images.edit(model="good", prompt="a hat", image=picture).data[0].b64_json == "aGk="
    assert [request.path for request in stage.upstream.requests] == ["/v1/images/generations", "/v1/images/edits"]


def streamed(*events: dict[str, object]) -> tuple[bytes, bytes, bytes]:
    """Return the steps of an answer that is a stream of these events, as OpenAI names and ends them."""
    data = b"".join(
        b"event: %b\ndata: %b\n\n" % (str(one["type"]).encode(), json.dumps(one).encode()) for one in events
    )
    return STREAM_HEAD, chunk(data), b"0\r\n\r\n"


def pictures(kind: str) -> list[dict[str, object]]:
    """Return the events of one picture; each is larger than a connection's buffers."""
    large = base64.b64encode(os.urandom(900_000)).decode()
    usage = {"input_tokens": 4, "output_tokens": 9, "total_tokens": 13}
    usage |= {"input_tokens_details": {"text_tokens": 4, "image_tokens": 0}}
    made = {"b64_json": large, "created_at": 1, "size": "1024x1024", "quality": "low", "background": "opaque"}
    partial = {**made, "type": f"{kind}.partial_image", "output_format": "png", "partial_image_index": 0}
    return [partial, {**made, "type": f"{kind}.completed", "output_format": "png", "usage": usage}]


def counted(stage: Stage, kind: str) -> float:
    """Return the tokens of a model that only tests have which wait for its counts: events come a moment later."""
    return stage.gateway.metric("headgate_tokens_total", model="large", kind=kind)


def test_a_picture_comes_in_parts_and_is_counted(client: OpenAI, stage: Stage) -> None:
    before = counted(stage, "image_out")
    events = pictures("image_generation")
    stage.upstream.script(*streamed(*events))
    stream = client.images.generate(model="large", prompt="a cat", stream=True, partial_images=1)
    got = list(stream)
    assert [one.type for one in got] == ["image_generation.partial_image", "image_generation.completed"]
    assert [one.b64_json for one in got] == [one["b64_json"] for one in events]
    assert stage.upstream.requests[0].json()["model"] == "scripted-large"
    eventually(lambda: counted(stage, "image_out") == before + 9)


def test_an_edited_picture_comes_in_parts(client: OpenAI, stage: Stage) -> None:
    stage.upstream.script(*streamed(*pictures("image_edit")))
    picture = ("cat.png", b"\x89PNG" + os.urandom(50_000), "image/png")
    stream = client.images.edit(model="good", prompt="a hat", image=picture, stream=True)
    assert [one.type for one in stream] == ["image_edit.partial_image", "image_edit.completed"]
    assert b"scripted-small" in stage.upstream.requests[0].body


def test_a_picture_of_megabytes_is_relayed_and_counted(client: OpenAI, stage: Stage) -> None:
    before = counted(stage, "image_out")
    large = base64.b64encode(os.urandom(2_500_000)).decode()
    usage = {"input_tokens": 4, "output_tokens": 9, "total_tokens": 13}
    stage.upstream.script(answers({"created": 1, "data": [{"b64_json": large}], "usage": usage}))
    assert client.images.generate(model="large", prompt="a cat").data[0].b64_json == large
    eventually(lambda: counted(stage, "image_out") == before + 9)


def test_speech_is_heard_while_it_is_made(client: OpenAI, stage: Stage) -> None:
    sound = os.urandom(50_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n"
    stage.upstream.script(head + chunk(sound), awaits("heard"), chunk(sound), b"0\r\n\r\n")
    asked = client.audio.speech.with_streaming_response.create(model="good", voice="alloy", input="hello")
    with asked as answer:
        parts = answer.iter_bytes(1000)
        first = next(parts)
        stage.upstream.event("heard").set()
        assert first + b"".join(parts) == sound * 2


def test_speech_comes_as_events(client: OpenAI, stage: Stage) -> None:
    usage = {"input_tokens": 3, "output_tokens": 80, "total_tokens": 83}
    said = streamed({"type": "speech.audio.delta", "audio": "aGk="}, {"type": "speech.audio.done", "usage": usage})
    stage.upstream.script(*said)
    asked = {"model": "good", "voice": "alloy", "input": "hello", "stream_format": "sse"}
    with client.audio.speech.with_streaming_response.create(**asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert b"speech.audio.done" in answer.read()


def test_text_is_moderated(client: OpenAI, stage: Stage) -> None:
    stage.upstream.script(answers({"id": "m", "model": "guard", "results": [{"flagged": True}]}))
    assert client.moderations.create(model="good", input="x").results[0].flagged
    assert stage.upstream.requests[0].json()["model"] == "scripted-small"


def test_a_form_goes_through_the_http2_door(stage: Stage) -> None:
    stage.upstream.script(answers({"text": "hello"}))
    sound = os.urandom(700_000)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngood\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n--b--\r\n' % sound
    )
    with stage.connect_http2() as caller:
        fields = request_fields("/v1/audio/transcriptions", ("content-type", "multipart/form-data; boundary=b"))
        assert caller.call(fields, body).json() == {"text": "hello"}
    (request,) = stage.upstream.requests
    assert request.headers["transfer-encoding"] == "chunked"
    assert request.body == body.replace(b"\r\ngood\r\n", b"\r\nscripted-small\r\n")
