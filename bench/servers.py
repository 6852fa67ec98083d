"""What stands around the measured worker: the upstreams, the reference proxy, and an `Arm` for each way to them."""

import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from bench.payload import CHAT_ANSWER
from bench.process import BenchError, Cores, children, free_port, started, wait_until

__all__ = ["HERE", "Arm", "Ports", "accepts", "direct", "listens", "missing_tools", "nginx", "reference", "upstreams"]

HERE = Path(__file__).parent
TOOLS = {"nginx": "apt-get install nginx-light", "wrk": "apt-get install wrk", "taskset": "apt-get install util-linux"}


@dataclass(frozen=True)
class Ports:
    """The upstreams' ports, and their processes."""

    chat: int
    stream: int
    pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Arm:
    """One way from the caller to the upstream, and the processes that are measured on it."""

    name: str
    chat_port: int
    stream_port: int
    workers: tuple[int, ...] = ()
    control: tuple[int, ...] = ()
    # Usage events the control process has counted so far; None where there is no such process.
    usage_events: Callable[[], int] | None = None
    # Applies the config again, changed in one value; returns when every worker has answered.
    push: Callable[[int], None] | None = None
    command: str = ""
    log: Path | None = None


def missing_tools() -> list[str]:
    """Return one line for each tool that is not installed, with the command that gets it."""
    return [f"{tool} is missing; get it with: {how}" for tool, how in TOOLS.items() if shutil.which(tool) is None]


def accepts(port: int) -> bool:
    """Tell whether a call to loopback `port` gets any HTTP answer."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def nginx(template: str, folder: Path, cores: set[int], **values: object) -> Iterator[int]:
    """Run an nginx from one of our templates; yields its worker's pid."""
    config = folder / template
    config.write_text(Template((HERE / template).read_text()).substitute(folder=folder, **values))
    command = ["nginx", "-p", str(folder), "-c", str(config)]
    with started(command, folder / f"{template}.log", cores) as process:
        wait_until(lambda: process.poll() is not None or bool(workers_of(process.pid)), f"nginx with {template}")
        if process.poll() is not None:
            raise BenchError(f"nginx did not start:\n{(folder / f'{template}.log').read_text()}")
        yield workers_of(process.pid)[0]


def workers_of(master: int) -> list[int]:
    """Return the worker processes of an nginx master."""
    return [pid for pid, command in children(master).items() if "worker process" in command]


@contextmanager
def upstreams(folder: Path, cores: Cores) -> Iterator[Ports]:
    """Run both upstreams: constant JSON answers by nginx, paced streams by ours."""
    ports = Ports(free_port(), free_port())
    pacer = [sys.executable, "-m", "bench.stream", "upstream", str(ports.stream)]
    with (
        nginx("upstream.conf", folder, cores.rest, upstream_port=ports.chat, chat_answer=CHAT_ANSWER.decode()) as chat,
        started(pacer, folder / "stream.log", cores.rest, folder=HERE.parent) as stream,
    ):
        wait_until(lambda: accepts(ports.chat) and listens(ports.stream), "the upstreams")
        yield replace(ports, pids=(chat, stream.pid))


def listens(port: int) -> bool:
    """Tell whether something listens on loopback `port`, from the kernel's table."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


@contextmanager
def reference(folder: Path, cores: Cores, ports: Ports, name: str = "nginx") -> Iterator[Arm]:
    """Run the reference proxy."""
    chat, stream = free_port(), free_port()
    own = folder / name
    own.mkdir()
    values = {"upstream_port": ports.chat, "stream_port": ports.stream, "chat_front": chat, "stream_front": stream}
    with nginx("nginx.conf", own, cores.worker, **values) as worker:
        wait_until(lambda: accepts(chat), name)
        yield Arm(name, chat, stream, (worker,), command=f"nginx -p {own} -c {own}/nginx.conf")


def direct(ports: Ports) -> Arm:
    """Return the way past every proxy."""
    return Arm("direct", ports.chat, ports.stream)
