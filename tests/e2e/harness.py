"""Real gateways in real processes, and a caller that sends exact bytes and reads exact answers."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("HEADGATE_TEST_PATIENCE", "1"))  # how many times longer everything may take
DEADLINE = 20.0 * PATIENCE  # seconds for what should come at once, on a busy machine
STOP_DEADLINE = 40.0 * PATIENCE
PROVIDER_KEY = "sk-provider-secret-4711"  # what only the provider may see
KEYS = {name: f"hg-{name}-secret" for name in ("alice", "bob", "carol", "dave")}


def digest(key: str) -> str:
    """Return what the config says of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Gateway:
    """A running `headgate up`.

    listen: further keys of `listen`, each behind a comma.
    """

    port: int
    directory: Path
    workers: int
    listen: str
    process: subprocess.Popen[bytes]
    static: str = ""
    https: str = ""
    https_port: int = 0

    @property
    def url(self) -> str:
        """Return the base URL, without /v1."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        """Return the config directory."""
        return self.directory / "config"

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.directory / "data"

    @property
    def log(self) -> str:
        """Return what the processes have written so far."""
        return (self.directory / "log").read_text(errors="replace")

    def write(self, text: str) -> None:
        """Write the config; `text` is all of it but the static keys."""
        https = f", https: {{address: 127.0.0.1:{self.https_port}, {self.https}}}" if self.https else ""
        listen = f"listen: {{http: 127.0.0.1:{self.port}, workers: {self.workers}{self.listen}{https}}}\n"
        control = "control: {address: 127.0.0.1:0}\n"
        (self.config / "headgate.yaml").write_text(listen + control + self.static + text)

    def apply(self, text: str) -> subprocess.CompletedProcess[str]:
        """Write a new config and run `headgate apply` on it."""
        self.write(text)
        return headgate("apply", "--config", str(self.config), "--data", str(self.data))

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the control process on its socket; return status and JSON."""
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(DEADLINE)
        try:
            connection.sock.connect(str(self.data / "admin.sock"))
            connection.request(method, path, body and json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    @property
    def public(self) -> str:
        """Return the base URL of what control serves over TCP."""
        (address,) = set(re.findall(r"event=starting .* control=(\S+)", self.log))
        return f"http://{address}"

    def fetch(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """Ask control over TCP; return status, content type and body."""
        host = self.public.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"accept": accept} if accept else {})
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type", ""), answer.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.fetch("/metrics")[2])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def push(self, text: str) -> Any:
        """Write a new config and have the control process apply it; fails unless every worker took it."""
        self.write(text)
        status, answer = self.admin("POST", "/v1/apply", {"path": str(self.config)})
        if status != 200:
            raise AssertionError(f"the config was refused: {answer}")
        return answer

    def call(self, request: bytes, *, head: bool = False) -> "Answer":
        """Send one request on a connection of its own and return its answer."""
        with self.connect() as caller:
            caller.send(request)
            return caller.receive(head=head)

    def connect(self, **options: int) -> "Caller":
        """Open a connection."""
        return Caller(self.port, **options)

    def connect_tls(self, context: ssl.SSLContext, **options: int) -> "Caller":
        """Open a connection with TLS."""
        return Caller(self.https_port, context=context, **options)

    def pids(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker["pid"] for worker in self.admin("GET", "/v1/status")[1]["workers"]]

    def stop(self) -> int:
        """Stop the gateway in order and return its exit status; kill it, and fail, if it does not stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the gateway did not stop:\n{self.log}") from None


def headgate_command(*arguments: str) -> list[str]:
    """Return the command line of `headgate`, from this checkout."""
    return [sys.executable, "-m", "control.cli", *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a `headgate` process."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PROVIDER_KEY": PROVIDER_KEY, **(extra or {})}


def headgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `headgate` with `arguments` to its end."""
    command = headgate_command(*arguments)
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def gateway(text: str, *, workers: int = 1, listen: str = "", static: str = "", https: str = "") -> Iterator[Gateway]:
    """Start `headgate up` on a config, wait until it serves; stop it at the end.

    text: all of the config but the static keys. listen: more keys of that block, each behind a comma. static: more
    static keys. https: the keys of `listen.https` but its address.
    """
    # AF_UNIX paths are short, pytest's directories are not.
    with tempfile.TemporaryDirectory(prefix="hg-", dir="/tmp") as name:
        directory = Path(name)
        (directory / "config").mkdir()
        with (directory / "log").open("wb") as log:
            command = headgate_command("up", "--config", str(directory / "config"), "--data", str(directory / "data"))
            running = Gateway(
                free_port(),
                directory,
                workers,
                listen,
                None,  # type: ignore[arg-type]
                static,
                https,
                free_port(),
            )
            running.write(text)
            running.process = subprocess.Popen(
                command, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            wait_until_ready(running)
            yield running
        finally:
            status = running.stop()
        if status != 0:
            raise AssertionError(f"the gateway ended with status {status}:\n{running.log}")


def wait_until_ready(running: Gateway) -> None:
    """Wait until every worker has said that it serves."""
    deadline = time.monotonic() + DEADLINE + 10
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise AssertionError(f"headgate up ended with status {running.process.returncode}:\n{running.log}")
        with contextlib.suppress(OSError, AssertionError):
            if running.call(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").status == 200:
                return
        time.sleep(0.02)  # A poll of another process, with a deadline.
    raise AssertionError(f"the gateway was not ready in time:\n{running.log}")


def eventually(check: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until another process has brought about what `check` looks at; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """One complete answer, checked to be well framed."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes = field(repr=False)

    def get(self, name: str, default: str = "") -> str:
        """Return a field's value; a field that stands twice is an error."""
        values = [value for field_name, value in self.fields if field_name == name]
        if len(values) > 1:
            raise AssertionError(f"{name} stands {len(values)} times")
        return values[0] if values else default

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Return the error object, checked to be in OpenAI's shape and to agree with the fields."""
        error = self.json()["error"]
        if set(error) != {"message", "type", "param", "code"} or not error["message"]:
            raise AssertionError(f"not OpenAI's error shape: {error}")
        return error

    @property
    def text(self) -> str:
        """Return the content of a chat answer."""
        return self.json()["choices"][0]["message"]["content"]


class TruncatedError(AssertionError):
    """The connection ended before the answer did; `received` is what came."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"the answer is cut short: {received[-300:]!r}")
        self.received = received


class Caller:
    """One connection to a gateway, byte by byte; a context manager."""

    def __init__(self, port: int, *, receive_buffer: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.socket.sendall(data)

    def leave(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        self.buffer += data
        return bool(data)

    def _line(self) -> bytes:
        return self.read_until(b"\r\n")[:-2]

    def _take(self, count: int) -> bytes:
        pieces, have = [self.buffer[:count]], len(self.buffer[:count])
        self.buffer = self.buffer[count:]
        while have < count:
            if not self._more():
                raise TruncatedError(b"".join(pieces))
            pieces.append(self.buffer[: count - have])
            self.buffer = self.buffer[count - have :]
            have += len(pieces[-1])
        return b"".join(pieces)

    def read_until(self, mark: bytes) -> bytes:
        """Return what comes up to and with `mark`."""
        while mark not in self.buffer:
            if not self._more():
                raise TruncatedError(self.buffer)
        cut = self.buffer.index(mark) + len(mark)
        taken, self.buffer = self.buffer[:cut], self.buffer[cut:]
        return taken

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        while self._more():
            pass
        taken, self.buffer = self.buffer, b""
        return taken

    def is_closed(self) -> bool:
        """Wait for the gateway to close the connection; tell whether it did so without a further byte."""
        return self.rest() == b""

    def receive_head(self) -> Answer:
        """Return the next answer's head, its framing checked; the body is not read."""
        head = self.read_until(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        version, status, _ = line.split(" ", 2)
        if version != "HTTP/1.1" or not (status.isdigit() and len(status) == 3):
            raise AssertionError(f"not a status line: {line!r}")
        fields = tuple((name.lower(), value.strip()) for name, _, value in (item.partition(":") for item in lines))
        answer = Answer(int(status), fields, b"", head)
        if answer.get("content-length") and answer.get("transfer-encoding"):
            raise AssertionError("both content-length and transfer-encoding")
        return answer

    def receive(self, *, head: bool = False) -> Answer:
        """Return the next answer; TruncatedError if the connection ends before it does.

        head: the request was a HEAD, so that no body follows.
        """
        return self.receive_body(self.receive_head(), head=head)

    def receive_body(self, answer: Answer, *, head: bool = False) -> Answer:
        """Return `answer`, whose head has been read, with its body; see `receive`."""
        if head or answer.status in (204, 304) or answer.status < 200:
            body = b""
        elif answer.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        elif answer.get("content-length"):
            body = self._take(int(answer.get("content-length")))
        else:
            if answer.get("connection") != "close":
                raise AssertionError("an answer without an end")
            body = self.rest()
        return Answer(answer.status, answer.fields, body, answer.head)

    def chunks(self) -> Iterator[bytes]:
        """Yield the chunks of a chunked body as they come; TruncatedError, with all that came, if its end does not."""
        received = []
        try:
            while size := int(self._line(), 16):
                received.append(self._take(size))
                if self._take(2) != b"\r\n":
                    raise AssertionError("a chunk without its end")
                yield received[-1]
            if self._line() != b"":
                raise AssertionError("trailers reached the caller")
        except TruncatedError as cut:
            raise TruncatedError(b"".join(received) + cut.received) from None


def nonce() -> str:
    """Return a word that no other call uses."""
    return uuid.uuid4().hex


def chat_request(
    content: str,
    *,
    key: str = KEYS["alice"],
    model: str = "good",
    path: str = "/v1/chat/completions",
    **members: object,
) -> bytes:
    """Return the bytes of a chat call."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **members}
    return post(path, json.dumps(body).encode(), key=key)


def post(path: str, body: bytes, *, key: str = KEYS["alice"], fields: str = "") -> bytes:
    """Return the bytes of a POST with a JSON body.

    fields: further header lines, each with its CRLF.
    """
    head = (
        f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    )
    return head.encode() + body


def get(path: str, *, key: str = KEYS["alice"], method: str = "GET", fields: str = "") -> bytes:
    """Return the bytes of a request without a body."""
    return f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n{fields}\r\n".encode()


def events_of(body: bytes) -> list[bytes]:
    """Return the data of each event of a stream, in order."""
    return [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
