"""Phase 10: the answer, from the upstream to the caller.

An answer held whole goes out in `answer.send`, after it has been recorded. A stream goes out as it comes: the caller's
pace decides, for nothing is taken from the upstream's connection while the caller's is full. Its terminal bytes are
held back in `tail`, since they may leave only once the call is recorded.
"""

from __future__ import annotations

from core.errors import GatewayError
from plane.answer import accept, accept_stream
from plane.exchange import Exchange
from plane.http1.client import is_event_stream
from plane.pump import pump

__all__ = ["relay"]


async def relay(exchange: Exchange) -> None:
    """Take an answer held whole, or relay a stream up to its terminal bytes."""
    try:
        await relay_answer(exchange)
    finally:
        exchange.move_by(None)
        if exchange.upstream is not None:
            exchange.upstream.detach(exchange.scan is not None and exchange.scan.done)


async def relay_answer(exchange: Exchange) -> None:
    """Look at the answer's head, and take or relay what follows."""
    if exchange.route.needs_model:
        check_credential(exchange)
    events = is_event_stream(exchange.answer_type)
    if exchange.answer_ended and not (events and exchange.route.needs_model):
        accept(exchange)
        return
    accept_stream(exchange, events)
    if events and exchange.route.needs_model:
        exchange.scan = exchange.route.dialect.scan(exchange)
    # Cleaned, an error may become shorter than its head says.
    is_framed = not events and exchange.cleaner is None
    exchange.downstream.start(exchange.status, exchange.fields, exchange.answer_length if is_framed else -1)
    exchange.committed = True
    exchange.move_by(pump)
    while not exchange.moved:
        await exchange
    if exchange.scan is not None and exchange.scan.error:
        exchange.error = "upstream_error"


def check_credential(exchange: Exchange) -> None:
    """Keep a refusal of the gateway's own credential from looking like one of the caller's key."""
    if exchange.answer_status in (401, 403):
        raise GatewayError(
            502,
            "upstream_credential",
            "gateway",
            f"The provider refused the gateway's credential ({exchange.answer_status}).",
            hint="The operator of the gateway has to renew the provider's credential.",
            retry_after=-1.0,
        )
