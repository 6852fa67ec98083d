"""What callers of a gateway do, mixed: keys that may or may not, models that work or fail, streams, callers that leave.

Each kind of request expects one outcome and fails on every other: another status, another body, a stream without its
terminal event. `bench/gate/load.py` starts the gateway and runs this; the keys come from its environment. At the end
the counts go to HEADGATE_LOAD_COUNTS, so that the usage events can be compared with them.
"""

import json
import os
import random
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

RICH, NARROW, POOR = (os.environ[f"HEADGATE_LOAD_{name}"] for name in ("RICH", "NARROW", "POOR"))
COUNTS = Path(os.environ["HEADGATE_LOAD_COUNTS"])
CHAT = "/v1/chat/completions"
WORDS = ["where", "is", "my", "parcel", "and", "who", "has", "seen", "it", "last", "before", "the", "weekend"]
DONE = "data: [DONE]"
UNRECORDED = ("unknown path", "wrong method", "health", "model list without a key")
"""Requests that leave no usage event: none of them was matched to a route, or nobody is known to have asked."""


class UnexpectedError(Exception):
    """An answer that is not the one expected."""


def expect(holds: bool, what: str, response: Any) -> None:
    """Fail, with what came instead, unless it `holds`."""
    if not holds:
        raise UnexpectedError(f"{what}; got {response.status_code} {(response.text or '')[:200]!r}")


def bearer(key: str) -> dict[str, str]:
    """Return the header with a key."""
    return {"Authorization": f"Bearer {key}"}


class Caller(FastHttpUser):
    """A caller that does one thing after the other, without pause."""

    wait_time = constant(0)
    connection_timeout = 10.0
    network_timeout = 20.0

    def ask(self, name: str, status: int, method: str = "POST", path: str = CHAT, code: str = "", **more: Any) -> Any:
        """Ask, expect `status` and the error `code`, and return the body as JSON."""
        with self.client.request(method, path, name=name, catch_response=True, **more) as response:
            try:
                expect(response.status_code == status, f"expected {status}", response)
                body = json.loads(response.text)
                if code:
                    expect(body["error"]["code"] == code, f"expected the error {code}", response)
                response.success()
            except (UnexpectedError, ValueError, KeyError, TypeError) as error:
                response.failure(error)
                return None
        return body

    def question(self) -> str:
        """Return a prompt unlike most others."""
        return " ".join(random.choices(WORDS, k=random.randrange(3, 60)))

    def chat(self, name: str, model: str, key: str = RICH) -> None:
        """Call a model and expect what the provider must have answered."""
        text = self.question()
        call = {"model": model, "messages": [{"role": "user", "content": text}]}
        with self.client.post(CHAT, name=name, json=call, headers=bearer(key), catch_response=True) as response:
            try:
                expect(response.status_code == 200, "expected 200", response)
                body = json.loads(response.text)
                expect(body["choices"][0]["message"]["content"] == f"You said: {text}", "another answer", response)
                expect(body["usage"]["prompt_tokens"] == len(text.split()), "another usage", response)
                expect("x-headgate-config" in response.headers, "no config named", response)
                response.success()
            except (UnexpectedError, ValueError, KeyError) as error:
                response.failure(error)

    # --- what works

    @task(20)
    def chat_large(self) -> None:
        self.chat("chat", "large")

    @task(6)
    def chat_small(self) -> None:
        self.chat("chat with a narrow key", "small", NARROW)

    @task(4)
    def chat_failover(self) -> None:
        self.chat("failover", "failover")

    @task(8)
    def stream(self) -> None:
        self.streamed("stream", usage=False)

    @task(4)
    def stream_with_usage(self) -> None:
        self.streamed("stream with usage", usage=True)

    def streamed(self, name: str, *, usage: bool) -> None:
        """Read a whole stream and expect each of its words, its usage only if asked for, and its terminal event."""
        text = self.question()
        call: dict[str, Any] = {"model": "large", "stream": True, "messages": [{"role": "user", "content": text}]}
        if usage:
            call["stream_options"] = {"include_usage": True}
        with self.client.post(CHAT, name=name, json=call, headers=bearer(RICH), catch_response=True) as response:
            try:
                expect(response.status_code == 200, "expected 200", response)
                lines = [line for line in response.text.split("\n\n") if line]
                expect(lines[-1] == DONE and lines.count(DONE) == 1, "no terminal event at the end", response)
                chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
                said = "".join(part["delta"].get("content") or "" for chunk in chunks for part in chunk["choices"])
                expect(said == f"You said: {text}", "another text", response)
                told = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
                expect(len(told) == usage, f"{len(told)} events with usage", response)
                response.success()
            except (UnexpectedError, ValueError, KeyError, IndexError) as error:
                response.failure(error)

    @task(3)
    def models(self) -> None:
        self.ask("model list", 200, "GET", "/v1/models", headers=bearer(NARROW))

    @task(3)
    def plain_route(self) -> None:
        """The upstream's own refusal goes through: our key is not shown to it, and it wants one."""
        self.ask("plain route", 401, "GET", "/catalog/1", "invalid_api_key", headers=bearer(RICH))

    @task(1)
    def health(self) -> None:
        self.ask("health", 200, "GET", "/healthz")

    # --- callers that leave

    @task(4)
    def stream_left_early(self) -> None:
        """Read the first event of a stream and go."""
        text = " ".join(WORDS * 20)
        call = {"model": "large", "stream": True, "messages": [{"role": "user", "content": text}]}
        self.leave("stream left early", call, b"data: ")

    @task(2)
    def call_left_at_once(self) -> None:
        """Go without waiting for an answer."""
        self.leave("call left at once", {"model": "large", "messages": [{"role": "user", "content": "x"}]}, b"")

    def leave(self, name: str, call: dict[str, Any], seen: bytes) -> None:
        """Send a call on a connection of its own, read until `seen` has come, and close."""
        body = json.dumps(call).encode()
        host = urlsplit(self.host)
        fields = f"host: {host.netloc}\r\nauthorization: Bearer {RICH}\r\ncontent-length: {len(body)}"
        start, got, error = time.perf_counter(), b"", None
        try:
            with socket.create_connection((host.hostname, host.port), timeout=20) as connection:
                connection.sendall(f"POST {CHAT} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
                while seen and seen not in got:
                    data = connection.recv(4096)
                    if not data:
                        raise UnexpectedError(f"the gateway closed after {got[:200]!r}")
                    got += data
            if seen and not got.startswith(b"HTTP/1.1 200 "):
                raise UnexpectedError(f"expected 200; got {got[:200]!r}")
        except (OSError, UnexpectedError) as caught:
            error = caught
        self.environment.events.request.fire(
            request_type="POST",
            name=name,
            response_time=(time.perf_counter() - start) * 1000,
            response_length=len(got),
            exception=error,
            context={},
        )

    # --- what is refused

    @task(3)
    def wrong_key(self) -> None:
        self.ask("wrong key", 401, code="invalid_api_key", json={"model": "large"}, headers=bearer("hg-nobody"))

    @task(1)
    def no_key(self) -> None:
        self.ask("no key", 401, code="invalid_api_key", json={"model": "large"})

    @task(1)
    def models_without_a_key(self) -> None:
        self.ask("model list without a key", 401, "GET", "/v1/models", "invalid_api_key")

    @task(2)
    def model_not_allowed(self) -> None:
        self.ask("model not allowed", 404, code="model_not_found", json={"model": "large"}, headers=bearer(NARROW))

    @task(2)
    def unknown_model(self) -> None:
        self.ask("unknown model", 404, code="model_not_found", json={"model": "nowhere"}, headers=bearer(RICH))

    @task(2)
    def broken_body(self) -> None:
        self.ask("broken body", 400, code="invalid_json", data='{"model": "large"', headers=bearer(RICH))

    @task(1)
    def large_body(self) -> None:
        call = {"model": "small", "messages": [{"role": "user", "content": "x" * 70_000}]}
        self.ask("body too large", 413, code="body_too_large", json=call, headers=bearer(RICH))

    @task(2)
    def over_the_rate(self) -> None:
        """Few of these are served; which ones is not known here."""
        call = {"model": "small", "messages": [{"role": "user", "content": "x"}]}
        name = "over the rate"
        with self.client.post(CHAT, name=name, json=call, headers=bearer(POOR), catch_response=True) as response:
            try:
                if response.status_code != 200:
                    expect(response.status_code == 429, "expected 200 or 429", response)
                    expect(int(response.headers["retry-after"]) >= 1, "no time to wait", response)
                    expect(
                        json.loads(response.text)["error"]["code"] == "rate_limit_exceeded", "another code", response
                    )
                response.success()
            except (UnexpectedError, ValueError, KeyError) as error:
                response.failure(error)

    @task(1)
    def unreachable(self) -> None:
        call = {"model": "unreachable", "messages": []}
        self.ask("unreachable provider", 502, code="upstream_unreachable", json=call, headers=bearer(RICH))

    @task(1)
    def wrong_credential(self) -> None:
        call = {"model": "wrong-credential", "messages": []}
        self.ask("credential refused", 502, code="upstream_credential", json=call, headers=bearer(RICH))

    @task(1)
    def unknown_path(self) -> None:
        self.ask("unknown path", 404, "GET", "/nowhere", headers=bearer(RICH))

    @task(1)
    def wrong_method(self) -> None:
        self.ask("wrong method", 405, "GET", CHAT, headers=bearer(RICH))


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the counts, and end with 1 if an answer was not the expected one, or a kind of request never came."""
    entries = {entry.name: entry for entry in environment.stats.entries.values()}
    counts = {
        name: {"requests": entry.num_requests, "failures": entry.num_failures, "recorded": name not in UNRECORDED}
        for name, entry in entries.items()
    }
    problems = [f"{error.name}: {error.occurrences} times {error.error}" for error in environment.stats.errors.values()]
    COUNTS.write_text(json.dumps({"counts": counts, "problems": problems}, indent=1))
    kinds = len(set(Caller.tasks))
    environment.process_exit_code = 1 if problems or len(entries) < kinds else 0
