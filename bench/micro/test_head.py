"""What the door costs by itself: parsing a request, and writing the head of its answer. No socket, no upstream."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from plane.exchange import Exchange
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.metrics import Metrics
from plane.overload import Gauge
from plane.timers import Timers

Measure = Callable[..., None]
FIELDS = (
    b"x-request-id: hg-0123abcd-0-1f\r\nx-headgate-config: 0123456789ab\r\ncontent-type: application/json\r\n"
    b"x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 99\r\nx-ratelimit-reset-requests: 10ms\r\n"
)
BODY = b'{"object":"chat.completion"}' + b" " * 996
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.internal:8080\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-hg-0123456789\r\nAccept: */*\r\nUser-Agent: bench\r\nContent-Length: 1024\r\n\r\n"
) + BODY


class Transport:
    """Takes what is written and forgets it."""

    def write(self, data: bytes) -> None:
        self.written = data

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 50000)


async def answer_at_once(exchange: Exchange) -> None:
    exchange.downstream.answer(200, FIELDS, BODY)


@pytest.fixture
def connection() -> Connection:
    door = Door(SimpleNamespace(runtime=None), answer_at_once, Timers(), Metrics(), Gauge(8, 8, 1024), lambda: None)
    door.date = b"date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    made = Connection(door)
    made.connection_made(Transport())
    return made


def test_request_and_answer(measure: Measure, connection: Connection) -> None:
    measure("1 KB request parsed, 1 KB answer written", connection.data_received, REQUEST)
