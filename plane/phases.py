"""The life of a request: the phases in their order. Each is explained in the file of its name.

Only this coroutine and the three phases that wait for a peer suspend; everything else is a plain, compiled call.
"""

from __future__ import annotations

import logging
from time import monotonic_ns

from core.errors import GatewayError
from plane.admit import admit
from plane.answer import refuse, send
from plane.call import call
from plane.choose import choose
from plane.counting import answer_estimate
from plane.decode import decode
from plane.exchange import Exchange
from plane.identify import identify
from plane.match import match
from plane.record import record, take_id
from plane.relay import relay
from plane.settle import settle
from plane.shed import shed
from plane.upload import open_form

__all__ = ["serve"]

log = logging.getLogger("headgate.plane")


async def serve(exchange: Exchange) -> None:
    """Serve one request: every way through ends in one answer, one settlement and one record."""
    try:
        take_id(exchange)
        if exchange.fault is not None:
            await exchange
        route = match(exchange)
        if route.handler is None:
            shed(exchange)
        if route.needs_key:
            identify(exchange)
        if route.handler is not None:
            exchange.status, exchange.fields, exchange.reply = route.handler(exchange)
        else:
            if route.needs_key:
                admit(exchange)
            exchange.downstream.want_body(exchange, route.max_body)
            if route.is_form:
                await open_form(exchange)
            elif not exchange.body_complete:
                began = monotonic_ns()
                while not exchange.body_complete:
                    await exchange
                exchange.body_ns = monotonic_ns() - began
            decode(exchange)
            choose(exchange)
            if not (route.counts and answer_estimate(exchange)):
                await call(exchange)
                await relay(exchange)
    except GatewayError as error:
        refuse(exchange, error)
    except Exception:
        log.exception("request %s failed inside the gateway", exchange.request_id.decode())
        refuse(exchange, GatewayError(500, "internal_error", "gateway", "The gateway failed; this is not your fault."))
    settle(exchange)
    record(exchange)
    send(exchange)
