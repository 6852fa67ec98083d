"""What calls used that are no chats, from the upstream's raw bytes to the usage event and its cost."""

import json
from typing import Any

import pytest

from core.usage import Detail, UsageEvent
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, answer, body_of, consumer

ZERO = Detail()
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--b--\r\n'
)
FORM_FIELD = b"Content-Type: multipart/form-data; boundary=b\r\n"
SPEECH, HEARD = "/v1/audio/speech", "/v1/audio/transcriptions"
MADE, EDITED = "/v1/images/generations", "/v1/images/edits"
PICTURE = {"b64_json": "aGk="}
GPT_IMAGE = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


def config(dialect: str = "openai", **price: Any) -> dict[str, Any]:
    target = {"provider": "p", "model": "x", **({"price": price} if price else {})}
    return {
        "providers": {"p": {"dialect": dialect, "base_url": "http://p.test:9001/v1"}},
        "models": {"m": {"targets": [target]}},
        "consumers": {"c": consumer()},
    }


def call(gateway: Gateway, path: str, asked: dict[str, Any] | bytes, reply: bytes) -> UsageEvent:
    """Make a call and return its usage event; asked: the body, of a form as bytes."""
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    if isinstance(asked, bytes):
        caller.ask(path, asked, fields=FORM_FIELD)
    else:
        caller.ask(path, json.dumps({"model": "m", **asked}).encode())
    assert peer.take()
    for at in range(0, len(reply), 60_000):
        peer.say(reply[at : at + 60_000])
    assert caller.take().startswith(b"HTTP/1.1 200 ")
    (event,) = gateway.events()
    assert gateway.is_at_rest()
    return event


def whole(body: Any) -> bytes:
    return answer(json.dumps(body).encode())


def streamed(*events: dict[str, Any]) -> bytes:
    data = b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events)
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    )


def detail(**counts: Any) -> Detail:
    return Detail(**counts)


CASES: dict[str, tuple[str, Any, bytes, tuple[int, int] | None, Detail | None]] = {
    "gpt-image, whose output is images where it does not say": (
        *(MADE, {"prompt": "a cat"}, whole({"created": 1, "data": [PICTURE], "usage": GPT_IMAGE})),
        *((50, 50), detail(image_in=40, image_out=50, units=1)),
    ),
    "gpt-image, whose output has text as well": (
        MADE,
        {"prompt": "a cat"},
        whole(
            {
                "data": [PICTURE, PICTURE],
                "size": "1024x1024",
                "quality": "low",
                "usage": {**GPT_IMAGE, "output_tokens_details": {"image_tokens": 30, "text_tokens": 20}},
            }
        ),
        *((50, 50), detail(image_in=40, image_out=30, units=2, service_tier="1024x1024/low")),
    ),
    "pictures by the piece": (
        *(MADE, {"prompt": "a cat", "n": 2, "size": "1792x1024", "quality": "hd"}),
        whole({"created": 1, "data": [{"url": "http://a"}, {"url": "http://b"}]}),
        *((0, 0), detail(units=2, service_tier="1792x1024/hd")),
    ),
    "an edited picture": (
        *(EDITED, FORM, whole({"created": 1, "data": [PICTURE], "usage": GPT_IMAGE, "quality": "high"})),
        *((50, 50), detail(image_in=40, image_out=50, units=1, service_tier="/high")),
    ),
    "a variation": ("/v1/images/variations", FORM, whole({"created": 1, "data": [PICTURE]}), (0, 0), detail(units=1)),
    "a stream with partial images": (
        MADE,
        {"prompt": "a cat", "stream": True, "partial_images": 1},
        streamed(
            {"type": "image_generation.partial_image", "b64_json": "aA==", "partial_image_index": 0},
            {
                **{"type": "image_generation.completed", "b64_json": "aGk=", "size": "1024x1024", "quality": "high"},
                "usage": GPT_IMAGE,
            },
        ),
        *((50, 50), detail(image_in=40, image_out=50, units=1, service_tier="1024x1024/high")),
    ),
    "a stream with an edited picture": (
        EDITED,
        FORM.replace(b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--b\r\n', 1),
        streamed({"type": "image_edit.completed", "b64_json": "aGk=", "usage": GPT_IMAGE}),
        *((50, 50), detail(image_in=40, image_out=50, units=1)),
    ),
    "seconds of sound": (
        *(HEARD, FORM, whole({"text": "hello", "usage": {"type": "duration", "seconds": 3}})),
        *((0, 0), detail(milliseconds=3000)),
    ),
    "the duration of the long form": (
        *(HEARD, FORM, whole({"task": "transcribe", "duration": 8.470000267, "text": "hello", "segments": []})),
        *((0, 0), detail(milliseconds=8470)),
    ),
    "a duration as text": (HEARD, FORM, whole({"duration": "2.5", "text": "hello"}), (0, 0), detail(milliseconds=2500)),
    "the long form with usage, which counts": (
        *(HEARD, FORM, whole({"duration": 8.47, "text": "hello", "usage": {"type": "duration", "seconds": 9}})),
        *((0, 0), detail(milliseconds=9000)),
    ),
    "tokens of sound": (
        HEARD,
        FORM,
        whole(
            {
                "text": "hello",
                "usage": {
                    **{"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59},
                    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                },
            }
        ),
        *((14, 45), detail(audio_in=10)),
    ),
    "a streamed transcription": (
        HEARD,
        FORM.replace(b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--b\r\n', 1),
        streamed(
            {"type": "transcript.text.delta", "delta": "hel"},
            {
                **{"type": "transcript.text.done", "text": "hello"},
                "usage": {
                    **{"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18},
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                },
            },
        ),
        *((14, 4), detail(audio_in=14)),
    ),
    "a streamed transcription by time": (
        *(
            HEARD,
            FORM,
            streamed({"type": "transcript.text.done", "text": "x", "usage": {"type": "duration", "seconds": 7}}),
        ),
        *((0, 0), detail(milliseconds=7000)),
    ),
    "Mistral's transcription": (
        HEARD,
        FORM,
        whole({"text": "x", "usage": {"prompt_audio_seconds": 5, "prompt_tokens": 4, "completion_tokens": 6}}),
        *((4, 6), detail(milliseconds=5000)),
    ),
    "a translation": (
        "/v1/audio/translations",
        FORM,
        whole({"duration": 1.5, "text": "x"}),
        (0, 0),
        detail(milliseconds=1500),
    ),
    "a transcription that does not say": (HEARD, FORM, whole({"text": "hello"}), None, None),
    "characters spoken": (
        *(SPEECH, {"input": "h\u00e9llo", "voice": "alloy"}),
        *(answer(b"\x00\xff" * 50_000).replace(b"application/json", b"audio/mpeg"), (0, 0), detail(units=5)),
    ),
    "speech that counts tokens": (
        SPEECH,
        {"input": "hello", "voice": "alloy", "stream_format": "sse"},
        streamed(
            {"type": "speech.audio.delta", "audio": "aGk="},
            {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 80, "total_tokens": 83}},
        ),
        *((3, 80), detail(units=5)),
    ),
    "searches of a rerank": (
        *("/v1/rerank", {"query": "q", "documents": ["a"]}),
        whole(
            {"id": "r", "results": [], "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}}}
        ),
        *((0, 0), detail(units=2)),
    ),
    "Jina's rerank": (
        *("/v1/rerank", {"query": "q", "documents": ["a"]}),
        *(whole({"model": "j", "usage": {"total_tokens": 815}, "results": []}), (815, 0), None),
    ),
    "a rerank that counts as a chat does": (
        *("/v1/rerank", {"query": "q", "documents": ["a"]}),
        *(whole({"results": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}), (8, 0), None),
    ),
    "OpenAI's embeddings": (
        *("/v1/embeddings", {"input": "x"}),
        *(whole({"data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}), (5, 0), None),
    ),
    "Voyage's embeddings, which have one count": (
        *("/v1/embeddings", {"input": "x"}),
        *(whole({"data": [], "usage": {"total_tokens": 6}}), (6, 0), None),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_call_used_is_counted(name: str, start: Starter) -> None:
    path, asked, reply, tokens, expected = CASES[name]
    event = call(start(config()), path, asked, reply)
    assert event.usage_known == (tokens is not None)
    assert (event.input_total, event.output_total) == (tokens or (0, 0))
    assert event.detail == expected


PRICED = [
    ({"usd_per_unit": "0.04"}, "pictures by the piece", 80_000_000),
    (
        {
            "usd_per_unit": "0.04",
            "variants": [
                {"size": "1792x1024", "usd_per_unit": "0.06"},
                {"size": "1792x1024", "quality": "hd", "usd_per_unit": "0.12"},
            ],
        },
        "pictures by the piece",
        240_000_000,
    ),
    ({"input_usd_per_million": "5", "output_usd_per_million": "40"}, "pictures by the piece", None),
    (
        {
            **{"input_usd_per_million": "5", "image_in_usd_per_million": "10"},
            **{"output_usd_per_million": "10", "image_out_usd_per_million": "32"},
        },
        "gpt-image, whose output is images where it does not say",
        10 * 5_000 + 40 * 10_000 + 50 * 32_000,
    ),
    ({"audio_usd_per_hour": "0.36"}, "seconds of sound", 300_000),
    ({"audio_usd_per_hour": "0.36"}, "the duration of the long form", 847_000),
    (
        {"input_usd_per_million": "2.5", "audio_in_usd_per_million": "6", "output_usd_per_million": "10"},
        "a streamed transcription",
        14 * 6_000 + 4 * 10_000,
    ),
    ({"usd_per_unit": "0.000015"}, "characters spoken", 75_000),
    (
        {"input_usd_per_million": "0.6", "output_usd_per_million": "12"},
        "speech that counts tokens",
        3 * 600 + 80 * 12_000,
    ),
    ({"input_usd_per_million": "0.6", "output_usd_per_million": "12"}, "characters spoken", None),
    ({"usd_per_unit": "0.002"}, "searches of a rerank", 4_000_000),
    ({"input_usd_per_million": "0.02"}, "Jina's rerank", 16_300),
    ({"input_usd_per_million": "0.06"}, "Voyage's embeddings, which have one count", 360),
]


@pytest.mark.parametrize(("price", "name", "nano"), PRICED)
def test_what_a_call_used_is_priced(price: dict[str, Any], name: str, nano: int | None, start: Starter) -> None:
    path, asked, reply, _, _ = CASES[name]
    event = call(start(config(**price)), path, asked, reply)
    assert event.cost_nano == nano
    assert event.price == ("" if nano is None else "config")


LARGE = "A" * 3_000_000


def test_pictures_too_large_to_be_held_are_counted(start: Starter) -> None:
    reply = {"created": 1, "data": [{"b64_json": LARGE}, {"b64_json": LARGE}], "size": "1024x1024", "usage": GPT_IMAGE}
    event = call(start(config()), MADE, {"prompt": "a cat"}, whole(reply))
    assert (event.input_total, event.output_total) == (50, 50)
    assert event.detail == detail(image_in=40, image_out=50, units=2)


def test_pictures_too_large_to_be_held_that_are_billed_by_the_piece_are_counted(start: Starter) -> None:
    reply = {"created": 1, "data": [{"b64_json": LARGE}, {"b64_json": LARGE}]}
    event = call(start(config(usd_per_unit="0.04")), MADE, {"prompt": "a cat", "quality": "hd"}, whole(reply))
    assert (event.detail, event.cost_nano) == (detail(units=2, service_tier="/hd"), 80_000_000)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 5, "total_tokens": 5}, {"total_tokens": 5}])
def test_vectors_too_many_to_be_held_are_counted(usage: dict[str, int], start: Starter) -> None:
    reply = {
        "object": "list",
        "data": [{"embedding": LARGE, "usage": {"prompt_tokens": 9}}],
        "model": "x",
        "usage": usage,
    }
    event = call(start(config()), "/v1/embeddings", {"input": "x"}, whole(reply))
    assert (event.usage_known, event.input_total) == (True, 5)


def test_an_answer_too_large_to_be_held_that_does_not_say_is_not_known(start: Starter) -> None:
    reply = {"object": "list", "data": [{"embedding": LARGE, "usage": {"prompt_tokens": 9}}]}
    assert not call(start(config()), "/v1/embeddings", {"input": "x"}, whole(reply)).usage_known


def test_what_passes_is_not_changed_by_being_counted(start: Starter) -> None:
    gateway = start(config())
    peer, caller = gateway.upstreams[9001].connect(), gateway.caller()
    caller.ask(MADE, b'{"model":"m"}')
    body = json.dumps({"data": [{"b64_json": LARGE}], "usage": GPT_IMAGE}).encode()
    said = answer(body)
    for at in range(0, len(said), 50_000):
        peer.say(said[at : at + 50_000])
    assert body_of(caller.take()) == body


def test_a_stream_of_pictures_that_is_cut_short_has_no_estimate(start: Starter) -> None:
    gateway = start(config())
    peer, caller = gateway.upstreams[9001].connect(), gateway.caller()
    caller.ask(MADE, b'{"model":"m","stream":true}')
    partial = streamed({"type": "image_generation.partial_image", "b64_json": "A" * 5000, "partial_image_index": 0})
    peer.say(partial[: -len(b"0\r\n\r\n")])
    peer.leave()
    (event,) = gateway.events()
    assert not event.usage_known


def test_an_error_counts_nothing(start: Starter) -> None:
    gateway = start(config())
    peer, caller = gateway.upstreams[9001].connect(), gateway.caller()
    caller.ask(SPEECH, b'{"model":"m","input":"hello","voice":"x"}')
    peer.say(whole({"error": {"message": "no"}}).replace(b"200 OK", b"400 No"))
    assert caller.take().startswith(b"HTTP/1.1 400 ")
    (event,) = gateway.events()
    assert not event.usage_known


def test_pages_of_documents_are_counted(start: Starter) -> None:
    gateway = start(config("mistral", usd_per_unit="0.001"))
    reply = whole({"pages": [{"index": 0}], "model": "o", "usage_info": {"pages_processed": 29, "doc_size_bytes": 3}})
    event = call(gateway, "/mistral/v1/ocr", {"document": {"type": "document_url", "document_url": "http://a"}}, reply)
    assert (event.detail, event.cost_nano) == (detail(units=29), 29_000_000)


@pytest.mark.parametrize(
    ("path", "asked", "reply", "tokens", "expected"),
    [
        (
            *("/v2/rerank", {"query": "q", "documents": ["a"]}),
            *(whole({"id": "r", "results": [], "meta": {"billed_units": {"search_units": 3}}}), 0, detail(units=3)),
        ),
        (
            *("/v2/embed", {"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]}),
            *(
                whole({"id": "e", "embeddings": {}, "texts": ["a"], "meta": {"billed_units": {"input_tokens": 4}}}),
                4,
                None,
            ),
        ),
        (
            *("/v2/embed", {"images": ["data:x"], "input_type": "image", "embedding_types": ["float"]}),
            whole({"id": "e", "embeddings": {"float": [LARGE]}, "meta": {"billed_units": {"images": 2}}}),
            *(0, detail(units=2)),
        ),
    ],
)
def test_what_cohere_bills_is_counted(
    path: str, asked: dict[str, Any], reply: bytes, tokens: int, expected: Detail | None, start: Starter
) -> None:
    event = call(start(config("cohere")), path, asked, reply)
    assert (event.usage_known, event.input_total, event.detail) == (True, tokens, expected)
