"""A scripted Azure: OpenAI's answers at Azure's addresses, with the results of its content filters."""

import json
import re
from urllib.parse import parse_qs, urlsplit

from examples.quickstart import provider
from tests.providers.scripted import Connection, Request

VERSION = "2024-10-21"
SAFE = {"hate": {"filtered": False, "severity": "safe"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": SAFE}]
FIRST = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": PROMPT}
FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
}


def answer(connection: Connection) -> None:
    """Answer the request just read, and keep the connection."""
    made = respond(connection.upstream.requests[-1])
    connection.socket.sendall(provider.head_of(made) + b"".join(provider.chunks_of(made)))


def respond(request: Request) -> provider.Answer:
    """Return what Azure answers: the version and the deployment stand in the path, or nothing does."""
    url = urlsplit(request.path)
    dated = re.fullmatch(r"/openai/deployments/([^/]+)(/.+)", url.path)
    body = request.json()
    if dated:
        if parse_qs(url.query) != {"api-version": [VERSION]}:
            return provider.Answer(404, b'{"error":{"code":"404","message":"Resource not found"}}')
        body["model"] = dated[1]
        path = f"/v1{dated[2]}"
    else:
        path = url.path.removeprefix("/openai")
    if "forbidden" in json.dumps(body.get("messages", "")):
        return provider.Answer(400, provider.dump(FILTERED))
    key = {"authorization": f"Bearer {request.headers['api-key']}"} if "api-key" in request.headers else {}
    made = provider.respond("POST", path, key, provider.dump(body))
    if made.events:
        return provider.Answer(200, events=(provider.event(provider.dump(FIRST)), *made.events))
    if made.status == 200 and path.endswith("/chat/completions"):
        whole = json.loads(made.body)
        whole["choices"][0]["content_filter_results"] = SAFE
        return provider.Answer(200, provider.dump({**whole, "prompt_filter_results": PROMPT}))
    return made
