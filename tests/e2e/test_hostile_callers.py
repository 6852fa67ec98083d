import pytest

from tests.conformance.answers import sized
from tests.conformance.callers import BODY, CASES, CHUNKED, HOST, TARGET, Case, call, chunked, raw
from tests.e2e.conftest import Stage
from tests.e2e.harness import KEYS, chat_request, get, nonce, post

DOORS = pytest.mark.parametrize("door", ["http", "https"])


@DOORS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_each_request_gets_its_answer_and_the_connection_its_due(case: Case, door: str, stage: Stage) -> None:
    with stage.connect(door) as caller:
        caller.send(case.request)
        answer = caller.receive(head=case.head)
        assert answer.status in case.statuses
        if case.code and not case.head:
            assert answer.error["code"] == answer.get("x-headgate-error")
            assert case.code in ("*", answer.error["code"])
            assert answer.get("x-should-retry") == "false"
            assert answer.get("x-request-id")
        for name, value in case.fields:
            assert answer.get(name) == value
        if case.closes:
            assert caller.is_closed()
        elif case.closes is False:
            word = nonce()
            caller.send(chat_request(word))
            assert caller.receive().text == f"You said: {word}"


def test_requests_of_the_same_table_reach_the_upstream_only_when_they_are_served(stage: Stage) -> None:
    for case in CASES:
        stage.gateway.call(case.request, head=case.head)
    served = [case for case in CASES if not case.code and case.request.startswith(b"POST")]
    assert [request.json()["messages"] for request in stage.upstream.requests] == [
        [{"role": "user", "content": "hello"}] for _ in served
    ]


@DOORS
@pytest.mark.parametrize("case", [case for case in CASES if len(case.request) < 3000], ids=lambda case: case.name)
def test_the_answer_is_the_same_if_the_request_comes_byte_by_byte(case: Case, door: str, stage: Stage) -> None:
    with stage.connect(door) as caller:
        try:
            for byte in case.request:
                caller.send(bytes([byte]))
        except OSError:
            assert case.closes
        answer = caller.receive(head=case.head)
        assert answer.status in case.statuses
        if case.code and not case.head:
            assert case.code in ("*", answer.error["code"])


def test_missing_and_unknown_keys_get_the_same_answer_byte_for_byte(stage: Stage) -> None:
    fields = "x-request-id: same\r\n"
    heads, bodies = set(), set()
    for request in (
        raw("GET /v1/models HTTP/1.1", HOST, "x-request-id: same"),
        get("/v1/models", key="wrong", fields=fields),
        get("/v1/models", key=KEYS["alice"] + "x", fields=fields),
        get("/v1/models", key=KEYS["alice"][:-1], fields=fields),
    ):
        answer = stage.gateway.call(request)
        heads.add((answer.status, tuple((name, value) for name, value in answer.fields if name != "date")))
        bodies.add(answer.body)
    assert len(heads) == len(bodies) == 1
    assert next(iter(heads))[0] == 401


@DOORS
def test_pipelined_requests_are_answered_in_order(door: str, stage: Stage) -> None:
    words = [nonce() for _ in range(10)]
    with stage.connect(door) as caller:
        caller.send(b"".join(chat_request(word) for word in words))
        assert [caller.receive().text for _ in words] == [f"You said: {word}" for word in words]


@DOORS
def test_a_bad_request_behind_good_ones_is_answered_in_its_place(door: str, stage: Stage) -> None:
    word = nonce()
    with stage.connect(door) as caller:
        caller.send(chat_request(word) + get("/nowhere") + b"nonsense\r\n\r\n" + chat_request("never"))
        assert caller.receive().text == f"You said: {word}"
        assert caller.receive().status == 404
        assert caller.receive().status == 400
        assert caller.is_closed()
    assert len(stage.upstream.requests) == 1


@DOORS
def test_too_many_pipelined_requests_end_the_connection(door: str, stage: Stage) -> None:
    with stage.connect(door) as caller:
        caller.send(get("/v1/models") * 200)
        answers = caller.rest()
        assert answers.count(b"HTTP/1.1 200 OK") < 200
    assert stage.gateway.call(get("/v1/models")).status == 200


@DOORS
def test_the_caller_is_asked_for_the_body_it_holds_back(door: str, stage: Stage) -> None:
    request = call(f"content-length: {len(BODY)}", "expect: 100-continue", body=b"")
    with stage.connect(door) as caller:
        caller.send(request)
        assert caller.receive().status == 100
        caller.send(BODY)
        assert caller.receive().text == "You said: hello"
    assert "expect" not in stage.upstream.requests[0].headers


@DOORS
def test_a_caller_that_will_be_refused_is_not_asked_for_its_body(door: str, stage: Stage) -> None:
    with stage.connect(door) as caller:
        caller.send(raw(f"POST {TARGET} HTTP/1.1", HOST, "content-length: 9", "expect: 100-continue"))
        assert caller.receive().status == 401
        assert caller.is_closed()


def test_a_body_is_sent_on_with_a_length_and_without_what_was_around_it(stage: Stage) -> None:
    upgrade = ("connection: upgrade, http2-settings, x-hop", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
    hops = (
        *upgrade,
        "x-hop: 1",
        "te: trailers",
        "keep-alive: timeout=5",
        "proxy-authorization: Basic YTpi",
        "x-kept: 2",
    )
    body = chunked(b"hello ", b"world")[:-2] + b"x-trailer: 1\r\n\r\n"
    answer = sized(body=b"{}")
    stage.upstream.script(answer)
    assert stage.gateway.call(call(CHUNKED, *hops, line="POST /api/x HTTP/1.1", body=body)).body == b"{}"
    seen = stage.upstream.requests[0]
    assert seen.body == b"hello world"
    assert (seen.headers["content-length"], seen.headers["x-kept"]) == ("11", "2")
    around = {"transfer-encoding", "upgrade", "http2-settings", "x-hop", "te", "keep-alive", "x-trailer"}
    assert seen.headers.keys().isdisjoint(around | {"proxy-authorization", "authorization", "expect"})
    assert KEYS["alice"].encode() not in seen.head


def test_the_body_of_an_upgrade_is_never_read_as_a_request(stage: Stage) -> None:
    inner = get("/api/smuggled")
    upgrade = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
    outer = call(*upgrade, f"content-length: {len(inner)}", line="POST /api/outer HTTP/1.1", body=inner)
    stage.upstream.script(sized(body=b"{}"))
    word = nonce()
    with stage.gateway.connect() as caller:
        caller.send(outer + chat_request(word))
        assert caller.receive().body == b"{}"
        assert caller.receive().text == f"You said: {word}"
    assert [request.path for request in stage.upstream.requests] == ["/api/outer", "/v1/chat/completions"]
    assert stage.upstream.requests[0].body == inner


@pytest.mark.parametrize("size", [1024, 1025])
def test_a_model_s_bound_is_exact(size: int, stage: Stage) -> None:
    body = BODY.replace(b"good", b"narrow")
    padded = body[:-1] + b',"p":"' + b"x" * (size - len(body) - 7) + b'"}'
    assert len(padded) == size
    assert stage.gateway.call(post(TARGET, padded)).status == (200 if size == 1024 else 413)


@DOORS
def test_slow_heads_and_bodies_are_ended(door: str, stage: Stage) -> None:
    request = call("content-length: 1000000", body=b"{")
    with (
        stage.connect(door) as nothing,
        stage.connect(door) as half_a_head,
        stage.connect(door) as half_a_body,
        stage.connect(door) as half_a_chunk,
    ):
        half_a_head.send(request[:50])
        half_a_body.send(request)
        half_a_chunk.send(call(CHUNKED, body=b"ff\r\nabc"))
        for caller, code in (
            (half_a_head, "head_timeout"),
            (half_a_body, "body_timeout"),
            (half_a_chunk, "body_timeout"),
        ):
            answer = caller.receive()
            assert (answer.status, answer.error["code"]) == (408, code)
            assert caller.is_closed()
        assert nothing.is_closed()
    assert stage.upstream.requests == []


def test_a_usable_request_id_is_kept_and_any_other_is_replaced(stage: Stage) -> None:
    assert (
        stage.gateway.call(get("/v1/models", fields="x-request-id: a.B_c:1-2\r\n")).get("x-request-id") == "a.B_c:1-2"
    )
    for bad in ("", "a b", "x" * 200, "<script>", "\x80"):
        answer = stage.gateway.call(
            get("/v1/models", fields="").replace(b"\r\n\r\n", f"\r\nx-request-id: {bad}\r\n\r\n".encode("latin-1"))
        )
        assert answer.status == 200
        assert answer.get("x-request-id") not in ("", bad)
