"""Pictures, sound and moderations through the official SDK, over real sockets; forms with large files at both doors."""

import hashlib
import io
import json
import os
from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.conformance.answers import STREAM_HEAD, chunk, sized
from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS
from tests.e2e.http2 import request_fields

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
