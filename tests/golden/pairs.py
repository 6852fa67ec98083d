"""What becomes of each recorded call between each two dialects: the results that `tests/golden/pairs/` holds.

`tests/golden/dialects/DIALECT/CASE.*` are one conversation for each case, as each dialect has it on the wire: what a
caller asks, a provider's whole answer and its stream. For a pair, the caller's request is written for the provider, and
the provider's answer and stream for the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import plane.dialects
from core.errors import GatewayError
from core.model import Budgets
from core.registry import scan
from plane.canonical import Carry, Request, fault_error
from plane.dialect import Dialect
from plane.dialects import _responses_answers
from plane.gather import answer_of
from plane.translate import TranslatedStream

HERE = Path(__file__).parent
DIALECTS = HERE / "dialects"
PAIRS = HERE / "pairs"
ERROR = "error"
NOW = 1_700_000_000.0
STATUS = 429
"""Of the answers of the case `error`."""
BUDGETS = {name: getattr(Budgets(), name) for name in Budgets.__struct_fields__}


class Pair(NamedTuple):
    """Two dialects and a case."""

    caller: str
    provider: str
    case: str

    @property
    def folder(self) -> Path:
        """Where its results are."""
        return PAIRS / f"{self.caller}-to-{self.provider}"


def dialects() -> dict[str, tuple[Dialect, Any]]:
    """Return the dialects of chat models, with their options."""
    found = {}
    for word, kind in scan(plane.dialects).items():
        options = kind.options()
        dialect = kind.build(options)
        if "chat" in dialect.translators and (DIALECTS / word).is_dir():
            found[word] = dialect, options
    return found


KNOWN = dialects()


def pairs() -> list[Pair]:
    """Return all ordered pairs for all cases that both have."""
    return [
        Pair(caller, provider, case)
        for caller in sorted(KNOWN)
        for provider in sorted(KNOWN)
        if caller != provider and KNOWN[caller][0].prefixes
        for case in sorted(cases(caller) & cases(provider))
    ]


def cases(dialect: str) -> set[str]:
    """Return the cases that a dialect has."""
    return {path.name.partition(".")[0] for path in (DIALECTS / dialect).glob("*.request.json")}


def recorded(dialect: str, case: str, kind: str) -> bytes:
    """Return what a dialect has on the wire."""
    return (DIALECTS / dialect / f"{case}.{kind}").read_bytes()


def results(pair: Pair) -> dict[str, bytes]:
    """Return what becomes of a case, by the name of the file that holds it."""
    with still():
        found = {f"{pair.case}.request.json": pretty(request_of(pair)), f"{pair.case}.answer.json": answer_text(pair)}
        found[f"{pair.case}.stream"] = stream_of(pair, [recorded(pair.provider, pair.case, "stream")])
        return found


@contextlib.contextmanager
def still() -> Iterator[None]:
    """Let clock and dice stand still, for ids and times that a provider does not say."""
    with (
        mock.patch.object(secrets, "token_bytes", bytes),
        mock.patch.object(os, "urandom", bytes),
        mock.patch.object(time, "time", return_value=NOW),
        mock.patch.object(_responses_answers, "time", return_value=NOW),
    ):
        yield


def asked(pair: Pair, stream: bool) -> Request:
    """Return the caller's request."""
    dialect, _ = KNOWN[pair.caller]
    request: Request = dialect.translators["chat"].read_request(
        recorded(pair.caller, pair.case, "request.json"), "caller-model", stream
    )
    return request


def carry_to(pair: Pair, *, drops: bool) -> Carry:
    """Return what goes along to the provider."""
    return Carry("provider-model", drops=drops, budgets=BUDGETS, max_tokens=4096, options=KNOWN[pair.provider][1])


def request_of(pair: Pair) -> dict[str, Any]:
    """Return what the provider is asked; `refused`: why it is only where the model's config drops the rest."""
    writer = KNOWN[pair.provider][0].translators["chat"]
    request = asked(pair, stream=False)
    told: dict[str, Any] = {}
    try:
        writer.write_request(request, carry_to(pair, drops=False))
    except GatewayError as error:
        told["refused"] = {"status": error.status, "code": error.code, "param": error.param}
    carry = carry_to(pair, drops=True)
    try:
        body = writer.write_request(request, carry)
    except GatewayError as error:
        return {"refused": {"status": error.status, "code": error.code, "param": error.param}}
    if carry.names:
        told["dropped"] = carry.names
    if carry.tool_names:
        told["renamed"] = carry.tool_names
    return {**told, "body": json.loads(body)}


def answer_text(pair: Pair) -> bytes:
    """Return the provider's answer as the caller gets it."""
    caller, provider = KNOWN[pair.caller][0], KNOWN[pair.provider][0]
    body = recorded(pair.provider, pair.case, "answer.json")
    if pair.case == ERROR:
        return pretty(json.loads(caller.error(fault_error(provider.read_fault(STATUS, [], body)))))
    carry = carry_to(pair, drops=True)
    provider.translators["chat"].write_request(asked(pair, stream=False), carry)
    answer = provider.translators["chat"].read_answer(body, carry)
    written = caller.translators["chat"].write_answer(answer, asked(pair, stream=False))
    return pretty(json.loads(written))


def stream_of(pair: Pair, pieces: list[bytes]) -> bytes:
    """Return the provider's stream as the caller gets it, where it comes in these pieces."""
    return translated(pair, pieces)[0]


def translated(pair: Pair, pieces: list[bytes]) -> tuple[bytes, bool]:
    """Return the same, and whether it ended in an error."""
    caller, provider = KNOWN[pair.caller][0], KNOWN[pair.provider][0]
    request = asked(pair, stream=True)
    carry = carry_to(pair, drops=True)
    provider.translators["chat"].write_request(request, carry)
    stream = TranslatedStream(
        provider.translators["chat"].event_reader(carry), caller.translators["chat"].event_writer(request)
    )
    out = []
    try:
        for piece in pieces:
            out.append(stream.feed(piece))
            if stream.done:
                break
        out.append(stream.flush())
    except GatewayError as error:  # As the pipeline does.
        out.append(stream.broken(error))
    return b"".join(out), stream.error


def gathered(pair: Pair) -> bytes:
    """Return the whole answer for the caller that the provider's stream makes."""
    caller, provider = KNOWN[pair.caller][0], KNOWN[pair.provider][0]
    carry = carry_to(pair, drops=True)
    provider.translators["chat"].write_request(asked(pair, stream=True), carry)
    reader = provider.translators["chat"].event_reader(carry)
    answer = answer_of([*reader.feed(recorded(pair.provider, pair.case, "stream")), *reader.flush()])
    written: bytes = caller.translators["chat"].write_answer(answer, asked(pair, stream=False))
    return written


def pretty(value: Any) -> bytes:
    """Return JSON for people to review."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
