"""Paced streams of events: the upstream that writes them and the callers that read them, each a process of its own.

nginx cannot pace events (`limit_rate` delays by bytes, and wakes several events late), so both ends are small uvloop
protocols: one write per stream and period, which takes about 8 us, on the core the measured worker does not use.
Vendors flush each event as a chunk of its own, and so does this; ``eight-per-read`` writes eight of them at once.
The streams take turns within the period: the worker is woken for each, as by strangers.

    python -m bench.stream upstream PORT
    python -m bench.stream read PORT MODEL KEY STREAMS SECONDS
"""

import asyncio
import json
import sys
import time

import uvloop

from bench.payload import DONE, EVENTS, STREAM_EVENT, STREAM_PAYLOAD, STREAM_USAGE, stream_call

__all__ = ["PERIOD_MS", "PER_WRITE", "dechunk", "main"]

PERIOD_MS = 10
PER_WRITE = {"one-per-read": 1, "eight-per-read": 8}
RAMP_SECONDS = 1.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def dechunk(body: bytes) -> bytes:
    """Return what a complete chunked body carries; ValueError when it is not one."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


class Pacer:
    """Gives each open stream its turn once per period, spread over the period's milliseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.slots: list[set[Upstream]] = [set() for _ in range(PERIOD_MS)]
        self.joined = 0
        self.tick = 0
        self.start = loop.time()

    def join(self, stream: "Upstream") -> set["Upstream"]:
        """Put `stream` into the next slot in turn and return that slot."""
        slot = self.slots[self.joined % PERIOD_MS]
        self.joined += 1
        slot.add(stream)
        return slot

    def run(self) -> None:
        """Write for every slot that is due, then wait for the next millisecond."""
        due = int((self.loop.time() - self.start) * 1000)
        # After a stall the missed turns are left out: catching up would write several events into one read.
        for tick in range(max(self.tick, due - PERIOD_MS + 1), due + 1):
            for stream in tuple(self.slots[tick % PERIOD_MS]):
                stream.turn()
        self.tick = due + 1
        self.loop.call_later(0.001, self.run)


class Upstream(asyncio.Protocol):
    """One connection from a proxy; a call on it is answered with EVENTS events at the pace its model names."""

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self.slot: set[Upstream] = set()
        self.received = b""
        self.left = 0
        self.per_write = 1
        self.usage = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, it is one
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.slot.discard(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = next(
            int(value)
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
            if name.lower() == b"content-length"
        )
        if len(body) < length:
            return
        self.received = body[length:]
        call = json.loads(body[:length])
        self.per_write = PER_WRITE[call["model"]]
        asked = (call.get("stream_options") or {}).get("include_usage")
        self.usage = chunk(STREAM_USAGE) if asked else b""
        self.left = EVENTS - self.per_write
        self.slot = self.pacer.join(self)
        self.transport.write(HEAD + chunk(STREAM_EVENT) * self.per_write)

    def turn(self) -> None:
        """Write what is due in this period."""
        self.left -= self.per_write
        if self.left > 0:
            self.transport.write(chunk(STREAM_EVENT) * self.per_write)
            return
        self.slot.discard(self)
        self.transport.write(chunk(STREAM_EVENT) * self.per_write + self.usage + chunk(DONE) + LAST_CHUNK)


class Counters:
    """What all readers of one run saw."""

    def __init__(self) -> None:
        self.events = self.reads = self.streams = self.wrong = 0
        self.first_us: list[float] = []
        self.example = ""


class Reader(asyncio.Protocol):
    """One caller: reads stream after stream on one connection and compares each, whole, with what was sent."""

    def __init__(self, call: bytes, counters: Counters) -> None:
        self.call = call
        self.counters = counters
        self.ended = asyncio.get_running_loop().create_future()
        self.parts: list[bytes] = []
        self.last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, it is one
        self.transport = transport
        self.next()

    def next(self) -> None:
        """Call for a stream, or leave."""
        if self.last:
            self.transport.close()
            return
        self.parts = []
        self.sent = time.perf_counter()
        self.transport.write(self.call)

    def data_received(self, data: bytes) -> None:
        counters = self.counters
        events = data.count(b"data: ")
        if events:
            if not any(b"data: " in part for part in self.parts[:2]):
                counters.first_us.append((time.perf_counter() - self.sent) * 1e6)
            counters.events += events
            counters.reads += 1
        self.parts.append(data)
        if data.endswith(LAST_CHUNK):
            self.check()
            self.next()

    def check(self) -> None:
        """Compare the stream that just ended, byte for byte."""
        head, _, body = b"".join(self.parts).partition(b"\r\n\r\n")
        self.counters.streams += 1
        try:
            right = head.startswith(b"HTTP/1.1 200 ") and dechunk(body) == STREAM_PAYLOAD
        except ValueError:
            right = False
        if not right:
            self.counters.wrong += 1
            self.counters.example = (head + b"\r\n\r\n" + body)[:600].decode(errors="replace")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.last or error is not None:
            self.counters.wrong += 1
            self.counters.example = f"connection lost: {error!r} after {b''.join(self.parts)[:400]!r}"
        if not self.ended.done():
            self.ended.set_result(None)


async def upstream(port: int) -> None:
    """Serve paced streams until stopped."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    server = await loop.create_server(lambda: Upstream(pacer), "127.0.0.1", port, backlog=1024)
    pacer.run()
    await server.serve_forever()


async def read(port: int, model: str, key: str, streams: int, seconds: float) -> None:
    """Hold `streams` streams open for `seconds` after a ramp; print ``begin``, then the counted window as JSON.

    Counters cover the window; ``wrong`` and ``checked`` cover every stream, those that ended after it too.
    """
    loop = asyncio.get_running_loop()
    body = stream_call(model)
    call = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (key.encode(), len(body), body)
    )
    counters = Counters()
    readers = []
    for _ in range(streams):
        _, reader = await loop.create_connection(lambda: Reader(call, counters), "127.0.0.1", port)
        readers.append(reader)
        await asyncio.sleep(RAMP_SECONDS / streams)
    events, reads = counters.events, counters.reads
    counters.first_us.clear()
    print("begin", flush=True)
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    result = {
        "events": counters.events - events,
        "reads": counters.reads - reads,
        "seconds": time.perf_counter() - begin,
        "first_us": sorted(counters.first_us),
    }
    print("end", flush=True)
    for reader in readers:
        reader.last = True
    await asyncio.wait([reader.ended for reader in readers], timeout=EVENTS * PERIOD_MS / 1000 + 10)
    result |= {
        "checked": counters.streams,
        "wrong": counters.wrong + sum(not reader.ended.done() for reader in readers),
        "example": counters.example,
    }
    print(json.dumps(result), flush=True)


def main(arguments: list[str]) -> None:
    """Run one end; see the module's docstring."""
    if arguments[0] == "upstream":
        uvloop.run(upstream(int(arguments[1])))
    else:
        port, model, key, streams, seconds = arguments[1:]
        uvloop.run(read(int(port), model, key, int(streams), float(seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
