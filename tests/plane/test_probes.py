"""plane.probes: who is asked when, what the answers change, and what an answer is."""

import asyncio
import contextlib
from random import Random
from typing import Any

import pytest

from core.metrics import slot
from plane.health import Health, Standing
from plane.http1.origin import Origin
from plane.metrics import Metrics
from plane.probes import Probe, ProbeRule, ask
from tests.plane.conftest import Starter
from tests.plane.rig import SECOND, answer, consumer

RULE = ProbeRule(10 * SECOND, SECOND, failures=3, successes=2)


def made(rule: ProbeRule = RULE) -> tuple[Probe, Health]:
    """Return a probe and the place it is about."""
    probe, health = Probe(lambda _: None, Random(1), Metrics(), rule), Health(Standing())
    probe.tell([health])
    return probe, health


def test_so_many_bad_answers_in_a_row_take_a_place_out_and_so_many_good_ones_bring_it_back() -> None:
    probe, health = made()
    down = []
    for good in (False, False, True, False, False, False, True, False, True, True):
        probe.answered(good, 0)
        down.append(health.down)
    assert down == [False] * 5 + [True] * 4 + [False]
    assert health.slow_from > 0
    assert probe.metrics.count(slot("headgate_probes_total", "failed")) == 6


def test_a_place_that_is_down_gets_no_call_and_says_when_to_ask_again() -> None:
    probe, health = made()
    for _ in range(3):
        probe.answered(False, 0)
    assert health.enter(SECOND) == 0
    assert health.reason(SECOND) == "its health probes fail"
    assert health.opens_at(SECOND) > SECOND


def test_a_place_that_joins_hears_what_is_known_already() -> None:
    probe, _ = made()
    for _ in range(3):
        probe.answered(False, 0)
    other = Health(Standing())
    probe.tell([other])
    assert other.down


@pytest.mark.parametrize("good", [True, False])
def test_it_is_asked_again_after_the_interval_give_or_take_a_fifth(good: bool) -> None:
    probe, _ = made()
    gaps = []
    for number in range(200):
        probe.answered(good, number * 100 * SECOND)
        gaps.append(probe.due - number * 100 * SECOND)
    assert 8 * SECOND <= min(gaps) < 8.5 * SECOND
    assert 11.5 * SECOND < max(gaps) <= 12 * SECOND


def test_the_first_probes_of_many_places_are_spread_over_the_interval() -> None:
    random = Random(7)
    due = sorted(Probe(lambda _: None, random, Metrics(), RULE).due for _ in range(100))
    assert due[-1] - due[0] > 8 * SECOND


def config(*ports: int, health: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a config with a plain API at these ports of localhost, and a model at one of its own."""
    more = {"health": health} if health else {}
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001/v1", "credential": "env:KEY"}},
        "models": {"m": {"targets": [{"provider": "p", "model": "x"}]}},
        "upstreams": {"u": {"endpoints": [f"http://u.test:{port}/base" for port in ports], **more}},
        "routes": {"r": {"match": {"path": "/r"}, "upstream": "u", "auth": "none"}},
        "consumers": {"c": consumer()},
    }


def test_a_config_without_probes_has_none(start: Starter) -> None:
    gateway = start(config(9002, 9003))
    assert gateway.shared.probes == {}


def test_a_probe_outlives_the_runtime_and_ends_with_its_config(start: Starter) -> None:
    health = {"path": "/healthz", "interval": "5s"}
    gateway = start(config(9002, 9003, health=health))
    before = dict(gateway.shared.probes)
    assert [request for _, request in before] == [
        b"GET /base/healthz HTTP/1.1\r\nhost: u.test:%d\r\nconnection: close\r\n\r\n" % port for port in (9002, 9003)
    ]
    gateway.apply(config(9002, 9004, health=health | {"interval": "7s"}))
    after = gateway.shared.probes
    (kept,) = before.keys() & after.keys()
    assert after[kept] is before[kept]
    assert after[kept].rule.interval == 7 * SECOND
    gateway.apply(config(9002))
    assert gateway.shared.probes == {}


def test_an_endpoint_whose_probes_fail_is_passed_over(start: Starter) -> None:
    gateway = start(config(9002, 9003, health={"path": "/", "failures": 1}))
    first, second = gateway.shared.probes.values()
    caller = gateway.caller()
    first.answered(False, 0)
    for _ in range(4):
        caller.ask("/r", method="GET")
        gateway.upstreams[9003].connect() if not gateway.upstreams[9003].peers else None
        for dial in list(gateway.upstreams[9003].dials):
            dial.succeed()
        (peer,) = [peer for peer in gateway.upstreams[9003].peers if peer.take()]
        peer.say(answer(b"{}"))
        assert caller.take().startswith(b"HTTP/1.1 200 ")
    second.answered(False, 0)
    caller.ask("/r", method="GET")
    assert b"its health probes fail" in caller.take()


def test_a_provider_is_asked_with_its_credential_for_all_of_its_targets(start: Starter) -> None:
    probed = config(9002)
    probed["providers"]["p"]["health"] = {"path": "/models", "failures": 1}
    probed["models"]["n"] = {"targets": [{"provider": "p", "model": "y"}]}
    gateway = start(probed)
    ((_, request),) = gateway.shared.probes
    assert request.startswith(b"GET /v1/models HTTP/1.1\r\nhost: p.test:9001\r\nauthorization: Bearer sk-vendor\r\n")
    (probe,) = gateway.shared.probes.values()
    probe.answered(False, 0)
    for name in "mn":
        caller = gateway.caller()
        caller.chat(b'{"model":"%b"}' % name.encode())
        assert caller.take().startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("said", "good"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 302 Found\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False),
        (b"SSH-2.0-x\r\n", False),
        (b"", False),
        (b"x" * 100_000, False),
    ],
)
async def test_an_answer_is_good_by_its_status(said: bytes, good: bool) -> None:
    asked = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        request = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"
        assert await ask(Origin("http", "127.0.0.1", port, "", 1), None, request, 20 * SECOND) is good
    assert asked.result() == request


async def test_nobody_there_and_no_answer_in_time_are_bad_answers() -> None:
    ended = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1], "", 1)
    async with server:
        assert not await ask(origin, None, b"GET / HTTP/1.1\r\n\r\n", SECOND // 50)
        await ended.wait()
    assert not await ask(origin, None, b"GET / HTTP/1.1\r\n\r\n", 20 * SECOND)
    assert not await ask(Origin("http", "no-such-host.invalid", 80, "", 1), None, b"", 20 * SECOND)
