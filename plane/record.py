"""Phase 12: every request leaves one usage event; health checks, answers to malformed bytes and what is shed do not.

A request that the worker has no room for costs as little as can be, here and where events are counted.
"""

from __future__ import annotations

import re
from time import monotonic_ns, time_ns

from core.usage import Detail, UsageEvent
from plane.exchange import Exchange
from plane.explain import explained
from plane.measure import count_unrecorded, measure_phases
from plane.owed import once_of
from plane.usage import Usage

__all__ = ["record", "take_id"]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

MAX_PATH = 256
"""Bytes of a path that are kept."""


def take_id(exchange: Exchange) -> None:
    """Keep the caller's request id if it is one, else give the request an id of ours."""
    given = exchange.request_id
    if not given or REQUEST_ID.fullmatch(given) is None:
        exchange.request_id = exchange.runtime.shared.ledger.next_id()


def record(exchange: Exchange) -> None:
    """Append the usage event of a finished request to the worker's ledger."""
    consumer = exchange.consumer
    route = exchange.route
    if consumer is None and exchange.error == "overloaded":
        return  # `shed` has counted it.
    if route is None or (consumer is None and route.handler is not None):
        count_unrecorded(exchange)
        return
    ledger = exchange.runtime.shared.ledger
    now = monotonic_ns()
    measure_phases(exchange, now)
    usage = exchange.usage
    target = exchange.target
    model = exchange.model
    requested = exchange.model_name if model is not None and model.is_wildcard else ""
    once = once_of(exchange.owed) if exchange.owed is not None and usage is not None else ""
    has_words = requested != "" or once != ""
    detail = detail_of(usage, requested, once) if has_words or (usage is not None and has_detail(usage)) else None
    if exchange.trace is not None:
        detail = explained(exchange, detail)
    ledger.append(
        UsageEvent(
            ledger.next_event_id(),
            time_ns() // 1_000_000,
            exchange.runtime.digest,
            exchange.request_id.decode(),
            consumer.name if consumer is not None else "",
            route.name,
            model.name if model is not None else "",
            target.name if target is not None else "",
            exchange.status,
            exchange.error,
            exchange.stream,
            exchange.attempts,
            (now - exchange.started) // 1000,
            (exchange.first_byte - exchange.started) // 1000 if exchange.first_byte else 0,
            usage.input_total if usage is not None else 0,
            usage.output_total if usage is not None else 0,
            usage.cache_read if usage is not None else 0,
            usage.reasoning if usage is not None else 0,
            usage is not None,
            exchange.method.decode("latin-1"),
            exchange.path[:MAX_PATH].decode("latin-1"),
            exchange.peer.decode("latin-1"),
            exchange.body_size,
            bytes_out(exchange),
            "https" if exchange.downstream.secure else "http",
            exchange.cost,
            exchange.price,
            detail,
        )
    )


def has_detail(usage: Usage) -> bool:
    """Tell whether there is more to keep of `usage` than its totals, cache reads and reasoning."""
    counted = usage.cache_write_5m | usage.cache_write_1h | usage.audio_in | usage.audio_out | usage.image_in
    counted |= usage.image_out | usage.tool_use_prompt | usage.server_tools | usage.units | usage.milliseconds
    return counted != 0 or usage.estimated or usage.service_tier != ""


def detail_of(usage: Usage | None, requested: str, once: str) -> Detail:
    """Return what few calls have: of `usage`, and the words of `core.usage.Detail`."""
    if usage is None:
        return Detail(requested=requested)
    return Detail(
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.audio_in,
        usage.audio_out,
        usage.image_in,
        usage.image_out,
        usage.tool_use_prompt,
        usage.server_tools,
        usage.units,
        usage.milliseconds,
        usage.service_tier,
        usage.estimated,
        requested,
        once=once,
    )


def bytes_out(exchange: Exchange) -> int:
    """Return the bytes of the body that the caller gets: those that went out already, and those that `send` will."""
    if exchange.error == "caller_gone" or exchange.method == b"HEAD":
        return exchange.relayed
    return exchange.relayed + len(exchange.tail if exchange.committed else exchange.reply)
