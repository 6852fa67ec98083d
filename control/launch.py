"""What `headgate up`, `headgate control` and `headgate plane` start: sockets, tables and processes, from one config."""

import mmap
import os
import socket
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from control.certificate import check_files
from control.child import Child, worker_environment
from control.datadir import ADMIN, CONSOLE, CONTROL, DataError, bind_tcp, bind_unix, lock, prepare
from control.descriptors import connections, raise_limit
from control.load import load
from control.log import Log
from control.notify import ServiceManager
from control.secrets import references
from control.supervise import Supervisor
from core.cells import Cells, size_for
from core.model import Config, Https, Listen
from core.units import parse_duration

__all__ = ["launch", "reap"]

LIMITS = "limits"
LIMIT_ROWS = 1 << 17  # subjects of limits the table has room for; a sparse file, so unused ones cost nothing
AFTER_DRAIN = 10.0  # seconds a worker has after its drain: last words to callers, its last usage to control
REAP_ROUNDS = 10
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def launch(config_path: Path, data: Path | None, *, control: bool, plane: bool) -> int:
    """Run the asked halves under one supervisor until a signal ends them; return the exit status.

    data: None takes the config's. Raises ConfigError or DataError before anything is started.
    """
    loaded = load(config_path)
    log = Log("supervisor")
    manager = ServiceManager(os.environ)
    listen = loaded.static.listen
    drain = parse_duration(listen.drain) / 1e9
    if plane and listen.https is not None:
        check_files(*_files(listen.https))
    home = prepare(data or Path(loaded.static.data))
    # Held until this process ends: a second supervisor would give two workers the same cells.
    halves = [half for half, asked in (("control", control), ("plane", plane)) if asked]
    held = lock(home, halves)
    consoles = [bind_unix(home / CONSOLE.format(half=half)) for half in halves]
    children: list[Child] = []
    addresses: dict[str, str] = {"data": str(home)}
    if control:
        feed, admin = bind_unix(home / CONTROL), bind_unix(home / ADMIN)
        public = _public(loaded.static.control.address)
        children.append(_control(config_path, home, feed, admin, public, loaded.static.access_log))
        addresses["admin"] = str(home / ADMIN)
        if public is not None:
            addresses["control"] = _address(public)
    cells: Cells | None = None
    if plane:
        cells = _limits(home / LIMITS)
        listen = _within(listen, raise_limit())
        listener = bind_tcp(listen.http)
        addresses["http"] = _address(listener)
        https = _https(listen.https) if listen.https is not None else _Https()
        if https.listener is not None:
            addresses["https"] = _address(https.listener)
        environment = worker_environment(os.environ, _secret_variables(loaded.config))

        def make_worker(index: int) -> Child:
            return _worker(index, listen, drain, home, listener, https, environment)

        children += [make_worker(index) for index in range(listen.workers)]

    def worker_ended(index: int) -> None:
        assert cells is not None
        if rows := reap(cells, [index]):
            log("limits-unsettled", worker=index, rows=rows, effect="these count too many until a worker of it ends")

    def ready() -> None:
        log("ready", **addresses)

    log("starting", pid=os.getpid(), config=config_path, workers=listen.workers if plane else 0, **addresses)
    try:
        patience = drain + AFTER_DRAIN
        return Supervisor(
            children,
            log,
            worker_ended,
            ready,
            patience,
            manager,
            loaded.static,
            make_worker if plane else None,
            consoles,
        ).run()
    finally:
        log("stopped", pid=os.getpid())
        for handle in held:
            os.close(handle)


def _control(
    config_path: Path,
    data: Path,
    feed: socket.socket,
    admin: socket.socket,
    public: socket.socket | None,
    access_log: str,
) -> Child:
    arguments = ["control.main", "--config", os.path.abspath(config_path), "--data", str(data)]
    arguments += ["--control-fd", str(feed.fileno()), "--admin-fd", str(admin.fileno())]
    handles = [feed.fileno(), admin.fileno()]
    if public is not None:
        arguments += ["--public-fd", str(public.fileno())]
        handles.append(public.fileno())
    if access_log != "off":
        arguments += ["--access-log", access_log if access_log == "stdout" else _writable(access_log)]
    return Child("control", arguments, tuple(handles), dict(os.environ))


def _public(address: str) -> socket.socket | None:
    """Return the listening socket of `control.address`, None for ``off``; raises DataError."""
    if address == "off":
        return None
    try:
        return bind_tcp(address)
    except DataError as error:
        raise DataError(f"{error} (control.address; `off` does without it)") from None


def _writable(path: str) -> str:
    """Return the absolute path of a log that can be written to; raises DataError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640))
    except OSError as error:
        raise DataError(f"access_log: cannot write to {path}: {error.strerror}") from error
    return os.path.abspath(path)


def _within(listen: Listen, files: int) -> Listen:
    """Return `listen` with the number of connections that fit into so many open files."""
    fitting = connections(listen.limits.connections, files)
    return msgspec.structs.replace(listen, limits=msgspec.structs.replace(listen.limits, connections=fitting))


class _Https(NamedTuple):
    """The socket for callers with TLS and what a worker is told of it; nothing where none is configured."""

    listener: socket.socket | None = None
    arguments: tuple[str, ...] = ()


def _files(config: Https) -> tuple[str, str, str]:
    """Return the absolute paths of certificate, key and client_ca; the last is "" where there is none."""
    client_ca = os.path.abspath(config.client_ca) if config.client_ca is not None else ""
    return os.path.abspath(config.certificate), os.path.abspath(config.key), client_ca


def _https(config: Https) -> _Https:
    """Bind the address of `config`, and say what a worker is told of it."""
    certificate, key, client_ca = _files(config)
    listener = bind_tcp(config.address)
    arguments = ("--https-fd", str(listener.fileno()), "--certificate", certificate, "--key", key)
    return _Https(listener, (*arguments, "--client-ca", client_ca))


def _worker(
    index: int,
    listen: Listen,
    drain: float,
    data: Path,
    listener: socket.socket,
    https: _Https,
    environment: dict[str, str],
) -> Child:
    arguments = ["plane", "--worker", str(index), "--drain", f"{drain:g}"]
    arguments += ["--listen", msgspec.json.encode(listen).decode()]
    arguments += ["--listen-fd", str(listener.fileno()), "--control", str(data / CONTROL), "--data", str(data)]
    listeners = [listener.fileno()] + ([https.listener.fileno()] if https.listener is not None else [])
    return Child(f"worker-{index}", [*arguments, *https.arguments], tuple(listeners), environment, worker=index)


def _limits(path: Path) -> Cells:
    """Map the table of limits, made if it is missing or of another size, and ready it for this boot of the host."""
    size = size_for(LIMIT_ROWS)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path}: is not a regular file; remove it")
        if found.st_size != size:
            os.truncate(handle, 0)
            os.truncate(handle, size)
        table = mmap.mmap(handle, size)
        cells = Cells(table)
        cells.prepare(uuid.UUID(BOOT_ID.read_text().strip()).bytes)
    except ValueError as error:
        raise DataError(f"{path}: {error}; remove it to start with fresh limits") from error
    finally:
        os.close(handle)
    # A new table was read through once; the supervisor has no further use for most of it in memory.
    table.madvise(mmap.MADV_DONTNEED)
    # What workers of a killed supervisor held; none runs now.
    reap(cells, range(cells.workers))
    return cells


def reap(cells: Cells, workers: Iterable[int]) -> int:
    """Take back what dead `workers` held of the limits; return how many rows could not be settled.

    A row is not while another worker stands between the two writes of a count, which lasts nanoseconds unless that one
    is stopped or has died there and is reaped in the same round: so a few rounds are enough.
    """
    left = 0
    for _ in range(REAP_ROUNDS):
        left = sum(cells.reap(index) for index in workers)
        if not left:
            break
    return left


def _secret_variables(config: Config) -> frozenset[str]:
    return frozenset(name.removeprefix("env:") for name in references(config) if name.startswith("env:"))


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
