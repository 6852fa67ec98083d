"""What the micro benchmarks share."""

from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest

MANY = 1000


@pytest.fixture
def measure(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Time a function, called in a loop of the interpreter's own C, and print the nanoseconds of one operation.

    operations: how many of what is reported one call does.
    """

    def run(what: str, function: Callable[..., object], *arguments: object, operations: int = 1) -> None:
        benchmark(lambda: deque(map(function, *(repeat(argument, MANY) for argument in arguments)), maxlen=0))
        if benchmark.stats is None:
            return
        nanoseconds = benchmark.stats.stats.median / MANY / operations * 1e9
        benchmark.extra_info["ns"] = round(nanoseconds, 1)
        with capsys.disabled():
            print(f"\n  {what}: {nanoseconds:.0f} ns")

    return run
