"""What translation adds to a call and to an event: the compiled path between scripted ends, with and without it.

The CPU of two kinds of turns is compared in one process, in the order A B B A; the door, all phases and the upstream
client are real, sockets are not. Each turn's cost is its best round, as nothing makes it cheaper than it is.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import process_time_ns

from bench.gate.recorded import CASES, Turn
from bench.gate.rig import Worker
from bench.gate.translated import PROVIDERS
from bench.report import Figure

__all__ = ["measure"]

KINDS = {"translated_chat": ("chat", "translated-chat"), "translated_event": ("stream-read", "translated-read")}
TURNS = 500
ROUNDS = 5


def measure(blocks: int) -> dict[str, dict[str, Figure]]:
    """Return the added microseconds: row of the table -> dialect of the provider -> figure over `blocks`."""
    found: dict[str, dict[str, Figure]] = {}
    for row, (passing, translating) in KINDS.items():
        found[row] = {each.dialect: added(passing, f"{translating}-{each.dialect}", blocks) for each in PROVIDERS}
    return found


def added(passing: str, translating: str, blocks: int) -> Figure:
    """Return what the second kind of turn costs more than the first."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers, turns = [], []
        for case in (passing, translating):
            place = Path(folder) / case
            place.mkdir()
            workers.append(Worker(place))
            stack.callback(workers[-1].close)
            turns.append(stack.enter_context(CASES[case](workers[-1])))
        costs = []
        for _ in range(max(blocks, 3)):
            first, second, third, fourth = (shortest(turns[which], workers[which]) for which in (0, 1, 1, 0))
            costs.append((second + third - first - fourth) / 2)
    return Figure(median(costs), min(costs), max(costs))


def shortest(turn: Turn, worker: Worker) -> float:
    """Return the microseconds of CPU that one turn costs, in the best round."""
    costs = []
    for _ in range(ROUNDS):
        begin = process_time_ns()
        for _ in range(TURNS):
            turn()
        costs.append((process_time_ns() - begin) / TURNS / 1000)
        worker.drain()
    return min(costs)
