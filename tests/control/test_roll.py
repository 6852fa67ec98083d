"""A rolling replacement against a fleet of children that start, serve and end when a test says so."""

import subprocess
from typing import Any, cast

import pytest

from control.child import Child
from control.roll import DRAINING, INDEXES, ControlRestart, Roll


class Process:
    """Stands for a running process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


class Fleet:
    """What the supervisor does to children, without processes."""

    def __init__(self, workers: int) -> None:
        self.children: list[Child] = []
        self.said: list[str] = []
        self.pids = 100
        self.begun: list[int] = []
        self.most = 0
        for index in range(workers):
            child = self.make(index)
            self.run(child)
            child.serving = True
            self.children.append(child)

    def make(self, index: int) -> Child:
        return Child(f"worker-{index}", [], (), {}, worker=index)

    def run(self, child: Child) -> None:
        self.pids += 1
        child.process = cast("subprocess.Popen[bytes]", Process(self.pids))

    def begin(self, child: Child) -> None:
        child.role = "successor"
        self.run(child)
        self.children.append(child)
        self.begun.append(child.worker)
        self.most = max(self.most, len(self.children))

    def retire(self, child: Child) -> None:
        child.role = "leaving"
        if child.process is None:
            self.children.remove(child)

    def end(self, child: Child, *, kill: bool) -> None:
        self.said.append("kill" if kill else "term")
        child.again()

    def ends(self, child: Child, reason: str) -> None:
        """Let a child's process end."""
        child.process, child.ended, child.serving = None, reason, False
        if child.role != "kept":
            self.children.remove(child)

    def roll(self, **options: Any) -> Roll:
        return Roll(self, self.make, self.said.append, **options)

    def of(self, role: str) -> list[int]:
        return [child.worker for child in self.children if child.role == role]

    def child(self, index: int) -> Child:
        return next(child for child in self.children if child.worker == index)


def test_an_old_worker_is_told_to_end_only_when_its_successor_serves() -> None:
    fleet = Fleet(2)
    roll = fleet.roll()
    roll.step(0)
    assert (fleet.of("kept"), fleet.of("successor")) == ([0, 1], [2])
    roll.step(1)
    assert fleet.of("leaving") == []
    fleet.child(2).serving = True
    roll.step(2)
    assert fleet.of("leaving") == [0]
    assert fleet.said == ["worker-0 (process 101) is replaced by worker-2 (process 103)"]


def test_the_next_is_begun_while_the_old_one_drains_and_it_ends_when_all_old_ones_have() -> None:
    fleet = Fleet(2)
    roll = fleet.roll()
    for index in (2, 3):
        roll.step(0)
        fleet.child(index).serving = True
    roll.step(0)
    assert (fleet.of("kept"), fleet.of("leaving")) == ([2, 3], [0, 1])
    assert roll.ended is None
    fleet.ends(fleet.child(0), "status 0")
    roll.step(1)
    assert roll.ended is None
    fleet.ends(fleet.child(1), "status 0")
    roll.step(2)
    assert roll.ended == ""


def test_an_index_is_used_again_once_its_process_has_ended() -> None:
    fleet = Fleet(3)
    roll = fleet.roll()
    while roll.ended is None:
        roll.step(0)
        for index in fleet.of("successor"):
            fleet.child(index).serving = True
            roll.step(0)
        for index in fleet.of("leaving"):
            fleet.ends(fleet.child(index), "status 0")
    assert fleet.begun == [3, 4, 0]
    assert fleet.most == 5


def test_no_more_than_a_few_drain_at_a_time() -> None:
    fleet = Fleet(DRAINING + 3)
    roll = fleet.roll()
    for _ in range(20):
        roll.step(0)
        for index in fleet.of("successor"):
            fleet.child(index).serving = True
    assert len(fleet.of("leaving")) == DRAINING
    assert fleet.of("successor") == []
    fleet.ends(fleet.child(0), "status 0")
    roll.step(0)
    assert len(fleet.of("successor")) == 1


def test_where_every_other_index_is_in_use_it_waits_for_a_free_one() -> None:
    fleet = Fleet(INDEXES - 1)
    roll = fleet.roll()
    roll.step(0)
    fleet.child(INDEXES - 1).serving = True
    roll.step(0)
    roll.step(0)
    assert fleet.begun == [INDEXES - 1]
    fleet.ends(fleet.child(0), "status 0")
    roll.step(0)
    assert fleet.begun == [INDEXES - 1, 0]


def test_a_successor_that_ends_stops_it_and_the_old_ones_stay() -> None:
    fleet = Fleet(2)
    roll = fleet.roll()
    roll.step(0)
    successor = fleet.child(2)
    successor.said = "ImportError: no"
    fleet.ends(successor, "status 1")
    roll.step(1)
    assert roll.ended == "worker-2 did not start: ImportError: no; 2 of 2 workers are as before"
    assert fleet.of("kept") == [0, 1]
    roll.step(2)
    assert fleet.begun == [2]


def test_a_successor_that_does_not_serve_in_time_is_taken_away() -> None:
    fleet = Fleet(1)
    roll = fleet.roll(patience=5.0)
    roll.step(10)
    assert roll.due() == 15
    roll.step(14.9)
    assert roll.ended is None
    roll.step(15)
    assert roll.ended == "worker-1 did not serve within 5 s; 1 of 1 workers are as before"
    assert (fleet.of("kept"), fleet.of("leaving")) == ([0], [1])


def test_an_old_worker_that_crashed_meanwhile_is_replaced_all_the_same() -> None:
    fleet = Fleet(1)
    roll = fleet.roll()
    roll.step(0)
    fleet.ends(fleet.child(0), "SIGKILL")
    fleet.child(1).serving = True
    roll.step(1)
    assert (fleet.of("kept"), len(fleet.children)) == ([1], 1)
    assert roll.ended == ""


def test_an_old_worker_that_had_to_be_killed_is_told() -> None:
    fleet = Fleet(1)
    roll = fleet.roll()
    roll.step(0)
    fleet.child(1).serving = True
    roll.step(0)
    fleet.ends(fleet.child(0), "SIGKILL")
    roll.step(0)
    assert roll.ended == "had to be killed: worker-0"


def test_when_it_is_stopped_nothing_more_is_begun() -> None:
    fleet = Fleet(2)
    roll = fleet.roll()
    roll.stop("the gateway is stopping")
    roll.step(0)
    assert roll.ended == "the gateway is stopping"
    assert fleet.begun == []


@pytest.fixture
def control() -> tuple[Fleet, Child, ControlRestart]:
    fleet = Fleet(1)
    child = Child("control", [], (), {})
    fleet.run(child)
    fleet.children.append(child)
    return fleet, child, ControlRestart(fleet, child, fleet.said.append, 0.0)


Restarting = tuple[Fleet, Child, ControlRestart]


def test_control_is_told_to_end_and_its_successor_waited_for(control: Restarting) -> None:
    fleet, child, restart = control
    restart.step(1)
    assert fleet.said == ["term"]
    child.process = None
    restart.step(2)
    fleet.run(child)
    restart.step(3)
    assert restart.ended is None
    child.serving = True
    restart.step(4)
    assert restart.ended == ""
    assert fleet.said[1:] == ["control (process 102) has ended", "control (process 103) serves"]


def test_a_control_process_that_does_not_end_is_killed(control: Restarting) -> None:
    fleet, _, restart = control
    due = restart.due()
    assert due is not None
    restart.step(due)
    assert fleet.said == ["term", "kill"]


def test_a_control_process_that_does_not_start_again_is_told(control: Restarting) -> None:
    _, child, restart = control
    child.process = None
    restart.step(1)
    child.quick_ends, child.ended = 1, "status 1"
    restart.step(2)
    assert restart.ended == "control did not start: status 1"
