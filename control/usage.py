"""What was used since this control process started, by consumer and model."""

from collections.abc import Iterable

from msgspec import Struct

from core.wire import UsageEvent

__all__ = ["OTHER", "UsageRow", "UsageTable"]

OTHER = "(other)"


class UsageRow(Struct):
    """Totals of one consumer on one model. Tokens are of calls whose usage is known; `unknown` counts the others."""

    consumer: str
    model: str
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unknown: int = 0


class UsageTable:
    """Counts usage events, each once.

    rows: how many pairs of consumer and model are kept apart; what comes after is counted under `OTHER`.
    runs: how many worker runs are remembered; the oldest are forgotten.
    """

    def __init__(self, rows: int = 10_000, runs: int = 4096) -> None:
        self._rows: dict[tuple[str, str], UsageRow] = {}
        self._seen: dict[tuple[str, int], int] = {}
        self._limit = rows
        self._runs = runs

    def add(self, events: Iterable[UsageEvent]) -> None:
        """Count `events`; one with a number its worker run has already reached was counted before and is skipped."""
        for event in events:
            run = (event.boot, event.worker)
            if event.seq <= self._seen.get(run, -1):
                continue
            self._remember(run, event.seq)
            row = self._row(event.consumer, event.model)
            row.requests += 1
            row.errors += event.status >= 400 or event.error != ""
            if event.usage_known:
                row.input_tokens += event.input_total
                row.output_tokens += event.output_total
            else:
                row.unknown += 1

    def rows(self) -> list[UsageRow]:
        """Return the totals, ordered by consumer and model."""
        return [self._rows[pair] for pair in sorted(self._rows)]

    def _remember(self, run: tuple[str, int], seq: int) -> None:
        if run not in self._seen and len(self._seen) >= self._runs:
            del self._seen[next(iter(self._seen))]
        self._seen[run] = seq

    def _row(self, consumer: str, model: str) -> UsageRow:
        row = self._rows.get((consumer, model))
        if row is None:
            if len(self._rows) >= self._limit:
                consumer = model = OTHER
            row = self._rows.setdefault((consumer, model), UsageRow(consumer, model))
        return row
