"""The models that a caller's key may use, listed as its SDK wants them: in OpenAI's shape, Anthropic's or Gemini's."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from core.errors import GatewayError
from core.wildcards import is_wildcard
from plane.decode import may_use, usable_models, usable_parts
from plane.exchange import Exchange

__all__ = ["list_anthropic_models", "list_gemini_models", "list_models"]

JSON = b"content-type: application/json\r\n"
PAGE = 20
GEMINI_PAGE = 50
MAX_PAGE = 1000
"""Models of one page, in Anthropic's list and in Gemini's, where the caller does not say, and at most."""

Answer = tuple[int, bytes, bytes]


def list_models(exchange: Exchange) -> Answer:
    """Answer ``/v1/models`` and ``/v1/models/NAME`` as OpenAI does."""
    name = asked(exchange)
    if name is None:
        models = [described(name) for name in listed(exchange)]
        return answer(exchange, {"object": "list", "data": models})
    return answer(exchange, described(name))


def described(name: str) -> dict[str, object]:
    """Return a model as OpenAI lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "headgate"}


def list_anthropic_models(exchange: Exchange) -> Answer:
    """Answer ``/v1/models`` and ``/v1/models/NAME`` as Anthropic does, a page at a time (its reference, Models)."""
    name = asked(exchange)
    if name is not None:
        return answer(exchange, described_to_anthropic(name))
    names = listed(exchange)
    query = parse_qs(exchange.query.decode("latin-1"))
    limit = limit_of(query.get("limit", [str(PAGE)])[-1], "limit")
    begin, end = 0, len(names)
    if "after_id" in query:
        begin = place_of(names, query["after_id"][-1], "after_id") + 1
    if "before_id" in query:
        end = place_of(names, query["before_id"][-1], "before_id")
        begin = max(begin, end - limit)
        more = begin > 0
    else:
        more = end - begin > limit
    page = names[begin : min(end, begin + limit)]
    return answer(
        exchange,
        {
            "data": [described_to_anthropic(name) for name in page],
            "has_more": more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        },
    )


def described_to_anthropic(name: str) -> dict[str, object]:
    """Return a model as Anthropic lists it; a name of the gateway's has no date and no size of its own."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": None,
        "max_tokens": None,
        "capabilities": None,
    }


def list_gemini_models(exchange: Exchange) -> Answer:
    """Answer ``/v1beta/models`` and ``/v1beta/models/NAME`` as Gemini does; the token of a page is the last name."""
    name = asked(exchange)
    if name is not None:
        return answer(exchange, described_to_gemini(name))
    names = listed(exchange)
    query = parse_qs(exchange.query.decode("latin-1"))
    limit = limit_of(query.get("pageSize", [str(GEMINI_PAGE)])[-1], "pageSize")
    begin = place_of(names, query["pageToken"][-1], "pageToken") + 1 if "pageToken" in query else 0
    page = names[begin : begin + limit]
    body: dict[str, object] = {"models": [described_to_gemini(name) for name in page]}
    if begin + limit < len(names):
        body["nextPageToken"] = page[-1]
    return answer(exchange, body)


def described_to_gemini(name: str) -> dict[str, object]:
    """Return a model as Gemini lists it."""
    return {"name": f"models/{name}", "displayName": name}


def asked(exchange: Exchange) -> str | None:
    """Return the model that the path names, None if it names none; GatewayError 404 if the caller may not use it."""
    _, _, text = exchange.path.partition(b"/models/")
    if not text:
        return None
    name = unquote_to_bytes(text).decode("utf-8", "replace")
    runtime = exchange.runtime
    known = may_use(exchange, name) and (name in runtime.models or runtime.wildcards.find(name) is not None)
    if not known:
        raise GatewayError(
            404, "model_not_found", "caller", "This key may not use a model of that name.", param="model"
        )
    return name


def listed(exchange: Exchange) -> list[str]:
    """Return the models that the caller may use, sorted; of a wildcard the names that price lists know, or itself.

    A single name that the consumer's list has of a wildcard is there, whoever knows it.
    """
    names = set(usable_models(exchange))
    for wildcard in exchange.runtime.wildcards.made:
        parts = usable_parts(exchange.consumer, wildcard.model.name)
        known = [name for name in wildcard.names() if may_use(exchange, name)]
        names.update(known)
        names.update(part for part in parts if not known or not is_wildcard(part))
    return sorted(names)


def limit_of(text: str, param: str) -> int:
    """Return how many models are asked for."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_PAGE:
        raise GatewayError(
            400, "invalid_request", "caller", f"{param} must be a number from 1 to {MAX_PAGE}.", param=param
        )
    return int(text[:9])


def place_of(names: list[str], name: str, param: str) -> int:
    """Return where a page begins or ends."""
    if name not in names:
        raise GatewayError(400, "invalid_request", "caller", f"{param} is no model of this list.", param=param)
    return names.index(name)


def answer(exchange: Exchange, body: object) -> Answer:
    """Return the answer with its fields."""
    head = [JSON, b"x-request-id: %b\r\n" % exchange.request_id, exchange.runtime.mark]
    if exchange.route.id_field:
        head.append(b"%b: %b\r\n" % (exchange.route.id_field, exchange.request_id))
    return 200, b"".join(head), msgspec.json.encode(body)
