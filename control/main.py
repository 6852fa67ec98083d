"""The control process: owns the active snapshot, feeds the workers, answers on the admin socket.

The supervisor starts it with sockets that are bound already and, over ``--supervisor-fd``, tells it which workers live.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from control.access import AccessLog
from control.api import application
from control.datadir import DataError, host_word
from control.exposition import Exposition
from control.feed import Feed, Peer
from control.intake import Intake
from control.lastgood import SnapshotFiles
from control.log import Log
from control.metrics import WorkerCounts
from control.orphans import Orphans
from control.public import public_application
from control.publish import Active, Publisher
from control.reload import reload
from control.resume import resume
from control.server import AdminServer
from control.supervise import CONFIG_REFUSED
from control.talk import Ready, Reload, Serving, Workers, line, to_control
from core.errors import ConfigError
from core.model import Static

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status: `CONFIG_REFUSED` if the config cannot be served."""
    parser = argparse.ArgumentParser(prog="python -m control.main", description="The control process; see headgate up.")
    parser.add_argument("--config", type=Path, required=True, help="file or directory to serve at start")
    parser.add_argument("--data", type=Path, required=True, help="the data directory")
    parser.add_argument("--control-fd", type=int, required=True, help="listening Unix socket for workers")
    parser.add_argument("--admin-fd", type=int, required=True, help="listening Unix socket for the API")
    parser.add_argument("--access-log", help="file for a line of each call, or stdout")
    parser.add_argument("--public-fd", type=int, help="listening TCP socket for metrics and health")
    parser.add_argument("--supervisor-fd", type=int, required=True, help="socket to the supervisor")
    asked = parser.parse_args(arguments)
    log = Log("control")
    try:
        files = SnapshotFiles(asked.data, log)
        active = resume(asked.config, files, log)
    except DataError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 for a person, as the command line prints it
        return CONFIG_REFUSED
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)  # noqa: T201 for a person, as validate prints it
        return CONFIG_REFUSED
    try:
        intake = Intake(asked.data / "usage", host_word(asked.data), log)
    except (DataError, OSError) as error:
        log("usage-unusable", reason=error)
        return 1
    return uvloop.run(serve(asked, files, active, intake, log))


async def serve(asked: argparse.Namespace, files: SnapshotFiles, active: Active, intake: Intake, log: Log) -> int:
    """Serve workers and the API until a signal, or until a part of it ends that must not."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    access = AccessLog(asked.access_log, log) if asked.access_log is not None else None
    if access is not None:
        access.start()
        intake.heard = access.add
    feed = Feed(active.offer, intake, WorkerCounts(), os.geteuid(), log)
    publisher = Publisher(feed, active, asked.config, files, log)
    workers = await loop.create_unix_server(
        lambda: Peer(feed), sock=socket.socket(fileno=asked.control_fd), backlog=4096
    )
    exposition = Exposition(feed, publisher, intake, access)
    servers = [AdminServer(application(publisher, feed, exposition, log), asked.admin_fd)]
    if asked.public_fd is not None:
        servers.append(AdminServer(public_application(exposition, log), asked.public_fd, unix=False))
    log("serving", version=active.snapshot.version, digest=active.snapshot.digest)
    parts = {
        asyncio.create_task(stop.wait(), name="signal"),
        *(asyncio.create_task(server.serve(), name="api") for server in servers),
        asyncio.create_task(intake.run(), name="usage"),
        asyncio.create_task(Orphans(asked.data / "rings", intake, feed.peers, log).run(), name="orphans"),
        asyncio.create_task(_follow(asked, feed, publisher, log), name="supervisor"),
    }
    ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    status = 0
    for part in ended:
        if part.get_name() != "signal":
            log("ended", part=part.get_name(), reason=part.exception() or "it returned")
            status = 1
    workers.close()
    feed.close()
    for server in servers:
        server.stop()  # type: ignore[no-untyped-call]
    for part in parts - ended:
        if part.get_name() != "api":
            part.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.gather(*parts, return_exceptions=True)
    if access is not None:
        access.close()
    intake.close()
    return status


async def _follow(asked: argparse.Namespace, feed: Feed, publisher: Publisher, log: Log) -> None:
    """Take in the supervisor's lines until it is gone; tell it that we serve, and later that every worker does."""
    lines, writer = await asyncio.open_connection(sock=socket.socket(fileno=asked.supervisor_fd))
    telling: set[asyncio.Task[None]] = set()

    async def tell() -> None:
        writer.write(line(Serving()).encode() + b"\n")
        await feed.all_serving()
        writer.write(line(Ready()).encode() + b"\n")

    async def read_again(static: Static) -> None:
        writer.write(line(await reload(publisher, asked.config, static, log)).encode() + b"\n")

    telling.add(asyncio.create_task(tell()))
    try:
        while said := await lines.readline():
            match to_control(said):
                case Workers() as workers:
                    feed.heard(workers)
                case Reload(static):
                    telling.add(asyncio.create_task(read_again(static)))
    finally:
        for task in telling:
            task.cancel()
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
