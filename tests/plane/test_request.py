"""plane.request: what an upstream gets to see of a request."""

from typing import Any

import pytest

from tests.plane.conftest import Starter
from tests.plane.rig import KEY, Gateway, consumer, one_model


def plain(**more: Any) -> dict[str, Any]:
    """Return a config with a plain API on port 9001, below a base path."""
    return {
        "upstreams": {"u": {"endpoints": ["http://u.test:9001/base/"]}},
        "routes": {"r": {"match": {"path": "/r/*"}, "upstream": "u", **more}},
        "consumers": {"c": consumer()},
    }


def sent(gateway: Gateway, path: str, body: bytes = b"", method: str = "POST", fields: bytes = b"") -> bytes:
    """Return the bytes of the request that goes upstream."""
    peer = gateway.upstreams[9001].connect()
    gateway.caller().ask(path, body, method, fields)
    return peer.take()


def lines_of(request: bytes) -> list[bytes]:
    head, _, _ = request.partition(b"\r\n\r\n")
    return head.split(b"\r\n")


def test_a_call_of_a_model_is_this_and_nothing_else(start: Starter) -> None:
    fields = (
        b"User-Agent: SDK/1\r\nCookie: a=b\r\nOpenAI-Organization: org\r\nX-Stainless-Lang: python\r\n"
        b"Idempotency-Key: k-1\r\nTraceparent: 00-1-2-01\r\nX-Request-Id: caller-1\r\nAccept-Encoding: gzip\r\n"
        b"Content-Type: text/plain\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\n"
    )
    body = b'{"model":"m","messages":[]}'
    sent_body = body.replace(b'"m"', b'"real"')
    assert sent(start(one_model()), "/v1/chat/completions?x=y", body, fields=fields) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: p.test:9001\r\n"
        b"authorization: Bearer sk-vendor\r\n"
        b"content-type: application/json\r\n"
        b"accept-encoding: identity\r\n"
        b"x-request-id: caller-1\r\n"
        b"User-Agent: SDK/1\r\n"
        b"Idempotency-Key: k-1\r\n"
        b"Traceparent: 00-1-2-01\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(sent_body), sent_body)
    )


@pytest.mark.parametrize("operation", ["chat/completions", "completions", "embeddings"])
@pytest.mark.parametrize("prefix", ["/v1/", "/"])
def test_each_operation_goes_to_its_own_path(operation: str, prefix: str, start: Starter) -> None:
    request = sent(start(one_model()), prefix + operation, b'{"model":"m"}')
    assert lines_of(request)[0] == b"POST /v1/%b HTTP/1.1" % operation.encode()


@pytest.mark.parametrize("target", ["/r/1", "/r/1?a=b&a=c%20d", "/r/a.b~c?", "/r/x?q=/../%2f?"])
def test_the_target_goes_through_byte_by_byte_below_the_base_path(target: str, start: Starter) -> None:
    request = sent(start(plain()), target, method="GET")
    assert lines_of(request)[0] == b"GET /base%b HTTP/1.1" % target.encode()


def test_of_an_absolute_target_the_api_gets_the_path_and_the_host(start: Starter) -> None:
    request = sent(start(plain()), "http://other:80/r/1?a=b", method="GET")
    assert lines_of(request)[:2] == [b"GET /base/r/1?a=b HTTP/1.1", b"host: u.test:9001"]
    assert b"x-forwarded-host: other:80" in lines_of(request)


def test_what_is_meant_for_the_api_goes_through_and_what_is_meant_for_this_hop_does_not(start: Starter) -> None:
    through = [
        b"Accept: a/b",
        b"accept-encoding: gzip",
        b"COOKIE: a=b",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"Range: bytes=0-",
    ]
    hop = [
        *(b"Connection: X-Mine, close", b"X-Mine: 1", b"Keep-Alive: timeout=5", b"TE: trailers", b"Trailer: X"),
        *(b"Upgrade: h2c", b"Proxy-Authorization: Basic x", b"Proxy-Connection: close", b"HTTP2-Settings: AAMAAABk"),
    ]
    request = sent(start(plain()), "/r/1", b"body", fields=b"".join(line + b"\r\n" for line in through + hop))
    assert lines_of(request) == [
        b"POST /base/r/1 HTTP/1.1",
        b"host: u.test:9001",
        *through,
        b"x-request-id: hg-01234567-0-1",
        b"x-forwarded-for: 127.0.0.1",
        b"x-forwarded-host: gateway",
        b"x-forwarded-proto: http",
        b"content-length: 4",
    ]
    assert request.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    "field",
    [
        b"X-Forwarded-For: 1.2.3.4",
        b"x_forwarded_for: 1.2.3.4",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Proto: https",
        b"X-Real-IP: 1.2.3.4",
        b"Forwarded: for=1.2.3.4",
    ],
)
def test_what_a_caller_says_of_the_way_here_is_not_passed_on(field: bytes, start: Starter) -> None:
    request = sent(start(plain()), "/r/1", fields=field + b"\r\n")
    assert field not in lines_of(request)
    assert lines_of(request).count(b"x-forwarded-for: 127.0.0.1") == 1


@pytest.mark.parametrize("fields", [b"", b"X-Api-Key: other\r\n", b"api-key: other\r\n"])
def test_the_caller_s_key_stays_here(fields: bytes, start: Starter) -> None:
    request = sent(start(plain()), "/r/1", fields=fields)
    assert KEY.encode() not in request
    assert b"other" not in request


def test_a_route_without_auth_passes_the_caller_s_own_credential(start: Starter) -> None:
    request = sent(start(plain(auth="none")), "/r/1", fields=b"X-Api-Key: theirs\r\n")
    assert b"Authorization: Bearer " + KEY.encode() in lines_of(request)
    assert b"X-Api-Key: theirs" in lines_of(request)


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("POST", b"", b"content-length: 0"),
        ("PUT", b"x", b"content-length: 1"),
        ("PATCH", b"", b"content-length: 0"),
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("GET", b"{}", b"content-length: 2"),
    ],
)
def test_a_body_has_a_length_and_its_absence_is_said_where_one_is_expected(
    method: str, body: bytes, length: bytes | None, start: Starter
) -> None:
    lines = lines_of(sent(start(plain()), "/r/1", body, method))
    assert [line for line in lines if line.lower().startswith(b"content-length")] == ([length] if length else [])


def test_a_body_that_came_in_chunks_goes_on_with_a_length(start: Starter) -> None:
    gateway = start(plain())
    peer = gateway.upstreams[9001].connect()
    gateway.caller().say(
        b"POST /r/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n" % KEY.encode()
    )
    request = peer.take()
    assert b"content-length: 5" in lines_of(request)
    assert request.endswith(b"\r\n\r\nabcde")
    assert b"railer" not in request
