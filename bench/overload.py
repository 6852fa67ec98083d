"""``python -m bench overload``: what a worker still serves when three times as much is asked of it as it lets in.

The upstream takes `SERVICE` seconds for each call, so that the worker's cap of requests in flight is its bound.
Each caller calls again at once after an answer, and after `SERVICE` seconds if it was refused. So `FITTING` callers are
the peak, and three times as many offer three times the load.
"""

import asyncio
import secrets
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import uvloop

from bench.gateway import gateway
from bench.payload import CHAT, CHAT_ANSWER
from bench.process import BenchError, Cores, free_port
from bench.servers import Ports

__all__ = ["command"]

CAP = 100
FITTING = CAP * 80 // 100
"""Requests in flight that a consumer alone may have: see docs/overload.md."""
SERVICE = 0.05
SECONDS = 5.0
BAR = 0.9
"""Of the peak, what must still be served."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(CHAT_ANSWER),
    CHAT_ANSWER,
)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each call on one of the worker's connections, after `SERVICE` seconds."""
    # The end of the run cancels it; uvloop would report that.
    with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(CHAT))
            await asyncio.sleep(SERVICE)
            writer.write(ANSWER)
    writer.close()


async def caller(port: int, request: bytes, found: Counter[str]) -> None:
    """Call again and again on one connection, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, _, length = head.partition(b"\r\ncontent-length: ")
            body = await reader.readexactly(int(length.split(b"\r\n")[0]))
            if head.startswith(b"http/1.1 200 ") and body == CHAT_ANSWER:
                found["served"] += 1
            elif head.startswith(b"http/1.1 503 ") and b"\r\nretry-after: " in head and b'"overloaded"' in body:
                found["refused"] += 1
                await asyncio.sleep(SERVICE)
            else:
                raise BenchError(f"an answer that is neither right nor a refusal: {head + body!r}")
    finally:
        writer.close()


async def offered(port: int, key: str, callers: int) -> Counter[str]:
    """Return what came of so many callers in `SECONDS`, once each has called a few times."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(CHAT)}\r\n\r\n".encode() + CHAT
    found: Counter[str] = Counter()
    tasks = [asyncio.create_task(caller(port, request, found)) for _ in range(callers)]
    await asyncio.sleep(5 * SERVICE)
    found.clear()
    ended, _ = await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    counted = Counter(found)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
    return counted


async def measured(upstream: int, port: int, key: str) -> tuple[Counter[str], Counter[str]]:
    """Return what came of the callers that fit, and of three times as many."""
    async with await asyncio.start_server(serve, "127.0.0.1", upstream, backlog=1024):
        return await offered(port, key, FITTING), await offered(port, key, 3 * FITTING)


def command() -> int:
    """Measure, and print what came of it; 1 where too little was served."""
    key, upstream = f"hg-{secrets.token_urlsafe(24)}", free_port()
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as name:
        limits = f", limits: {{in_flight: {CAP}}}"
        with gateway(Path(name), Cores.here(), Ports(upstream, upstream), key, limits) as front:
            peak, over = uvloop.run(measured(upstream, front.chat_port, key))
    if peak["refused"] or not over["refused"]:
        raise BenchError(f"{peak['refused']} calls were refused at the peak, and {over['refused']} above it")
    share = over["served"] / max(1, peak["served"])
    served, refused = over["served"] / SECONDS, over["refused"] / SECONDS
    print(f"{FITTING} callers, a cap of {CAP} requests in flight: {peak['served'] / SECONDS:,.0f} calls/s")
    print(f"{3 * FITTING} callers: {served:,.0f} calls/s, and {refused:,.0f} refused with 503 and retry-after")
    print(f"served: {share:.1%} of the peak; the bar is {BAR:.0%}")
    return 0 if share >= BAR else 1
