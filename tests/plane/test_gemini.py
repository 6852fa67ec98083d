"""plane.dialects.gemini where both ends speak it, and its counts and embeddings through the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import GatewayError
from plane.canonical import Carry, Image, Message, Request, Text, Tool
from plane.dialects._gemini_passing import ArrayScan
from plane.dialects.gemini import Gemini, Options, build
from plane.embedding import EmbeddingAnswer, EmbeddingRequest, Vector
from plane.exchange import Exchange
from plane.http1.origin import Origin
from plane.runtime import Route, Target
from plane.usage import Usage
from tests.plane.rig import make_exchange
from tests.plane.splits import splits

CASES = Path(__file__).parents[1] / "golden/dialects/gemini"
STUDIO: Gemini = build(Options())
VERTEX: Gemini = build(Options(project="p 1", location="europe-west4"))
OPERATIONS = {operation.name: operation for operation in STUDIO.operations}
COUNT, EMBED = STUDIO.translators["count_tokens"], STUDIO.translators["embeddings"]


def target(model: str = "gemini-2.5-flash") -> Target:
    return Target("p/real", 1, Origin("http", "p.test", 80, "", 1), b"p.test", b"", model, {}, {}, b"")


def read(path: bytes, operation: str = "generateContent", body: bytes = b"", query: bytes = b"") -> Exchange:
    exchange = make_exchange()
    exchange.route = Route("r", dialect=STUDIO, operation=OPERATIONS[operation])
    exchange.path, exchange.body, exchange.query = path, body, query
    STUDIO.read(exchange)
    return exchange


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/v1beta/models/caller-model:generateContent", "caller-model"),
        (b"/genai/v1/models/a%20b%3Ac:generateContent", "a b:c"),
        (b"/v1beta/models/qwen:7b:generateContent", "qwen:7b"),
        (b"/v1beta/models/org/name:generateContent", "org/name"),
        (b"/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "m"),
    ],
)
def test_the_model_is_found_in_the_path(path: bytes, name: str) -> None:
    assert read(path).model_name == name


@pytest.mark.parametrize("name", [b"%FF", b"", b"a%0Ab", b"%00"])
def test_a_name_that_is_no_text_is_refused(name: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        read(b"/v1beta/models/%b:generateContent" % name)
    assert (raised.value.status, raised.value.code) == (400, "bad_path")


@pytest.mark.parametrize(
    ("dialect", "name", "stream", "path"),
    [
        (STUDIO, "generateContent", False, "/v1beta/models/a%2F..%3Fb:generateContent"),
        (STUDIO, "generateContent", True, "/v1beta/models/a%2F..%3Fb:streamGenerateContent?alt=sse"),
        (STUDIO, "streamGenerateContent", True, "/v1beta/models/a%2F..%3Fb:streamGenerateContent?alt=sse"),
        (STUDIO, "countTokens", False, "/v1beta/models/a%2F..%3Fb:countTokens"),
        (
            VERTEX,
            "generateContent",
            False,
            "/v1/projects/p%201/locations/europe-west4/publishers/google/models/a%2F..%3Fb:generateContent",
        ),
    ],
)
def test_a_providers_path_holds_the_model_as_one_segment(dialect: Gemini, name: str, stream: bool, path: str) -> None:
    assert dialect.path(OPERATIONS[name], "models/a/..?b", stream) == path


def test_keys_and_tokens_go_in_fields_of_their_own() -> None:
    assert STUDIO.credential_line("AIza") == b"x-goog-api-key: AIza\r\n"
    assert VERTEX.credential_line("ya29.x") == b"authorization: Bearer ya29.x\r\n"


def test_a_chats_body_is_not_touched() -> None:
    body = b' {"contents" : [ ], "model": "models/x", "\\u0061": 1.10, "model": 2} '
    exchange = read(b"/v1beta/models/m:streamGenerateContent", "streamGenerateContent", body)
    assert exchange.stream
    assert STUDIO.write(exchange, target()) is body


@pytest.mark.parametrize(
    ("operation", "body", "wanted"),
    [
        (
            "batchEmbedContents",
            b'{"requests": [ {"model":"models/m", "content":{"model":1}},{"content":{}}], "x": 1.0}',
            b'{"requests": [{"model":"models/g", "content":{"model":1}},{"content":{}}], "x": 1.0}',
        ),
        ("embedContent", b'{"model":"models/m","content":{}}', b'{"model":"models/g","content":{}}'),
        ("embedContent", b'{"content":{}}', b'{"content":{}}'),
        (
            "countTokens",
            b'{"generateContentRequest":{"contents":[], "model": "models/m"}}',
            b'{"generateContentRequest":{"contents":[], "model": "models/g"}}',
        ),
        ("countTokens", b'{"contents":[]}', b'{"contents":[]}'),
        ("countTokens", b"no JSON", b"no JSON"),
        ("batchEmbedContents", b'{"requests":[1]}', b'{"requests":[1]}'),
    ],
)
def test_where_a_body_repeats_the_models_name_only_that_is_changed(operation: str, body: bytes, wanted: bytes) -> None:
    exchange = read(b"/v1beta/models/m:" + operation.encode(), operation, body)
    assert STUDIO.write(exchange, target("models/g")) == wanted


@pytest.mark.parametrize("case", sorted(path.name.split(".")[0] for path in CASES.glob("*.stream")))
def test_an_event_stream_passes_unchanged_and_its_usage_is_read(case: str) -> None:
    data = (CASES / f"{case}.stream").read_bytes()
    counts = set()
    for pieces in splits(data):
        exchange = read(b"/v1beta/models/m:streamGenerateContent", "streamGenerateContent", query=b"alt=sse")
        exchange.scan = STUDIO.scan(exchange)
        assert b"".join(exchange.scan.feed(piece) for piece in pieces) + exchange.scan.flush() == data
        exchange.answer_ended = True
        assert exchange.scan.error == (case == "error")
        counts.add(repr(STUDIO.usage(exchange)))
    wanted = {"error": "Usage(in=8, out=2, cached=0, reasoning=0)"}
    answer = json.loads((CASES / f"{case}.answer.json").read_bytes())
    if case not in wanted:
        wanted[case] = repr(STUDIO.translators["chat"].read_answer(json.dumps(answer).encode(), Carry()).usage)
    assert counts == {wanted[case]}


def test_the_usage_of_a_whole_answer_is_read_from_its_end() -> None:
    exchange = read(b"/v1beta/models/m:generateContent")
    exchange.reply = (CASES / "usage.answer.json").read_bytes()
    usage = STUDIO.usage(exchange)
    assert usage is not None
    assert (usage.input_total, usage.output_total, usage.cache_read, usage.reasoning) == (2148, 43, 1536, 40)
    for reply in (b"", b"no JSON", b"{}", b'{"usageMetadata":5}', b'{"usageMetadata":{}}'):
        exchange.reply = reply
        assert STUDIO.usage(exchange) is None


def test_of_a_stream_cut_short_the_last_count_is_an_estimate() -> None:
    exchange = read(b"/v1beta/models/m:streamGenerateContent", "streamGenerateContent", query=b"alt=sse")
    exchange.scan = STUDIO.scan(exchange)
    exchange.scan.feed((CASES / "thinking.stream").read_bytes()[:-600])
    usage = STUDIO.usage(exchange)
    assert usage is not None
    assert (usage.estimated, usage.reasoning > 0) == (True, True)


def test_without_alt_sse_a_stream_is_one_array_of_the_same_messages() -> None:
    data = (CASES / "thinking.stream").read_bytes()
    messages = [line.removeprefix(b"data: ") for line in data.split(b"\r\n\r\n")[:-1]]
    wanted = b"[" + b",\r\n".join(messages) + b"\n]"
    for pieces in splits(data):
        exchange = read(b"/v1beta/models/m:streamGenerateContent", "streamGenerateContent", query=b"alt=json&x=1")
        exchange.scan = STUDIO.scan(exchange)
        assert b"".join(exchange.scan.feed(piece) for piece in pieces) + exchange.scan.flush() == wanted
        exchange.answer_ended = True
        assert repr(STUDIO.usage(exchange)) == "Usage(in=7, out=34, cached=0, reasoning=24)"
        assert (exchange.scan.content, exchange.scan.events, exchange.scan.error) == (True, 4, False)
    assert STUDIO.stream_type(exchange) == b"application/json"


def test_an_array_that_breaks_off_is_still_one_and_ends_in_the_error() -> None:
    error = GatewayError(502, "upstream_reset", "upstream", "It broke.")
    scan = ArrayScan()
    begun = scan.feed(b'data: {"a":1}\n\ndata: {"cut')
    assert [entry.get("error", entry).get("code") for entry in json.loads(begun + scan.broken(error))] == [None, 502]
    assert json.loads(ArrayScan().broken(error))[0]["error"]["status"] == "UNAVAILABLE"
    assert ArrayScan().flush() == b"[]"


def test_errors_are_told_as_google_tells_them() -> None:
    error = GatewayError(429, "rate_limit_exceeded", "caller", "Too many.", hint="Wait.", retry_after=1.5)
    body = json.loads(STUDIO.error(error))["error"]
    assert (body["code"], body["message"], body["status"]) == (429, "Too many. Wait.", "RESOURCE_EXHAUSTED")
    assert [detail.get("reason") or detail["retryDelay"] for detail in body["details"]] == [
        "RATE_LIMIT_EXCEEDED",
        "1.500s",
    ]
    assert STUDIO.error_event(error) == b"data: %b\r\n\r\n" % STUDIO.error(error)


def test_a_delay_may_stand_in_the_body_or_in_a_field() -> None:
    error = (CASES / "error.answer.json").read_bytes()
    assert STUDIO.read_fault(429, [(b"Retry-After", b"7")], error).retry_after == 34.0
    assert STUDIO.read_fault(429, [(b"Retry-After", b"7")], b"").retry_after == 7.0
    assert STUDIO.read_fault(429, [], b"").retry_after == -1.0


# --- counts


def test_a_count_may_be_asked_of_turns_or_of_a_whole_request() -> None:
    turns = COUNT.read_request(b'{"contents":[{"parts":[{"text":"a"}]}]}', "m")
    whole = b'{"generate_content_request":{"model":"models/m","contents":[{"parts":[{"text":"a"}]}]}}'
    assert COUNT.read_request(whole, "m") == turns
    assert turns.messages == [Message("user", [Text("a")])]


def test_a_count_is_asked_with_instructions_and_tools() -> None:
    request = Request("m", [Message("user", [Text("a")])], system=[Text("s")], tools=[Tool("f")], temperature=1.0)
    body = json.loads(COUNT.write_request(request, Carry("gemini-2.5-flash")))["generateContentRequest"]
    assert body["model"] == "models/gemini-2.5-flash"
    assert sorted(body) == ["contents", "generationConfig", "model", "systemInstruction", "tools"]
    vertex = json.loads(VERTEX.translators["count_tokens"].write_request(request, Carry("gemini-2.5-flash")))
    assert sorted(vertex) == ["contents", "systemInstruction", "tools"]


def test_a_count_is_read_and_written() -> None:
    assert COUNT.read_answer(b'{"totalTokens": 7, "promptTokensDetails": []}', Carry()) == 7
    assert json.loads(COUNT.write_answer(7, Request("m", []))) == {"totalTokens": 7}
    with pytest.raises(GatewayError) as raised:
        COUNT.read_answer(b"{}", Carry())
    assert raised.value.code == "upstream_bad_answer"


# --- embeddings


def entry(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "models/m", "content": {"parts": [{"text": text}]}, **more}


def test_one_input_or_a_batch_is_read() -> None:
    single = EMBED.read_request(json.dumps(entry("a", taskType="RETRIEVAL_QUERY", title="t")).encode(), "m")
    assert single == EmbeddingRequest("m", ["a"], single=True, purpose="query", title="t")
    batch = {"requests": [entry("a", output_dimensionality=8), entry("b", output_dimensionality=8)]}
    assert EMBED.read_request(json.dumps(batch).encode(), "m") == EmbeddingRequest("m", ["a", "b"], dimensions=8)


@pytest.mark.parametrize(
    "body",
    [
        {"requests": []},
        {"requests": [entry("a"), entry("b", title="t")]},
        {"content": {"parts": []}},
        {"taskType": "CLUSTERING"},
        {"content": {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]}},
    ],
)
def test_what_the_hub_cannot_embed_is_refused(body: Any) -> None:
    with pytest.raises(GatewayError) as raised:
        EMBED.read_request(json.dumps(body).encode(), "m")
    assert raised.value.status == 400


def test_a_batch_is_written_and_a_purpose_without_a_word_is_named() -> None:
    carry = Carry("gemini-embedding-001")
    request = EmbeddingRequest("m", ["a", Image(media_type="image/png", data="aaaa")], purpose="image", dimensions=8)
    first, second = json.loads(EMBED.write_request(request, carry))["requests"]
    assert first == {**entry("a"), "model": "models/gemini-embedding-001", "outputDimensionality": 8}
    assert second["content"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]
    assert carry.names == ["input_type"]
    with pytest.raises(GatewayError):
        EMBED.write_request(EmbeddingRequest("m", [[1, 2]]), carry)


def test_vectors_are_read_and_written_in_the_form_that_was_asked_for() -> None:
    answer = EMBED.read_answer(b'{"embeddings":[{"values":[0.5]},{"values":[1]}]}', Carry("g"))
    assert answer == EmbeddingAnswer("g", [Vector(0, [0.5]), Vector(1, [1.0])])
    assert EMBED.read_answer(b'{"embedding":{"values":[0.5]}}', Carry("g")).vectors == answer.vectors[:1]
    body = json.loads(EMBED.write_answer(answer, EmbeddingRequest("m", ["a", "b"])))
    assert body == {"embeddings": [{"values": [0.5]}, {"values": [1.0]}]}
    one = EmbeddingAnswer("g", answer.vectors[:1], Usage(3, 0))
    assert json.loads(EMBED.write_answer(one, EmbeddingRequest("m", ["a"], single=True))) == {
        "embedding": {"values": [0.5]},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }
    with pytest.raises(GatewayError):
        EMBED.read_answer(b'{"embeddings":[{"values":"x"}]}', Carry("g"))
