"""The recorded cases of the gates: they run on this tree, look at what comes out, and leave nothing behind."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.gate.drive import growth, repeat
from bench.gate.recorded import CASES
from bench.gate.rig import Worker
from core.sections import Directory
from plane.consumers import Consumers


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()
    made.close()


@pytest.mark.parametrize("case", CASES)
def test_a_case_gets_the_answer_it_expects_as_often_as_it_is_asked(worker: Worker, case: str) -> None:
    with CASES[case](worker) as turn:
        repeat(turn, 3)
    assert worker.drain() > 0


@pytest.mark.parametrize("case", CASES)
def test_a_case_leaves_no_block_of_memory_behind(worker: Worker, case: str) -> None:
    with CASES[case](worker) as turn:
        assert growth(worker, turn, 100) == 0


def test_a_block_left_behind_by_each_turn_is_counted(worker: Worker) -> None:
    left: list[bytes] = []
    with CASES["chat"](worker) as turn:

        def leaking() -> None:
            turn()
            left.append(bytes(100))

        assert 100 <= growth(worker, leaking, 100) <= 101


@pytest.mark.parametrize("case", ["chat", "stream", "stream-read", "route"])
def test_a_case_fails_where_the_caller_gets_something_else(worker: Worker, case: str) -> None:
    with CASES[case](worker) as turn:
        worker.caller.written.append(b"stray")
        with pytest.raises(AssertionError, match=r"the gateway wrote|an event became"):
            turn()
        worker.caller.take()


def test_a_case_fails_where_a_refusal_has_another_status(worker: Worker) -> None:
    with CASES["refused-429"](worker) as turn:
        worker.runtime.consumers = Consumers(Directory([], []))
        with pytest.raises(AssertionError, match="401"):
            turn()
