"""The compiled step of a relay: everything that can be moved now is moved."""

from __future__ import annotations

from plane.exchange import Exchange

__all__ = ["pump"]


def pump(exchange: Exchange) -> bool:
    """Move what has come from the upstream to the caller; tell whether the stream has come to its terminal bytes.

    False: there is nothing more to move now, or the caller is full; ask again after the next wake-up.
    """
    downstream = exchange.downstream
    scan = exchange.scan
    while not downstream.full:
        data = exchange.take_answer()
        if exchange.cleaner is not None:
            data = exchange.cleaner.feed(data)
            if exchange.answer_ended:
                data = data + exchange.cleaner.flush()
        if not data:
            if not exchange.answer_ended:
                return False
            if scan is not None:
                exchange.tail = exchange.tail + scan.flush()
            return True
        if scan is not None:
            data = scan.feed(data)
            if scan.done:
                exchange.tail = data
                return True
        if exchange.answer_ended:
            exchange.tail = data
        elif data:
            exchange.relayed += len(data)
            downstream.write(data)
    if exchange.upstream is not None:
        exchange.upstream.pause()
    return False
