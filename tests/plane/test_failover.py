"""plane.failover: which failures send a call on, where to, after what pause; and what is remembered of each place."""

import json
from time import monotonic_ns
from typing import Any

import pytest

from tests.plane.rig import SECOND, CallerEnd
from tests.plane.scenes import ALL, OK, SECRETS, Clock, Scene, config, counted, failed, said

# --- which failures


@pytest.mark.parametrize(
    ("status", "word"),
    [(408, "5xx"), (500, "5xx"), (503, "5xx"), (529, "5xx"), (429, 429)]
    + [(status, "credential") for status in (401, 402, 403)],
)
def test_an_error_answer_is_tried_elsewhere_only_under_its_word(status: int, word: Any, scene: Any) -> None:
    for words in ([word], [other for other in ALL if other != word]):
        played = scene(config(on=words))
        caller = played.gateway.caller()
        caller.chat()
        played.peer("p").say(failed(status))
        if words == [word]:
            played.peer("q").say(OK)
            assert said(caller)[0] == 200
            assert counted(played, "headgate_retries_total", str(word)) == 1
            assert counted(played, "headgate_failovers_total") == 1
        else:
            assert not played.is_asked("q")
            assert said(caller)[0] == (502 if status in (401, 403) else status)
        assert played.gateway.is_at_rest()


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
def test_what_is_wrong_with_the_request_is_wrong_everywhere(status: int, scene: Any) -> None:
    played = scene(config(on=ALL, max=5))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(status))
    assert said(caller)[0] == status
    assert not played.is_asked("q")
    assert played.health(0).breaker.failed_in_row == 0


def test_without_a_word_several_targets_fail_over_on_all_that_was_refused(scene: Any) -> None:
    played = scene(config(max=2))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(500))
    played.peer("q").say(failed(429))
    played.peer("r").say(OK)
    assert (said(caller)[0], played.asked) == (200, ["p", "q", "r"])
    (event,) = played.gateway.events()
    assert (event.attempts, event.target) == (3, "r/x")


def test_an_attempt_that_takes_too_long_is_ended_and_tried_elsewhere(scene: Any) -> None:
    played = scene(config(on=["timeout"], model={"timeouts": {"attempt": "2s", "total": "60s"}}))
    caller = played.gateway.caller()
    caller.chat()
    slow = played.peer("p")
    played.gateway.timers.run(monotonic_ns() + 3 * SECOND)
    assert not slow.is_open
    played.peer("q").say(OK)
    assert said(caller)[0] == 200
    assert played.health(0).breaker.failed_in_row == 1
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"HTTP/2 nonsense\r\n\r\n"])
def test_an_answer_that_is_none_is_a_failure_of_the_provider(begun: bytes, scene: Any) -> None:
    played = scene(config(on=["5xx"]))
    caller = played.gateway.caller()
    caller.chat()
    peer = played.peer("p")
    peer.say(begun)
    peer.leave(ConnectionResetError())
    played.peer("q").say(OK)
    assert said(caller)[0] == 200
    assert played.gateway.is_at_rest()


def test_what_fails_in_the_gateway_itself_is_not_tried_again(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    played = scene(config(on=ALL, max=5))

    class Broken:
        """A way whose request cannot be made."""

        translates = False

        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError

    for place in played.gateway.runtime.candidates:
        place.ways = {name: Broken() for name in place.ways}
    caller = played.gateway.caller()
    for upstream in played.gateway.upstreams.values():
        upstream.connect()
    caller.chat()
    assert said(caller)[:2] == (500, "internal_error")
    assert [event.attempts for event in played.gateway.events()] == [0]
    assert played.health(0).breaker.failed_in_row == 0


# --- where to


def test_no_place_is_tried_twice_before_all_were(scene: Any) -> None:
    played = scene(config(on=ALL, max=9, backoff="1ms"))
    caller = played.gateway.caller()
    caller.chat()
    for name in "pqrpqrpqrp":
        played.peer(name).say(failed(500))
        played.rest()
    assert said(caller)[0] == 500
    assert (played.gateway.events()[0].attempts, played.asked) == (10, list("pqrpqrpqrp"))


def test_a_target_named_twice_is_one_more_attempt_and_no_loop(scene: Any) -> None:
    played = scene(config("p", "p", "p", on=ALL, max=10, backoff="1ms"))
    caller = played.gateway.caller()
    caller.chat()
    attempts = 0
    while played.is_asked("p"):
        played.peer("p").say(failed(500))
        attempts += 1
        played.rest()
    assert attempts == 5  # Then the breaker of the target, one for all three, is open.
    assert said(caller)[0] == 500


def test_a_fallback_is_used_only_after_the_failures_it_is_for(scene: Any) -> None:
    targets = [
        {"provider": "p", "model": "x"},
        {"provider": "q", "model": "x", "on": [429]},
        {"provider": "r", "model": "x", "on": ["5xx", "credential"]},
    ]
    for status, taker in ((429, "q"), (500, "r"), (401, "r")):
        played = scene(config(model={"targets": targets}))
        caller = played.gateway.caller()
        caller.chat()
        played.peer("p").say(failed(status))
        played.peer(taker).say(OK)
        assert said(caller)[0] == 200


def test_a_refused_credential_is_left_alone_and_the_next_of_the_pool_used_at_once(scene: Any) -> None:
    played = scene(config("p", keys=3))
    caller = played.gateway.caller()
    for _ in range(4):
        caller.chat()
        peer = played.peer("p")
        if played.keys[-1] == "P0":
            peer.say(failed(401))
            peer = played.peer("p")
        peer.say(OK)
        assert said(caller)[0] == 200
    assert played.keys.count("P0") == 1
    assert counted(played, "headgate_quarantines_total") == 1


def test_a_429_goes_to_another_credential_before_another_target(scene: Any) -> None:
    played = scene(config("p", "q", keys=2, max=3))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429))
    played.peer("p").say(failed(429))
    played.peer("q").say(OK)
    assert [key[0] for key in played.keys] == ["P", "P", "Q"]
    assert len(set(played.keys)) == 3


def test_a_failing_provider_is_not_asked_with_its_other_credentials(scene: Any) -> None:
    played = scene(config("p", "q", keys=3, max=3))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(500))
    played.peer("q").say(OK)
    assert said(caller)[0] == 200


def test_credentials_take_turns_and_the_one_with_the_fewest_calls_comes_first(scene: Any) -> None:
    played = scene(config("p", keys=3))
    callers = [played.gateway.caller() for _ in range(6)]
    for caller in callers:
        caller.chat()
        played.peer("p")
    assert sorted(played.keys) == ["P0", "P0", "P1", "P1", "P2", "P2"]


def test_a_429_for_want_of_money_is_a_refused_credential(scene: Any) -> None:
    played = scene(config("p", keys=2))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, body=b'{"error":{"type":"insufficient_quota"}}'))
    played.peer("p").say(OK)
    assert said(caller)[0] == 200
    assert counted(played, "headgate_quarantines_total") == 1
    assert counted(played, "headgate_cooldowns_total") == 0


# --- pauses and time


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_same_place_is_asked_again_after_pauses_that_double_and_are_jittered(
    chance: float, scene: Any, clock: Clock
) -> None:
    played = scene(config("p", on=ALL, max=5, backoff="500ms", wait="3s"))

    class Dice:
        """Throws the same number each time."""

        def random(self) -> float:
            return chance

    played.gateway.shared.random = Dice()
    caller = played.gateway.caller()
    caller.chat()
    for pause in (0.5, 1, 2, 3, 3):
        played.peer("p").say(failed(503))
        due = clock() + pause * (0.8 + 0.4 * chance) * SECOND
        played.gateway.timers.run(int(due) - 1000)
        assert not played.is_asked("p")
        played.gateway.timers.run(int(due) + 1000)
        assert played.is_asked("p")
    played.peer("p").say(failed(503))
    assert said(caller)[0] == 503


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"retry-after: 4\r\n", b"{}"),
        (b"Retry-After-Ms: 4000\r\n", b"{}"),
        (b"", b'{"error":{"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"4s"}]}}'),
    ],
)
def test_the_pause_a_provider_asks_for_is_kept(fields: bytes, body: bytes, scene: Any) -> None:
    played = scene(config("p", on=[429]))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, fields, body))
    played.gateway.timers.run(monotonic_ns() + 3 * SECOND)
    assert not played.is_asked("p")
    played.gateway.timers.run(monotonic_ns() + 5 * SECOND)
    played.peer("p").say(OK)
    assert said(caller)[0] == 200


def test_a_provider_that_asks_for_more_than_may_be_waited_is_not_asked_again(scene: Any) -> None:
    played = scene(config("p", on=[429], wait="5s"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, b"retry-after: 6\r\n"))
    assert said(caller)[0] == 429
    assert played.gateway.is_at_rest()


@pytest.mark.parametrize(("total", "tried"), [("2s", False), ("30s", True)])
def test_an_attempt_that_could_not_end_in_time_is_not_begun(total: str, tried: bool, scene: Any) -> None:
    played = scene(config("p", on=[429], model={"timeouts": {"total": total}}))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, b"retry-after: 3\r\n"))
    played.gateway.timers.run(monotonic_ns() + 4 * SECOND)
    assert played.is_asked("p") is tried
    if not tried:
        assert said(caller)[0] == 429


def test_a_caller_s_own_timeout_shortens_the_total_one(scene: Any) -> None:
    played = scene(config("p", on=[429]))
    for milliseconds, tried in ((b"2000", False), (b"30000", True)):
        caller = played.gateway.caller()
        caller.ask("/v1/chat/completions", b'{"model":"m"}', fields=b"x-headgate-timeout-ms: %b\r\n" % milliseconds)
        played.peer("p").say(failed(429, b"retry-after: 3\r\n"))
        played.gateway.timers.run(monotonic_ns() + 4 * SECOND)
        assert played.is_asked("p") is tried


@pytest.mark.parametrize("value", [b"0", b"-1", b"soon", b"", b"99999999999"])
def test_a_timeout_that_is_none_is_refused(value: bytes, scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    caller.ask("/v1/chat/completions", b'{"model":"m"}', fields=b"x-headgate-timeout-ms: %b\r\n" % value)
    assert said(caller)[:2] == (400, "invalid_request")


def test_a_caller_that_leaves_during_the_pause_ends_the_call(scene: Any) -> None:
    played = scene(config("p", on=["5xx"]))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(500))
    caller.leave()
    played.gateway.rest()
    assert not played.is_asked("p")
    assert [event.error for event in played.gateway.events()] == ["caller_gone"]
    assert played.gateway.is_at_rest()


def test_when_the_budget_is_used_up_nothing_is_tried_again(scene: Any, clock: Clock) -> None:
    played = scene(config("p", "q", budget=0))
    rule = played.gateway.runtime.models["m"].retries
    while rule.budget.take(clock()):
        pass
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(500))
    assert said(caller)[0] == 500
    assert not played.is_asked("q")
    assert counted(played, "headgate_retries_refused_total") == 1


def test_a_budget_outlives_the_runtime(scene: Any) -> None:
    played = scene(config("p", "q"))
    before = played.gateway.runtime.models["m"].retries.budget
    played.gateway.apply(config("p", "q", budget=7), SECRETS)
    after = played.gateway.runtime.models["m"].retries.budget
    assert after is before
    assert after.percent == 7


# --- out of service


def fail_until_open(played: Scene, caller: CallerEnd) -> None:
    """Let provider p fail until its breaker opens; q answers meanwhile."""
    for _ in range(5):
        caller.chat()
        played.peer("p").say(failed(500))
        played.peer("q").say(OK)
        assert said(caller)[0] == 200


def test_a_place_whose_breaker_is_open_is_passed_over_until_a_probe_succeeds(scene: Any, clock: Clock) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    fail_until_open(played, caller)
    assert counted(played, "headgate_ejections_total") == 1
    caller.chat()
    played.peer("q").say(OK)
    clock.ahead = 11 * SECOND
    probing, other = played.gateway.caller(), played.gateway.caller()
    probing.chat()
    probe = played.peer("p")
    other.chat()
    played.peer("q").say(OK)
    probe.say(OK)
    caller.take(), other.take()
    assert said(probing)[0] == 200
    caller.chat()
    played.peer("p").say(OK)
    assert said(caller)[0] == 200
    assert played.gateway.is_at_rest()


def test_a_probe_that_fails_goes_to_the_next_place_and_opens_the_breaker_again(scene: Any, clock: Clock) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    fail_until_open(played, caller)
    clock.ahead = 11 * SECOND
    caller.chat()
    played.peer("p").say(failed(500))
    played.peer("q").say(OK)
    assert said(caller)[0] == 200
    clock.ahead = 22 * SECOND
    caller.chat()
    played.peer("q").say(OK)
    assert said(caller)[0] == 200


def test_a_probe_whose_caller_leaves_makes_the_next_call_the_probe(scene: Any, clock: Clock) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    fail_until_open(played, caller)
    clock.ahead = 11 * SECOND
    leaving = played.gateway.caller()
    leaving.chat()
    played.peer("p")
    leaving.leave()
    caller.chat()
    played.peer("p").say(OK)
    assert said(caller)[0] == 200
    assert played.gateway.is_at_rest()


def test_failures_in_a_row_take_out_no_more_than_the_share_that_may_be(scene: Any) -> None:
    played = scene(config(max=2, wait="1ms"))
    caller = played.gateway.caller()
    for _ in range(15):
        caller.chat()
        for name in "pqr":
            if played.is_asked(name):
                played.peer(name).say(failed(500))
    caller.take()
    assert [played.health(number).breaker.state for number in range(3)] == [1, 0, 0]
    assert counted(played, "headgate_ejections_total") == 1


def test_where_nothing_is_in_service_the_caller_learns_why_and_when_to_come_back(scene: Any, clock: Clock) -> None:
    played = scene(config("p", "q", max=0))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(429, b"retry-after: 30\r\n"))
    caller.chat()
    played.peer("q").say(failed(429, b"retry-after: 7\r\n"))
    caller.take()
    caller.chat()
    raw = caller.take()
    assert raw.startswith(b"HTTP/1.1 503 ")
    assert b"x-headgate-error: no_candidate\r\n" in raw
    assert b"\r\nretry-after: 7\r\n" in raw
    message = json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert "p/x: it asked for a pause; q/x: it asked for a pause" in message
    clock.ahead = 8 * SECOND
    caller.chat()
    played.peer("q").say(OK)
    assert said(caller)[0] == 200


def test_a_single_target_is_asked_whatever_happened_before(scene: Any) -> None:
    played = scene(config("p"))
    caller = played.gateway.caller()
    for status in (500, 429, 401, 500, 500, 500, 500, 500):
        caller.chat()
        played.peer("p").say(failed(status, b"retry-after: 60\r\n"))
    caller.take()
    caller.chat()
    played.peer("p").say(OK)
    assert said(caller)[0] == 200


def test_a_single_target_may_have_a_breaker_that_turns_calls_away(scene: Any) -> None:
    played = scene(config("p", model={"breaker": {"calls": 2}}))
    caller = played.gateway.caller()
    for _ in range(2):
        caller.chat()
        played.peer("p").say(failed(500))
    caller.take()
    caller.chat()
    assert said(caller)[:2] == (503, "no_candidate")
    assert not played.is_asked("p")


def test_a_breaker_can_be_switched_off(scene: Any) -> None:
    played = scene(config("p", "q", model={"breaker": {"enabled": False}}))
    assert played.health(0).breaker is None
    caller = played.gateway.caller()
    for _ in range(30):
        caller.chat()
        played.peer("p").say(failed(500))
        played.peer("q").say(OK)
    assert set(played.asked[::2]) == {"p"}


def test_what_is_known_of_a_place_outlives_the_runtime_and_a_new_place_begins_slowly(scene: Any) -> None:
    played = scene(config("p", "q"))
    fail_until_open(played, played.gateway.caller())
    before = played.health(0)
    slow = config("p", "q", "r", model={"slow_start": "30s"})
    played.gateway.apply(slow, SECRETS)
    after = [played.health(number) for number in range(3)]
    assert after[0] is before
    assert before.breaker.state == 1
    assert [health.slow_from > 0 for health in after] == [False, False, True]


def test_another_value_of_a_credential_is_another_place(scene: Any) -> None:
    played = scene(config("p", "q"))
    caller = played.gateway.caller()
    caller.chat()
    played.peer("p").say(failed(401))
    played.peer("q").say(OK)
    played.gateway.apply(config("p", "q"), SECRETS | {"env:P0": "sk-P9"})
    caller.take()
    caller.chat()
    played.peer("p").say(OK)
    assert played.keys[-1] == "P9"
