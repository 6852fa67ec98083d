"""What one look at the deadlines of 10,000 connections costs."""

from collections.abc import Callable

from plane.timers import Timed, Timers

FAR = 1 << 62


def test_a_look_at_ten_thousand_deadlines(measure: Callable[..., None]) -> None:
    timers = Timers()
    for _ in range(10_000):
        item = Timed()
        item.due = FAR
        timers.add(item)
    measure("look at 10,000 deadlines", timers.run, 1)
