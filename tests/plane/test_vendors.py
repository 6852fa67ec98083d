"""Each vendor of `plane/providers.toml`, with a request and an answer of its own in tests/golden/vendors.

request: as it goes upstream, head and body. answer, stream: what the vendor says to it, as its documentation shows it
(or, where `basis` is "assumed", plain). usage.json: its model, and what has to be in the usage event.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.vendors import vendors, with_vendors
from core.model import Config
from core.usage import Detail
from plane.compile import known_words
from plane.pins import Pins
from tests.plane.conftest import Starter
from tests.plane.rig import Gateway, body_of, consumer

FOLDER = Path(__file__).parents[1] / "golden" / "vendors"
ROWS = vendors()
STREAMS = sorted(path.parent.name for path in FOLDER.glob("*/stream"))
ASKS = {
    "openai": ("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'),
    "openai_responses": ("/v1/responses", b'{"model":"m","input":"Hello"}'),
    "cohere": ("/v2/chat", b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'),
    "ollama": ("/ollama/api/chat", b'{"model":"m","messages":[{"role":"user","content":"Hello"}],"stream":false}'),
    "gemini": ("/v1beta/models/m:generateContent", b'{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}'),
    "mistral": ("/mistral/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'),
    "anthropic": ("/v1/messages", b'{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}'),
}


def expected(word: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / word / "usage.json").read_text())
    return found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return the file of the key that ids are signed with."""
    path = tmp_path / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    return path


def serving(start: Starter, word: str, key: Path) -> Gateway:
    """Return a gateway whose model m is one of this vendor's, all of it by the vendor's word."""
    config = {
        "providers": {"p": {"vendor": word, "credential": "env:KEY"}},
        "models": {"m": {"targets": [{"provider": "p", "model": expected(word)["model"]}]}},
        "consumers": {"c": consumer()},
    }
    gateway = start(msgspec.to_builtins(with_vendors(msgspec.convert(config, Config))))
    gateway.shared.pins = Pins(key)
    return gateway


def checked(gateway: Gateway, word: str) -> None:
    """Compare the one usage event with what is written of it."""
    (event,) = gateway.events()
    wanted = expected(word)
    wanted.pop("model")
    if "detail" in wanted:
        wanted["detail"] = Detail(**wanted["detail"])
    assert event.usage_known
    assert {name: getattr(event, name) for name in wanted} == wanted


@pytest.mark.parametrize("word", sorted(ROWS))
def test_a_vendor_is_asked_as_written_and_its_usage_is_read(word: str, start: Starter, key: Path) -> None:
    gateway = serving(start, word, key)
    (upstream,) = gateway.upstreams.values()
    peer = upstream.connect()
    caller = gateway.caller()
    caller.ask(*ASKS[ROWS[word].dialect], fields=b"x-request-id: r-1\r\n")
    assert peer.take().decode() == (FOLDER / word / "request").read_bytes().decode()
    answer = (FOLDER / word / "answer").read_bytes()
    peer.say(answer)
    relayed, said = body_of(caller.take()), answer.partition(b"\r\n\r\n")[2]
    if ROWS[word].dialect == "openai_responses":  # The id becomes one that tells whose it is.
        given, own = json.loads(relayed)["id"], json.loads(said)["id"]
        assert given != own
        relayed = relayed.replace(given.encode(), own.encode())
    assert relayed == said
    checked(gateway, word)


@pytest.mark.parametrize("word", STREAMS)
def test_a_stream_of_a_vendor_reaches_the_caller_but_for_its_usage_which_is_read(
    word: str, start: Starter, key: Path
) -> None:
    gateway = serving(start, word, key)
    (upstream,) = gateway.upstreams.values()
    peer = upstream.connect()
    caller = gateway.caller()
    path, body = ASKS[ROWS[word].dialect]
    caller.ask(path, body[:-1] + b',"stream":true}')
    assert b'"stream_options":{"include_usage":true}' in peer.take()
    said = (FOLDER / word / "stream").read_bytes()
    peer.say(said)
    events = said.partition(b"\r\n\r\n")[2].split(b"\n\n")
    relayed = b"\n\n".join(event for event in events if b'"choices":[]' not in event)
    assert body_of(caller.take()) == relayed
    checked(gateway, word)


def test_there_are_forty_vendors_and_nothing_stands_there_of_others() -> None:
    assert len(ROWS) >= 40
    assert {path.name for path in FOLDER.iterdir()} == set(ROWS)


@pytest.mark.parametrize("word", sorted(ROWS))
def test_a_vendor_speaks_dialects_that_there_are(word: str) -> None:
    row = ROWS[word]
    assert {row.dialect, *row.also} <= known_words()["dialect"]


def test_a_documented_vendor_says_how_it_differs() -> None:
    assert [word for word, row in ROWS.items() if row.basis == "documented" and not row.quirk] == []


def test_a_client_library_that_is_named_is_run_by_the_tests() -> None:
    sources = "".join(path.read_text() for path in (FOLDER.parents[1] / "e2e").glob("test_*.py"))
    named = {row.client for row in ROWS.values() if row.client}
    assert named
    imports = {
        client: (f"import {client}", "from {} import {}".format(*client.rpartition(".")[::2])) for client in named
    }
    assert [client for client, ways in imports.items() if not any(way in sources for way in ways)] == []


def test_no_two_vendors_are_at_one_address() -> None:
    addresses = [row.base_url for row in ROWS.values()]
    assert len(set(addresses)) == len(addresses)
