import contextlib
import hashlib
import json

from tests.conformance.answers import CHUNK, DONE, JSON, LAST_CHUNK, STREAM_HEAD, chunk, sized
from tests.e2e.conftest import Stage
from tests.e2e.harness import chat_request, events_of, get, nonce
from tests.providers.scripted import Connection, Step, awaits, sets, until_closed

DEADLINE = 20.0
MIB = 1024 * 1024


def stream_request(content: str, *, model: str = "good", **members: object) -> bytes:
    return chat_request(content, model=model, stream=True, **members)


def test_events_reach_the_caller_as_they_come(stage: Stage) -> None:
    pieces = [CHUNK.replace(b"scripted", b"piece %d" % number) for number in range(5)]
    steps: list[Step] = [STREAM_HEAD]
    for number, piece in enumerate(pieces):
        steps += [awaits(f"send {number}"), chunk(piece)]
    stage.upstream.script(*steps, chunk(DONE) + LAST_CHUNK)
    with stage.gateway.connect() as caller:
        caller.send(stream_request("hello"))
        stage.upstream.event("send 0").set()
        answer = caller.receive_head()
        assert answer.get("content-type").startswith("text/event-stream")
        assert "no-cache" in answer.get("cache-control")
        assert answer.get("x-accel-buffering") == "no"
        received = b""
        for part in caller.chunks():
            received += part
            # Only what has arrived lets the upstream go on: a gateway that buffers would wait for ever.
            stage.upstream.event(f"send {received.count(b'piece')}").set()
        assert received == b"".join(pieces) + DONE


def test_an_event_in_pieces_is_whole_for_the_caller(stage: Stage) -> None:
    whole = CHUNK + DONE
    stage.upstream.script(STREAM_HEAD, *(chunk(whole[index : index + 1]) for index in range(len(whole))), LAST_CHUNK)
    with stage.gateway.connect() as caller:
        caller.send(stream_request("hello"))
        assert caller.receive().body == whole


def test_usage_is_asked_for_upstream_and_kept_from_a_caller_who_did_not_ask(stage: Stage) -> None:
    word = nonce()
    with stage.gateway.connect() as caller:
        caller.send(stream_request(word))
        *chunks, done = events_of(caller.receive().body)
    assert stage.upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert done == b"[DONE]"
    parsed = [json.loads(item) for item in chunks]
    assert all(item["choices"] for item in parsed)
    assert "".join(item["choices"][0]["delta"].get("content") or "" for item in parsed) == f"You said: {word}"


def test_a_caller_who_asks_for_usage_gets_the_upstream_s_bytes(stage: Stage) -> None:
    usage = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
    stage.upstream.script(STREAM_HEAD + chunk(CHUNK) + chunk(usage) + chunk(DONE) + LAST_CHUNK)
    with stage.gateway.connect() as caller:
        caller.send(stream_request("hello", stream_options={"include_usage": True, "include_obfuscation": False}))
        assert caller.receive().body == CHUNK + usage + DONE
    options = stage.upstream.requests[0].json()["stream_options"]
    assert options == {"include_usage": True, "include_obfuscation": False}


def test_other_stream_options_survive_when_usage_is_added(stage: Stage) -> None:
    for given in ({"include_obfuscation": False}, {"include_usage": False}, {}, None):
        with stage.gateway.connect() as caller:
            caller.send(stream_request("hello", stream_options=given))
            body = caller.receive().body
        assert b'"choices":[]' not in body
        assert stage.upstream.requests[-1].json()["stream_options"] == (given or {}) | {"include_usage": True}


def test_only_the_model_s_name_is_changed_in_a_call(stage: Stage) -> None:
    odd = b'"u":"\\u00e9\xc3\xa9", "big":12345678901234567890, "messages":[ ] ,"z":{"model":"x"}'
    body = b'{ "a" : 1.50, "model":"good",\t' + odd + b"}"
    stage.upstream.script(sized())
    request = chat_request("").split(b"\r\n\r\n")[0].rsplit(b"content-length", 1)[
        0
    ] + b"content-length: %d\r\n\r\n" % len(body)
    answer = stage.gateway.call(request + body)
    assert answer.body == JSON
    assert stage.upstream.requests[0].body == body.replace(b'"model":"good"', b'"model":"scripted-small"')


def test_the_upstream_is_asked_for_plain_bytes_with_the_provider_s_credential(stage: Stage) -> None:
    stage.gateway.call(chat_request("hello").replace(b"host:", b"accept-encoding: gzip, br\r\nhost:", 1))
    head = stage.upstream.requests[0].head.lower()
    assert head.startswith(b"post /v1/chat/completions http/1.1\r\n")
    assert head.count(b"authorization:") == 1
    assert b"authorization: bearer sk-provider-secret-4711\r\n" in head
    assert head.count(b"\r\nhost: 127.0.0.1:%d\r\n" % stage.upstream.port) == 1
    assert stage.upstream.requests[0].headers.get("accept-encoding", "identity") == "identity"


def test_the_upstream_is_cancelled_when_the_caller_leaves_before_the_answer(stage: Stage) -> None:
    stage.upstream.script(sets("asked"), until_closed, sets("closed"))
    with stage.gateway.connect() as caller:
        caller.send(chat_request("hello"))
        assert stage.upstream.event("asked").wait(DEADLINE)
        caller.leave()
        assert stage.upstream.event("closed").wait(DEADLINE)


def test_the_upstream_is_cancelled_when_the_caller_leaves_in_mid_stream(stage: Stage) -> None:
    stage.upstream.script(STREAM_HEAD, chunk(CHUNK), until_closed, sets("closed"))
    with stage.gateway.connect() as caller:
        caller.send(stream_request("hello"))
        caller.receive_head()
        assert next(caller.chunks()) == CHUNK
        caller.leave()
        assert stage.upstream.event("closed").wait(DEADLINE)


def test_a_large_stream_is_cancelled_when_the_caller_leaves_it_unread(stage: Stage) -> None:
    def flood(connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.socket.sendall(chunk(CHUNK * 500))
        sets("cut")(connection)

    stage.upstream.script(STREAM_HEAD, flood)
    with stage.gateway.connect(receive_buffer=4096) as caller:
        caller.send(stream_request("hello"))
        caller.receive_head()
        caller.leave()
        assert stage.upstream.event("cut").wait(DEADLINE)
    word = nonce()
    assert stage.gateway.call(chat_request(word)).text == f"You said: {word}"


def test_a_slow_reader_stops_the_upstream_and_loses_nothing(stage: Stage) -> None:
    event = CHUNK.replace(b"scripted", b"x" * 60_000)
    total = 64 * MIB // len(event)
    sent = []

    def flood(connection: Connection) -> None:
        """Send until the gateway takes no more, say so, and send the rest once the caller reads."""
        connection.socket.settimeout(1.0)
        data = memoryview(chunk(event) * total)
        while data:
            try:
                count = connection.socket.send(data[:MIB])
            except TimeoutError:
                sent.append(len(data))
                stage.upstream.event("stalled").set()
                connection.socket.settimeout(DEADLINE)
                continue
            data = data[count:]
        stage.upstream.event("stalled").set()

    stage.upstream.script(STREAM_HEAD, flood, chunk(DONE) + LAST_CHUNK)
    with stage.gateway.connect(receive_buffer=65536) as caller:
        caller.send(stream_request("hello"))
        caller.receive_head()
        assert stage.upstream.event("stalled").wait(DEADLINE)
        # What the kernel and the gateway hold together, of both legs; most of the stream is still at its source.
        assert sent
        assert sent[0] > 32 * MIB
        digest = hashlib.sha256()
        for part in caller.chunks():
            digest.update(part)
    assert digest.digest() == hashlib.sha256(event * total + DONE).digest()


def test_a_connection_serves_other_calls_after_a_stream(stage: Stage) -> None:
    with stage.gateway.connect() as caller:
        for _ in range(3):
            word = nonce()
            caller.send(stream_request(word))
            assert events_of(caller.receive().body)[-1] == b"[DONE]"
            caller.send(chat_request(word))
            assert caller.receive().text == f"You said: {word}"


def test_a_caller_of_http_1_0_gets_a_stream_until_close(stage: Stage) -> None:
    with stage.gateway.connect() as caller:
        caller.send(stream_request("hello").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        answer = caller.receive()
        assert answer.get("transfer-encoding") == ""
        assert events_of(answer.body)[-1] == b"[DONE]"


def test_a_plain_route_is_relayed_both_ways(stage: Stage) -> None:
    stage.upstream.script(b"HTTP/1.1 201 Created\r\netag: 1\r\ncontent-length: 3\r\n\r\n\0\xff1")
    answer = stage.gateway.call(get("/api/things/7?a=%2F&b", method="DELETE"))
    assert (answer.status, answer.body, answer.get("etag")) == (201, b"\0\xff1", "1")
    assert stage.upstream.requests[0].line == "DELETE /api/things/7?a=%2F&b HTTP/1.1"
    assert "authorization" not in stage.upstream.requests[0].headers
