"""plane.kept: who is asked for what a provider keeps, and which ids in an answer become the gateway's."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from core.errors import ConfigError, GatewayError
from core.model import Config
from core.snapshot import build
from core.sse import EventScan
from plane.compile import compile_snapshot
from plane.dialects.openai_responses import MARKS
from plane.exchange import Exchange
from plane.kept import KeptEvents, find_home, keepers, mark_of, unwrap, wrapped
from plane.pins import Pin, Pins
from plane.runtime import Runtime
from tests.plane.rig import make_exchange
from tests.plane.splits import splits

PROVIDERS = {
    "first": {"dialect": "openai", "also": ["openai_responses"], "credential": "env:ONE", "files": True},
    "second": {"dialect": "openai_responses", "credential": "env:TWO"},
}
FILES = Path("tests/golden/dialects/openai_responses")


def compiled(**changes: dict[str, Any]) -> Runtime:
    providers = {
        name: {"base_url": "http://p.test/v1", **settings, **changes.get(name, {})}
        for name, settings in PROVIDERS.items()
        if changes.get(name, {}) is not None
    }
    targets = [{"provider": name, "model": "m"} for name in providers]
    config = {"providers": providers, "models": {"m": {"strategy": "weighted", "targets": targets}}}
    return compile_snapshot(build(msgspec.convert(config, Config), 1), None)


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    path = tmp_path / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    return Pins(path)


def asked(
    pins: Pins, path: str, runtime: Runtime | None = None, *, method: str = "GET", models: Any = None
) -> Exchange:
    exchange = make_exchange(method.encode())
    exchange.runtime = runtime or compiled()
    exchange.runtime.shared = SimpleNamespace(pins=pins)
    target, _, query = path.partition("?")
    exchange.path, exchange.query = target.encode(), query.encode()
    exchange.consumer = SimpleNamespace(name="alice", models=models)
    exchange.route = exchange.runtime.router.match(method, b"", exchange.path)
    exchange.body = b""
    return exchange


def made(pins: Pins, own: str, provider: str = "second", credential: str = "env:TWO") -> str:
    return pins.wrap("alice", Pin(provider, mark_of(credential), own))


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(
    ("end", "own", "keeps"),
    [
        ("", "/responses/resp_1", True),
        ("/input_items?limit=2", "/responses/resp_1/input_items?limit=2", False),
    ],
)
def test_what_is_kept_is_asked_where_it_was_made(pins: Pins, prefix: str, end: str, own: str, keeps: bool) -> None:
    exchange = asked(pins, f"{prefix}/responses/{made(pins, 'resp_1')}{end}")
    find_home(exchange)
    assert (exchange.home.target.name, exchange.pinned_path, exchange.keeps) == ("second", own.encode(), keeps)


def test_an_id_of_a_provider_s_stays_one_segment_of_the_path(pins: Pins) -> None:
    exchange = asked(pins, f"/v1/responses/{made(pins, 'resp_/../x?y')}")
    find_home(exchange)
    assert exchange.pinned_path == b"/responses/resp_%2F..%2Fx%3Fy"


def test_what_is_new_goes_to_the_provider_that_takes_files(pins: Pins) -> None:
    exchange = asked(pins, "/v1/files", method="POST")
    find_home(exchange)
    assert exchange.home.target.name == "first"


@pytest.mark.parametrize(
    ("provider", "credential", "changes"),
    [
        ("gone", "env:TWO", {}),
        ("second", "env:OLD", {}),
        ("second", "env:TWO", {"second": {"credential": "env:NEW"}}),
    ],
)
def test_a_keeper_that_the_config_lost_is_told(pins: Pins, provider: str, credential: str, changes: Any) -> None:
    text = made(pins, "resp_1", provider, credential)
    with pytest.raises(GatewayError) as caught:
        find_home(asked(pins, f"/v1/responses/{text}", compiled(**changes)))
    assert (caught.value.status, caught.value.code) == (410, "keeper_gone")


def test_without_a_provider_for_files_there_are_none(pins: Pins) -> None:
    with pytest.raises(GatewayError) as caught:
        find_home(asked(pins, "/v1/files", compiled(first={"files": False}), method="POST"))
    assert (caught.value.status, caught.value.code) == (404, "nothing_keeps")


def test_files_are_not_asked_of_a_provider_that_has_no_such_path(pins: Pins) -> None:
    with pytest.raises(GatewayError) as caught:
        find_home(asked(pins, f"/v1/files/{made(pins, 'file-1')}"))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_operation")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"second": {"files": True}}, "providers.second.files: first keeps them already; one provider can"),
        (
            {"second": {"dialect": "anthropic", "files": True}, "first": {"files": False}},
            "providers.second.files: the dialect 'anthropic' keeps no files",
        ),
    ],
)
def test_one_provider_that_can_keeps_files(changes: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(**changes)
    assert caught.value.problems == [problem]


def test_a_call_of_a_model_is_kept_to_the_target_of_the_credential(pins: Pins) -> None:
    exchange = asked(pins, "/v1/responses", method="POST")
    model = exchange.runtime.models["m"]
    exchange.body = json.dumps({"previous_response_id": made(pins, "resp_1"), "model": "m"}).encode()
    unwrap(exchange)
    assert json.loads(exchange.body)["previous_response_id"] == "resp_1"
    assert [target.provider for target in keepers(exchange, model.targets)] == ["second"]


def test_what_two_keep_cannot_be_named_at_once(pins: Pins) -> None:
    exchange = asked(pins, "/v1/responses", method="POST")
    ids = [made(pins, "resp_1"), made(pins, "file-1", "first", "env:ONE")]
    exchange.body = json.dumps({"model": "m", "input": ids}).encode()
    unwrap(exchange)
    with pytest.raises(GatewayError) as caught:
        keepers(exchange, exchange.runtime.models["m"].targets)
    assert (caught.value.status, caught.value.code) == (400, "kept_apart")


def test_an_upload_is_never_changed(pins: Pins) -> None:
    exchange = asked(pins, "/v1/files", method="POST")
    exchange.body = body = f'--b\r\n\r\n"{made(pins, "resp_1")}"\r\n--b--'.encode()
    unwrap(exchange)
    assert exchange.body == body


def answering(pins: Pins) -> Exchange:
    exchange = asked(pins, "/v1/responses", method="POST")
    exchange.target = exchange.runtime.models["m"].targets[1]
    return exchange


def test_in_an_answer_only_what_names_something_kept_changes(pins: Pins) -> None:
    exchange = answering(pins)
    exchange.reply = (
        b'{ "id" : "resp_1", "previous_response_id":null,"x": {"id":"resp_1"},'
        b'"conversation": {"created":1e3, "id":"conv_1"},"text":"resp_1", "output_file_id":"file-1", "error_file_id":7,'
        b'"file":{"id" :"file-2"}, "upload_id":"upload_1"}'
    )
    expected = exchange.reply.replace(b' "resp_1",', b' "%b",' % made(pins, "resp_1").encode())
    for own in ("conv_1", "file-1", "file-2", "upload_1"):
        expected = expected.replace(own.encode(), made(pins, own).encode())
    assert wrapped(exchange) == expected


@pytest.mark.parametrize("reply", [b"", b"[]", b'{"id":', b'{"id":"a","id":"b"}', b"\xff"])
def test_an_answer_that_is_no_object_stays_as_it_is(pins: Pins, reply: bytes) -> None:
    exchange = answering(pins)
    exchange.reply = reply
    assert wrapped(exchange) == reply


def test_the_id_in_a_stream_changes_the_same_however_its_bytes_come(pins: Pins) -> None:
    data = (FILES / "plain.stream").read_bytes()
    own = json.loads((FILES / "plain.answer.json").read_bytes())["id"]
    expected = data.replace(own.encode(), made(pins, own).encode())
    for number, pieces in enumerate(splits(data)):
        if number < 2 or number % 13 == 0:
            events = KeptEvents(answering(pins), EventScan(1 << 20, MARKS))
            assert b"".join(events.feed(piece) for piece in pieces if piece) + events.flush() == expected
            assert (events.done, events.content, events.error) == (True, True, False)
            assert b"input_tokens" in events.usage
