"""One worker's life: it opens its files, serves with what control pushes, and drains when it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import secrets
import signal
import socket
import sys
import time
from email.utils import formatdate
from pathlib import Path

import msgspec
import uvloop

from core.metrics import slot
from core.model import Listen
from core.units import parse_size
from plane.accept import Acceptor
from plane.certificate import CertificateFiles
from plane.delivery import Delivery
from plane.drain import drain
from plane.feed import Feed
from plane.first import first_snapshot
from plane.gauges import Reporter
from plane.granian_door import GranianDoor
from plane.http1.door import Door
from plane.http1.server import Connection
from plane.log import Lines
from plane.memory import Trimmer, malloc_trim
from plane.metrics import Metrics
from plane.notice import Notice
from plane.overload import Gauge
from plane.phases import serve
from plane.rings import open_ledger
from plane.runtime import Runtime
from plane.shared import Shared
from plane.steps import Steps, at_once
from plane.timers import TICK, Timers
from plane.tls_door import TlsDoor

__all__ = ["Worker", "main"]

LAG = slot("headgate_loop_lag_seconds")

log = logging.getLogger("headgate.plane")


class Worker:
    """Holds what changes in a worker: the live runtime, and whether it accepts callers."""

    def __init__(self, listener: socket.socket, shared: Shared, timers: Timers) -> None:
        self.shared = shared
        self.timers = timers
        self.runtime: Runtime | None = None
        self.drained = asyncio.Event()
        self.door = Door(self, serve, timers, shared.metrics, shared.gauge, self.drained.set)
        self.acceptor = Acceptor(listener, shared.gauge, lambda: Connection(self.door))
        self.doors = [self.door]
        self.tls: TlsDoor | None = None
        self.trimmer = Trimmer(malloc_trim)
        self.stopping = asyncio.Event()
        self.accepting = asyncio.Event()

    def add_tls(self, listener: socket.socket, files: CertificateFiles, data: Path) -> None:
        """Serve callers with TLS as well; ConfigError if the files cannot be used."""
        shared = self.shared
        door = Door(self, serve, self.timers, shared.metrics, shared.gauge, self.drained.set, "https")
        self.tls = TlsDoor(door, GranianDoor(door, data), listener, files)
        self.doors.append(door)

    def go_live(self, runtime: Runtime) -> Steps[None]:
        """Return the steps to serve with `runtime` from the next request on; those under way end on theirs."""
        before = self.runtime
        try:
            yield from runtime.bind(self.shared)
        except BaseException:
            at_once(self.shared.retire(before.site.origins if before is not None else set()))
            raise
        self.runtime = runtime
        self.accepting.set()
        yield from self.shared.retire(runtime.site.origins)

    async def accept(self, notice: Notice) -> None:
        """Accept callers once there is something to serve them with; until then they wait in the listener's queue."""
        await self.accepting.wait()
        await self.acceptor.start()
        if self.tls is not None:
            await self.tls.open()
        version = self.runtime.version if self.runtime else 0
        log.info("serving", extra={"fields": {"version": version}})
        notice.serving(version)

    async def tick(self) -> None:
        """Look at the deadlines, renew the Date field once a second, and take how late the loop comes to it."""
        second = 0.0
        while True:
            now = time.time()
            if now - second >= 1:
                second = now
                date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
                for door in self.doors:
                    door.date = date
            moment = time.monotonic_ns()
            self.timers.run(moment)
            for door in self.doors:
                door.hurry(moment)
            due = time.monotonic_ns() + int(TICK * 1e9)
            await asyncio.sleep(TICK)
            late = time.monotonic_ns() - due
            self.shared.metrics.observe(LAG, late // 1000)
            self.shared.gauge.tick(late)
            self.trimmer.look(self.shared.gauge.connections)
            await self.acceptor.look()
            if self.tls is not None:
                await self.tls.acceptor.look()


def inherited(option: str, handle: int) -> socket.socket:
    """Return the listening socket that the supervisor handed down; OSError says by which descriptor there is none."""
    try:
        return socket.socket(fileno=handle)
    except OSError as error:
        raise OSError(error.errno, f"{option} {handle} is no socket: {error.strerror}") from error


async def work(args: argparse.Namespace, notice: Notice) -> None:
    """Run a worker until SIGTERM."""
    listener = inherited("--listen-fd", args.listen_fd)
    timers = Timers()
    ledger = open_ledger(args.data / "rings", args.worker, secrets.token_hex(8))
    limits = args.listen.limits
    gauge = Gauge(limits.connections, limits.in_flight, parse_size(limits.bytes))
    shared = Shared(args.worker, args.data / "limits", timers, ledger, Metrics(), gauge)
    worker = Worker(listener, shared, timers)
    delivery = Delivery(ledger)
    feed = Feed(args.control, delivery, worker.go_live)
    if args.https_fd is not None:
        files = CertificateFiles(args.certificate, args.key, args.client_ca)
        worker.add_tls(inherited("--https-fd", args.https_fd), files, args.data)
    for door in worker.doors:
        door.allow(args.listen.timeouts)
    reporter = Reporter(shared, worker.doors, feed)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stopping.set)
    jobs = [feed.run(), delivery.run(), reporter.run(), worker.accept(notice), worker.tick()]
    jobs.append(first_snapshot(feed, args.data))
    if worker.tls is not None:
        jobs += [worker.tls.follow(), worker.tls.http2.run()]
    tasks = [loop.create_task(job) for job in jobs]
    stopped = loop.create_task(worker.stopping.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    while not stopped.done():
        failed = [task for task in tasks if task.done() and task.exception() is not None]
        if failed:
            failed[0].result()
        tasks = [task for task in tasks if not task.done()]
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    shared.draining = True
    feed.drain()
    await drain([one for one in (worker.acceptor, worker.tls) if one], worker.doors, worker.drained, args.drain)
    reporter.report()
    await feed.finish()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    shared.close()


def listen_of(text: str) -> Listen:
    """Return what the supervisor hands down of the config."""
    return msgspec.json.decode(text, type=Listen)


def main(argv: list[str], notice: Notice) -> None:
    """Run a worker with what the supervisor hands it; `notice` is told once it serves."""
    parser = argparse.ArgumentParser(prog="python -m plane", description="One worker; the supervisor starts it.")
    parser.add_argument("--worker", type=int, required=True, help="index of this worker, from 0")
    parser.add_argument("--listen", type=listen_of, required=True, help="`listen` of the config, as JSON")
    parser.add_argument("--listen-fd", type=int, required=True, help="the inherited listening socket for callers")
    parser.add_argument("--drain", type=float, required=True, help="seconds for requests under way after SIGTERM")
    parser.add_argument("--https-fd", type=int, help="the inherited listening socket for callers with TLS")
    parser.add_argument("--certificate", default="", help="the certificate for TLS, and its chain: a PEM file")
    parser.add_argument("--key", default="", help="its private key: a PEM file")
    parser.add_argument("--client-ca", default="", help="whose certificates callers must have: a PEM file")
    parser.add_argument("--control", required=True, help="path of the control socket")
    parser.add_argument("--data", type=Path, required=True, help="the data directory")
    args = parser.parse_args(argv)
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(Lines(f"worker-{args.worker}"))
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    gc.freeze()
    uvloop.run(work(args, notice))
