"""What was used, by consumer and model."""

from msgspec import Struct

from core.usage import UsageEvent

__all__ = ["OTHER", "UsageRow", "UsageTable"]

OTHER = "(other)"


class UsageRow(Struct):
    """Totals of one consumer on one model. Tokens are of calls whose usage is known; `unknown` counts the others.

    cost_nano: billionths of a US dollar. unpriced: calls whose usage is known and whose price is not.
    """

    consumer: str
    model: str
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unknown: int = 0
    cost_nano: int = 0
    unpriced: int = 0


class UsageTable:
    """Totals of usage events.

    rows: how many pairs of consumer and model are kept apart; what comes after is counted under `OTHER`.
    """

    def __init__(self, rows: int = 10_000) -> None:
        self._rows: dict[tuple[str, str], UsageRow] = {}
        self._limit = rows

    def add(self, event: UsageEvent) -> None:
        """Count `event`, which was not counted before."""
        row = self._rows.get((event.consumer, event.model)) or self._new_row(event.consumer, event.model)
        row.requests += 1
        if event.status >= 400 or event.error:
            row.errors += 1
        if event.usage_known:
            row.input_tokens += event.input_total
            row.output_tokens += event.output_total
            if event.cost_nano is None:
                row.unpriced += 1
            else:
                row.cost_nano += event.cost_nano
        else:
            row.unknown += 1

    def rows(self) -> list[UsageRow]:
        """Return the totals, ordered by consumer and model."""
        return [self._rows[pair] for pair in sorted(self._rows)]

    def resume(self, rows: list[UsageRow]) -> None:
        """Go on from totals that `rows` gave."""
        self._rows = {(row.consumer, row.model): row for row in rows}

    def _new_row(self, consumer: str, model: str) -> UsageRow:
        if len(self._rows) >= self._limit:
            consumer = model = OTHER
        return self._rows.setdefault((consumer, model), UsageRow(consumer, model))
