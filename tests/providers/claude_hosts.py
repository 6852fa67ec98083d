"""Claude at a scripted Bedrock and a scripted Vertex AI: the scripted Anthropic's answers, as the clouds send them."""

import json
import re
from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import unquote

from tests.providers import anthropic
from tests.providers.bedrock import failure, streamed, whole
from tests.providers.event_stream import event
from tests.providers.scripted import Connection, Request

INVOKE = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")
PREDICT = re.compile(
    r"/v1/projects/acme/locations/eu/publishers/anthropic/models/([^/:]+):(rawPredict|streamRawPredict)"
)
VERSIONS = {"bedrock": "bedrock-2023-05-31", "vertex": "vertex-2023-10-16"}
COUNT = 43


def bedrock(connection: Connection) -> None:
    """Answer the request just read, as Bedrock."""
    request = connection.upstream.requests[-1]
    found = INVOKE.fullmatch(request.path)
    assert found, request.path
    body = request.json()
    if found[2] == "count-tokens":
        assert unquote(found[1]).startswith("anthropic."), "inference profiles cannot be counted"
        body = json.loads(b64decode(body["input"]["invokeModel"]["body"]))
    wrong = complaint(request, body, "bedrock", ("model", "stream"))
    if wrong:
        connection.socket.sendall(failure("400 Bad Request", "ValidationException", wrong))
    elif found[2] == "count-tokens":
        connection.socket.sendall(whole({"inputTokens": COUNT}))
    elif found[2] == "invoke":
        connection.socket.sendall(whole(anthropic.said(body)))
    else:
        connection.socket.sendall(streamed(chunks(anthropic.stream(anthropic.said(body)))))


def vertex(connection: Connection) -> None:
    """Answer the request just read, as Vertex AI."""
    request = connection.upstream.requests[-1]
    found = PREDICT.fullmatch(unquote(request.path))
    assert found, request.path
    body = request.json()
    counts = found[1] == "count-tokens"
    wrong = complaint(request, body, "vertex", () if counts else ("model",))
    if not counts and body.get("stream", False) is not (found[2] == "streamRawPredict"):
        wrong = wrong or "stream: does not match the method"
    if wrong:
        connection.socket.sendall(anthropic.error(400, "invalid_request_error", wrong))
    elif counts:
        connection.socket.sendall(anthropic.sized(200, b'{"input_tokens":%d}' % COUNT, "application/json"))
    elif body.get("stream"):
        said = anthropic.stream(anthropic.said(body))
        connection.socket.sendall(anthropic.sized(200, said, "text/event-stream; charset=utf-8"))
    else:
        connection.socket.sendall(anthropic.sized(200, json.dumps(anthropic.said(body)).encode(), "application/json"))


def mantle(connection: Connection) -> None:
    """Answer the request just read, as Bedrock's newer address, where Anthropic's API is as it is."""
    request = connection.upstream.requests[-1]
    assert request.path == "/anthropic/v1/messages", request.path
    body = request.json()
    if not request.headers.get("authorization", "").startswith("Bearer ") or "anthropic-version" not in request.headers:
        connection.socket.sendall(anthropic.error(401, "authentication_error", "authorization: Field required"))
    elif body.get("stream"):
        said = anthropic.stream(anthropic.said(body))
        connection.socket.sendall(anthropic.sized(200, said, "text/event-stream; charset=utf-8"))
    else:
        connection.socket.sendall(anthropic.sized(200, json.dumps(anthropic.said(body)).encode(), "application/json"))


def complaint(request: Request, body: dict[str, Any], host: str, without: tuple[str, ...]) -> str:
    """Return what a host finds wrong with a request, "" for nothing."""
    if not request.headers.get("authorization", "").startswith(("Bearer ", "AWS4-HMAC-SHA256 ")):
        return "authorization: Field required"
    if body.get("anthropic_version") != VERSIONS[host]:
        return "anthropic_version: Field required"
    for name in without:
        if name in body:
            return f"{name}: Extra inputs are not permitted"
    counted = host == "vertex" and "model" in body
    return "" if counted or "max_tokens" in body else "max_tokens: Field required"


def chunks(events: bytes) -> bytes:
    """Return a stream of Anthropic's as Bedrock wraps it."""
    texts = [line.removeprefix(b"data: ") for line in events.split(b"\n") if line.startswith(b"data: ")]
    return b"".join(
        event("chunk", {"bytes": b64encode(text).decode(), "p": "abcdefgh"[: at % 8]}) for at, text in enumerate(texts)
    )
