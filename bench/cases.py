"""The cases of a run: which cells are measured, in which order, and which figures come of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import swap, translated
from bench.connections import COUNT, WARM, hold
from bench.load import Load
from bench.process import BenchError, cpu_ns, memory
from bench.report import Cell, Figure, control_cost, cost, cost_ratio, figure, middle, mock_bound, rate, ratio, usable
from bench.servers import Arm

__all__ = ["CASES", "FULL", "QUICK", "Lengths", "Run"]

MIB = 1024 * 1024


@dataclass(frozen=True)
class Lengths:
    """How many blocks are measured, and for how many seconds each cell."""

    warm: float
    chat_blocks: int
    chat: float
    latency_blocks: int
    latency: float
    stream_blocks: int
    stream: float
    idle: float
    pushes: int
    pushing: float


FULL = Lengths(3, 5, 4, 2, 3, 3, 4, 8, 20, 30)
QUICK = Lengths(1, 2, 1, 1, 1, 1, 1.5, 2, 5, 9)


class Run:
    """One run over fixed arms: `front` is what is judged (the gateway), `reference` what it is compared with."""

    def __init__(
        self, front: Arm, reference: Arm, direct: Arm, load: Load, lengths: Lengths, say: Callable[[str], None]
    ) -> None:
        self.front = front
        self.reference = reference
        self.direct = direct
        self.load = load
        self.lengths = lengths
        self.say = say
        self.cells: list[Cell] = []
        self.figures: dict[str, Figure] = {}
        self.facts: dict[str, dict[str, float]] = {}

    def put(self, key: str, found: Figure | None, note: str = "") -> None:
        """Keep a figure, with one more note."""
        if found is not None:
            self.figures[key] = replace(found, note="; ".join(filter(None, (found.note, note))))

    def keep(self, cell: Cell) -> Cell:
        """Put a cell on record and say it."""
        self.cells.append(cell)
        each = f"{cost([cell]):7.2f} CPU µs each" if cell.worker_ns else " " * 19
        per_second = ratio(cell.units, cell.seconds)
        self.say(
            f"  {cell.case:14} c={cell.connections:<4} block {cell.block} {cell.arm:9} {per_second:9,.0f}/s {each}"
            f"  p50 {cell.p50_us:7,.0f} µs  p99 {cell.p99_us:7,.0f} µs"
            + (f"  others used {cell.foreign:.0%}" if cell.foreign > 0.02 else "")
            + (f"  {cell.problem}" if cell.problem else "")
        )
        return cell

    def of(self, case: str, connections: int | None = None) -> list[Cell]:
        """Return the cells of one case."""
        return [cell for cell in self.cells if cell.case == case and connections in (None, cell.connections)]

    def chat_block(self, block: int, connections: int, seconds: float) -> None:
        """Measure direct, then front and reference as A B B A."""
        self.keep(self.load.chat("chat", self.direct, block, connections, min(seconds, 2)))
        for arm in (self.front, self.reference, self.reference, self.front):
            self.keep(self.load.chat("chat", arm, block, connections, seconds))

    def warm(self) -> None:
        """Bring every arm to its steady state; nothing of it is kept."""
        for arm in (self.direct, self.reference, self.front):
            self.load.chat("warm", arm, 0, 64, self.lengths.warm)

    def chat(self) -> None:
        """Chat at c = 64: the cost, the rate, the control process' cost, and the worker's memory."""
        front, reference, direct = self.front.name, self.reference.name, self.direct.name
        settled = 0
        for block in range(self.lengths.chat_blocks):
            self.chat_block(block, 64, self.lengths.chat)
            # Growth is counted from the end of the first block, when buffers and pools have their size.
            settled = settled or sum(memory(pid)["rss"] for pid in self.front.workers)
        cells = self.of("chat", 64)
        self.put("chat_ratio", figure(cells, cost_ratio(front, reference), front, reference))
        found = figure(cells, lambda arms: rate(arms[front]), front, direct)
        ceiling = figure(cells, lambda arms: rate(arms[direct]), front, direct)
        if found and ceiling:
            self.put("chat_rate", found, mock_bound(found.value, ceiling.value))
        if self.front.control:
            self.put("usage_event", figure(cells, lambda arms: control_cost(arms[front]), front))
        after = [memory(pid) for pid in self.front.workers]
        rss, pss = sum(each["rss"] for each in after), sum(each["pss"] for each in after)
        self.facts["worker_memory"] = {"rss": rss, "pss": pss, "rss_after_first_block": settled}
        self.facts["reference_memory"] = {str(pid): memory(pid)["rss"] for pid in self.reference.workers}
        self.put("memory", Figure(rss / 1e6, rss / 1e6, rss / 1e6), f"PSS is {pss / 1e6:.0f} MB")
        requests = sum(cell.requests for cell in cells if cell.arm == front and cell.block > 0)
        growth = ratio((rss - settled) / MIB, requests / 1e6)
        self.put("memory_growth", Figure(growth, growth, growth), f"over {requests:,} requests")

    def latency(self) -> None:
        """Chat at the other concurrencies: the latency added at c = 1, the rest for the details."""
        front, direct = self.front.name, self.direct.name
        for block in range(self.lengths.latency_blocks):
            with self.load.anywhere(self.front, self.reference):
                self.chat_block(block, 1, self.lengths.latency)
        for connections in (16, 256):
            for block in range(self.lengths.latency_blocks):
                self.chat_block(block, connections, self.lengths.latency)
        one = self.of("chat", 1)
        self.put("added_p50", figure(one, lambda arms: middle(arms[front]) - middle(arms[direct]), front, direct))

    def stream(self) -> None:
        """Paced streams: one event per read against the reference, eight per read by themselves."""
        front, reference = self.front.name, self.reference.name
        for case in ("one-per-read", "eight-per-read"):
            for block in range(self.lengths.stream_blocks):
                for arm in (self.front, self.reference, self.reference, self.front):
                    self.keep(self.load.stream(case, arm, block, self.lengths.stream))
        one, eight = self.of("one-per-read"), self.of("eight-per-read")
        self.put("stream_ratio", figure(one, cost_ratio(front, reference), front, reference))
        self.put("stream_event", figure(eight, lambda arms: cost(arms[front]), front))

    def pushes(self) -> None:
        """Publish changed configs while calls flow; count the calls that failed."""
        push = self.front.push
        if push is None:
            return
        done: list[Cell] = []
        caller = threading.Thread(
            target=lambda: done.append(self.load.chat("pushes", self.front, 0, 64, self.lengths.pushing))
        )
        caller.start()
        begin = time.monotonic()
        try:
            for count in range(self.lengths.pushes):
                push(count)
        finally:
            seconds = time.monotonic() - begin
            caller.join()
        if not done:
            raise BenchError("the load beside the pushes did not finish")
        cell = self.keep(done[0])
        late = seconds > self.lengths.pushing
        note = f"{self.lengths.pushes} pushes in {seconds:.1f} s" + (", some after the load had ended" if late else "")
        # A failed call is the figure here, so it does not void it.
        self.put("pushes", Figure(cell.failed, cell.failed, cell.failed), note)

    def idle(self) -> None:
        """CPU of processes nobody calls."""
        watched = {
            f"{self.front.name} worker": self.front.workers,
            f"{self.front.name} control": self.front.control,
            f"{self.reference.name} worker": self.reference.workers,
        }
        begin, before = time.monotonic(), {name: cpu_ns(pids) for name, pids in watched.items()}
        time.sleep(self.lengths.idle)
        seconds = time.monotonic() - begin
        self.facts["idle_cpu"] = {
            name: (cpu_ns(pids) - before[name]) / 1e9 / seconds for name, pids in watched.items() if pids
        }

    def connections(self) -> None:
        """Memory of the worker for each idle keep-alive connection."""
        found = hold(self.front, self.load.key)
        self.facts["idle_connections"] = found
        self.load.sent[self.front.name] = self.load.sent.get(self.front.name, 0) + int(found["count"]) + WARM
        each = found["bytes_each"] / 1000
        note = "{bytes_each_left:,.0f} bytes of each stay behind"
        if found["count"] < COUNT:
            note += "; {count:,} of them, as the limit of open files allows no more"
        self.put("idle_connections", Figure(each, each, each), note.format(**found))

    def swap(self) -> None:
        """A worker of its own goes over to 10,000 routes and 100,000 keys and back while callers ask it every ms."""
        *large, _ = swap.measure(10_000, 100_000)
        for one in large:
            self.say(
                f"  swap: {one.what}: longest answer {one.pause:.1f} ms (usual {one.usual:.1f}), {one.mib:+.1f} MiB"
            )
        # A call that is not answered ends the measurement with an error.
        self.put("big_swap_failed", Figure(0, 0, 0), "one call after the other, about 1,000 a second")
        usual = max(one.usual for one in large)
        self.put("big_swap_pause", spread([one.pause for one in large]), f"{usual:.1f} ms without a swap")
        self.put("memory_keys", spread([one.mib * MIB / 1e6 for one in large]), "with 10,000 routes, PSS")

    def translated(self) -> None:
        """What translation adds to a chat call and to an event, for each dialect of a provider."""
        added = translated.measure(self.lengths.chat_blocks)
        for key, found in added.items():
            worst = max(found.values(), key=lambda each: each.value)
            each = ", ".join(f"{dialect} {figure.value:.1f}" for dialect, figure in found.items())
            self.say(f"  {key}: {each} µs")
            self.put(key, worst, f"an OpenAI caller at {each}; the compiled path without sockets")

    def detection_limit(self) -> float | None:
        """Return how far the reference's own cost varied over undisturbed blocks: smaller differences mean nothing."""
        cells = [cell for cell in self.of("chat", 64) if cell.arm == self.reference.name]
        costs = [cost([cell]) for cell in usable(cells)]
        return ratio(max(costs), min(costs)) - 1 if costs else None

    def counted(self) -> str:
        """Compare the usage events the control process counted with the calls that were answered; "" when they agree.

        wrk leaves with calls in flight at each cell's end, and these may have been finished or not.
        """
        if self.front.usage_events is None:
            return ""
        low = self.load.sent[self.front.name]
        high = low + self.load.cut.get(self.front.name, 0)
        deadline = time.monotonic() + 5
        while not low <= (events := self.front.usage_events()) <= high and time.monotonic() < deadline:
            time.sleep(0.1)
        self.facts["usage_events"] = {"counted": events, "answered": low, "answered_or_cut": high}
        if low <= events <= high:
            return ""
        return f"control counted {events:,} usage events for {low:,} to {high:,} answered calls"


def spread(values: list[float]) -> Figure:
    """Return the largest of `values` as a figure, with its spread."""
    return Figure(max(values), min(values), max(values))


CASES: dict[str, Callable[[Run], None]] = {
    "chat": Run.chat,
    "latency": Run.latency,
    "stream": Run.stream,
    "pushes": Run.pushes,
    "idle": Run.idle,
    "connections": Run.connections,
    "swap": Run.swap,
    "translated": Run.translated,
}
