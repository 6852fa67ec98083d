"""From cells to figures to the budget table: pure arithmetic and text, so that tests can hold it to examples.

A cell is one arm under one load for a few seconds. A block is cells of both arms in the order A B B A, so that a slow
drift of the machine weighs on both alike. A figure is the median over blocks; its spread is the lowest and highest of
them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["ROWS", "Cell", "Figure", "Row", "blocks", "cost", "figure", "latency_table", "render", "usable", "verdict"]

TIMES = "\N{MULTIPLICATION SIGN}"
# Share of the machine other processes may use during a cell; above it the cell is kept on record, not in figures.
FOREIGN_SHARE = 0.05
# A direct ceiling below this multiple of the gateway's means that upstream or generator were measured.
MOCK_CEILING = 2.0


@dataclass(frozen=True)
class Cell:
    """One measured window. Requests for chat, events for streams; CPU in nanoseconds; latencies in microseconds.

    problem: why its figures are void (wrong or missing answers), or ``""``.
    foreign: the share of the machine that processes outside the run used meanwhile.
    """

    case: str
    arm: str
    block: int
    connections: int
    seconds: float
    requests: int
    events: int
    worker_ns: int
    control_ns: int
    p50_us: float = 0.0
    p99_us: float = 0.0
    reads: int = 0
    failed: int = 0
    foreign: float = 0.0
    problem: str = ""
    command: str = ""

    @property
    def units(self) -> int:
        """What the cost is counted per: events of a stream, else requests."""
        return self.events or self.requests


@dataclass(frozen=True)
class Figure:
    """A measured value, its lowest and highest block, and what the reader must know about it."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the budget: `bar` must hold, `aim` is where the work goes. `more` = larger is better."""

    key: str
    case: str
    unit: str
    bar: float | None
    aim: float | None
    more: bool = False
    digits: int = 0


ROWS = (
    Row("chat_ratio", "chat, 1 KB, all on, c = 64: CPU per request", f"{TIMES} nginx", 2.2, 1.6, digits=2),
    Row(
        "chat_rate", "the same: one worker, generator and upstream on the same two cores", "req/s", 20_000, 28_000, True
    ),
    Row("added_p50", "added p50 at c = 1 over direct", "µs", 200, 100),
    Row("stream_ratio", "SSE passthrough, one event per read: CPU per event", f"{TIMES} nginx", 1.5, 1.2, digits=2),
    Row("stream_event", "SSE passthrough, eight events per read: CPU per event", "µs", 3, None, digits=2),
    Row("translated_chat", "translated chat, on top of passthrough", "µs", 60, 30),
    Row("translated_event", "translated event, on top of passthrough", "µs", 15, 5),
    Row("usage_event", "usage event, control's side", "µs", 8, 4, digits=1),
    Row("pushes", "20 config pushes at c = 64: failed requests", "", 0, None),
    Row("big_swap_failed", "swap of 10,000 routes and 100,000 keys under load: failed requests", "", 0, None),
    Row("big_swap_pause", "the same: longest pause", "ms", 20, 5),
    Row("memory", "worker memory after the quickstart load (RSS)", "MB", 70, None),
    Row("memory_keys", "worker memory per 100,000 keys", "MB", 20, None),
    Row("memory_growth", "worker memory growth per million requests", "MiB", 1, None, digits=2),
    Row("idle_connections", "10,000 idle keep-alive connections, each", "KB", 4, 2, digits=1),
)


def usable(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells of blocks that nobody disturbed; all of them where every block was disturbed."""
    cells = list(cells)
    disturbed = {cell.block for cell in cells if cell.foreign > FOREIGN_SHARE}
    return [cell for cell in cells if cell.block not in disturbed] or cells


def blocks(cells: Iterable[Cell]) -> dict[int, dict[str, list[Cell]]]:
    """Return block -> arm -> its cells, in order of blocks."""
    found: dict[int, dict[str, list[Cell]]] = {}
    for cell in cells:
        found.setdefault(cell.block, {}).setdefault(cell.arm, []).append(cell)
    return dict(sorted(found.items()))


def ratio(value: float, base: float) -> float:
    """Return `value` over `base`; 0.0 where nothing was counted, as cells without answers are void anyway."""
    return value / base if base else 0.0


def cost(cells: Sequence[Cell]) -> float:
    """Return the workers' CPU microseconds per request (or event) over several cells."""
    return ratio(sum(cell.worker_ns for cell in cells) / 1000, sum(cell.units for cell in cells))


def control_cost(cells: Sequence[Cell]) -> float:
    """Return the control process' CPU microseconds per request over several cells."""
    return ratio(sum(cell.control_ns for cell in cells) / 1000, sum(cell.requests for cell in cells))


def rate(cells: Sequence[Cell]) -> float:
    """Return requests per second over several cells."""
    return ratio(sum(cell.requests for cell in cells), sum(cell.seconds for cell in cells))


def cost_ratio(front: str, reference: str) -> Callable[[dict[str, list[Cell]]], float]:
    """Return what makes, of one block, the cost of `front` in multiples of the cost of `reference`."""
    return lambda arms: ratio(cost(arms[front]), cost(arms[reference]))


def middle(cells: Sequence[Cell]) -> float:
    """Return the median of the cells' p50 in microseconds."""
    return median(cell.p50_us for cell in cells)


def figure(cells: Iterable[Cell], value: Callable[[dict[str, list[Cell]]], float], *arms: str) -> Figure | None:
    """Return the median and spread over blocks of `value` (arm -> cells); None where no block has all `arms`."""
    cells = list(cells)
    values = [value(block) for block in blocks(usable(cells)).values() if set(arms) <= block.keys()]
    if not values:
        return None
    notes = []
    wrong = next((cell.problem for cell in cells if cell.problem), "")
    if wrong:
        notes.append(f"void: {wrong}")
    if any(cell.foreign > FOREIGN_SHARE for cell in usable(cells)):
        notes.append("other processes disturbed every block")
    return Figure(median(values), min(values), max(values), "; ".join(notes))


def mock_bound(gateway: float, direct: float) -> str:
    """Return a note where the load without a gateway is too slow to tell what the gateway can do."""
    if direct >= MOCK_CEILING * gateway:
        return ""
    return f"mock-bound: direct is only {ratio(direct, gateway):.1f} {TIMES} the gateway"


def verdict(row: Row, found: Figure | None) -> str:
    """Return ``ok``, ``over`` (the bar is missed), ``void`` (wrong answers) or ``not yet`` (not measured)."""
    if found is None:
        return "not yet"
    if found.note.startswith("void"):
        return "void"
    if row.bar is None:
        return "ok"
    return "ok" if (found.value >= row.bar if row.more else found.value <= row.bar) else "over"


def number(value: float, digits: int) -> str:
    """Return `value` with `digits` decimals and thousands apart."""
    return f"{value:,.{digits}f}"


def with_unit(text: str, unit: str) -> str:
    """Return `text` and its unit."""
    return f"{text} {unit}" if unit else text


def lines(figures: Mapping[str, Figure]) -> list[list[str]]:
    """Return the budget table as texts: case, measured, bar, aim, verdict."""
    table = []
    for row in ROWS:
        found = figures.get(row.key)
        sign = "≥" if row.more else "≤"
        measured = "-"
        if found is not None:
            measured = with_unit(number(found.value, row.digits), row.unit)
            if found.low != found.high:
                measured += f" ({number(found.low, row.digits)}..{number(found.high, row.digits)})"
        bar = "-" if row.bar is None else f"{sign} {with_unit(number(row.bar, _places(row.bar)), row.unit)}"
        aim = "-" if row.aim is None else with_unit(number(row.aim, _places(row.aim)), row.unit)
        table.append([row.case, measured, bar, aim, verdict(row, found)])
    return table


def _places(value: float) -> int:
    return 0 if value == int(value) else 1


def latency_table(cells: Iterable[Cell]) -> list[list[str]]:
    """Return the details as texts, one line per case, connections and arm."""
    groups: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.case, cell.connections, cell.arm), []).append(cell)
    table = []
    for (case, connections, arm), group in groups.items():
        found = usable(group)
        seconds = sum(cell.seconds for cell in found)
        per_second = ratio(sum(cell.units for cell in found), seconds)
        costs = [cost([cell]) for cell in found]
        cpu = f"{median(costs):.1f} ({min(costs):.1f}..{max(costs):.1f})" if any(costs) else "-"
        busy = ratio(sum(cell.worker_ns for cell in found) / 1e9, seconds)
        p50 = number(median(cell.p50_us for cell in found), 0)
        p99 = number(median(cell.p99_us for cell in found), 0)
        table.append(
            [case, str(connections), arm, number(per_second, 0), cpu, f"{busy:.0%}" if any(costs) else "-", p50, p99]
        )
    return table


BUDGET_HEAD = ["case", "measured", "bar", "aim", "verdict"]
DETAIL_HEAD = ["case", "c", "through", "per second", "CPU µs each (lowest..highest)", "busy", "p50 µs", "p99 µs"]


def render(head: Sequence[str], table: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Return a table as text: aligned for a terminal, or Markdown."""
    rows = [list(head), *[list(row) for row in table]]
    if markdown:
        marked = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([marked[0], "|" + "---|" * len(head), *marked[1:]])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    aligned = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([aligned[0], "  ".join("-" * width for width in widths), *aligned[1:]])


def notes(figures: Mapping[str, Figure]) -> list[str]:
    """Return one line for each figure with something to know about it."""
    cases = {row.key: row.case for row in ROWS}
    return [f"{cases.get(key, key)}: {found.note}" for key, found in figures.items() if found.note]
