"""Start Headgate on the quickstart config with its scripted provider, send two calls through it, and keep serving.

`make run` calls it. Everything it starts, it stops: on Ctrl-C, on SIGTERM, and when something fails.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

HERE = Path(__file__).resolve().parent
CALLER_KEY = "hg-quickstart-not-a-secret"  # its SHA-256 stands in headgate.yaml
PROVIDER_KEY = "sk-scripted-not-a-secret"
READY_WITHIN = 30.0  # seconds
STOPPED_WITHIN = 35.0  # seconds: a little more than the gateway itself gives its callers


class QuickstartError(Exception):
    """The quickstart cannot go on; the message says why and what to do."""


def main() -> int:
    """Run the quickstart; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=HERE, help="directory that holds headgate.yaml")
    parser.add_argument("--once", action="store_true", help="stop after the two calls")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    started: list[subprocess.Popen[bytes]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="headgate-") as data:
            try:
                run(options.config, Path(data), started, stop, once=options.once)
            finally:
                stop_all(started)
    except QuickstartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def run(config: Path, data: Path, started: list[subprocess.Popen[bytes]], stop: threading.Event, *, once: bool) -> None:
    """Start provider and gateway, make the calls, and serve until `stop` unless `once`.

    started: takes every process that was started, in order.
    """
    text = yaml.safe_load((config / "headgate.yaml").read_text())
    gateway = text["listen"]["http"]
    control = text["control"]["address"]
    provider = urlsplit(text["providers"]["scripted"]["base_url"]).netloc
    model = next(iter(text["models"]))
    addresses = ((gateway, "listen.http"), (control, "control.address"), (provider, "providers.scripted.base_url"))
    for address, setting in addresses:
        require_free(address, setting, config)

    say(f"starting the scripted provider on {provider}")
    environment = os.environ | {"QUICKSTART_PROVIDER_KEY": PROVIDER_KEY}
    start(started, [sys.executable, str(HERE / "provider.py"), "--listen", provider], environment)
    wait_until(lambda: connects(provider), "the provider", started, stop)

    say(f"starting headgate up on http://{gateway}")
    headgate = [sys.executable, "-m", "control.cli", "up", "--config", str(config), "--data", str(data)]
    start(started, headgate, environment | {"PYTHONPATH": python_path()})
    wait_until(lambda: is_ready(gateway), "headgate", started, stop)
    if stop.is_set():
        return

    one_call(gateway, model)
    one_stream(gateway, model)
    print(f"\nbase URL for an SDK   http://{gateway}/v1")
    print(f"the caller's key      {CALLER_KEY}")
    print(f"models                {', '.join(text['models'])}")
    command = os.path.relpath(Path(sys.executable).with_name("headgate"))
    print(f"metrics               http://{control}/metrics")
    print(f"data directory        {data}")
    print(f"what goes on in it    {command} status --data {data}")
    if not once:
        print("\nserving; stop with Ctrl-C", flush=True)
        while not stop.wait(0.5):
            require_alive(started)


def python_path() -> str:
    """Return a PYTHONPATH that finds this checkout's packages first."""
    return os.pathsep.join(filter(None, (str(HERE.parent.parent), os.environ.get("PYTHONPATH", ""))))


def say(text: str) -> None:
    """Show progress."""
    print(f"==> {text}", flush=True)


def start(started: list[subprocess.Popen[bytes]], command: list[str], environment: dict[str, str]) -> None:
    """Start `command` in a session of its own: a Ctrl-C reaches this program alone, which then stops the others."""
    started.append(subprocess.Popen(command, env=environment, start_new_session=True))  # noqa: S603 our own command


def stop_all(started: list[subprocess.Popen[bytes]]) -> None:
    """Stop what was started, last first; what does not stop in time is killed."""
    while started:
        process = started.pop()
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def require_free(address: str, setting: str, config: Path) -> None:
    """Fail with a clear message if nothing could listen on `address`."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise QuickstartError(
                f"cannot listen on {address}: {error.strerror}. "
                f"Stop what uses it, or change {setting} in {config / 'headgate.yaml'}."
            ) from None


def require_alive(started: list[subprocess.Popen[bytes]]) -> None:
    """Fail if one of the processes ended on its own."""
    for process in started:
        if process.poll() is not None:
            raise QuickstartError(f"{' '.join(map(str, process.args))} ended with status {process.returncode}.")


def wait_until(check, what: str, started: list[subprocess.Popen[bytes]], stop: threading.Event) -> None:
    """Wait until check() is true or `stop` is set; fail at the deadline, or if a process ends meanwhile."""
    deadline = time.monotonic() + READY_WITHIN
    while not check():
        require_alive(started)
        if time.monotonic() > deadline:
            raise QuickstartError(f"{what} was not ready within {READY_WITHIN:.0f} s.")
        if stop.wait(0.05):
            return


def connects(address: str) -> bool:
    """Return whether somebody accepts connections on `address`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def is_ready(address: str) -> bool:
    """Return whether the gateway on `address` says that it serves."""
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def one_call(address: str, model: str) -> None:
    """Send one chat call through the gateway and print the answer and its usage."""
    say(f"one call: model {model}")
    connection, answer = post(address, {"model": model, "messages": [{"role": "user", "content": "Hello, gateway."}]})
    body = json.loads(answer.read())
    connection.close()
    print(f"    answer  {body['choices'][0]['message']['content']}")
    show_usage(body["usage"])


def one_stream(address: str, model: str) -> None:
    """Send one streamed chat call through the gateway and print the pieces as they come, then the usage."""
    say(f"one streamed call: model {model}")
    connection, answer = post(
        address,
        {
            "model": model,
            "messages": [{"role": "user", "content": "Hello again, piece by piece."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )
    print("    answer  ", end="")
    usage = {}
    for line in answer:
        data = line.removeprefix(b"data: ").strip()
        if not data or data == b"[DONE]":
            continue
        chunk = json.loads(data)
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)
    connection.close()
    print()
    show_usage(usage)


def show_usage(usage: dict) -> None:
    """Print a usage object."""
    print(f"    usage   {usage['prompt_tokens']} tokens in, {usage['completion_tokens']} out", flush=True)


def post(address: str, request: dict) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Send a chat call as any caller would; fail unless the answer is a 200."""
    connection = http.client.HTTPConnection(address, timeout=10)
    headers = {"authorization": f"Bearer {CALLER_KEY}", "content-type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(request), headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise QuickstartError(f"the call through the gateway failed: {error!r}") from None
    if answer.status != 200:
        reason = answer.read().decode(errors="replace")
        connection.close()
        raise QuickstartError(f"the gateway answered {answer.status}: {reason}")
    return connection, answer


if __name__ == "__main__":
    sys.exit(main())
