"""What usage events add up to, by name: requests, latencies and tokens as `/metrics` shows them.

Each event is counted once, since the ledger hands each on once. Names come from configs, which change, so the number of
rows is bounded: what comes after is counted under `OTHER`.
"""

from bisect import bisect_left

from core.metrics import BOUNDS, OTHER
from core.usage import Detail, UsageEvent

__all__ = ["LIMITED", "OTHER", "CallRow", "ConsumerRow", "Tally"]

LIMITED = {"rate_limit_exceeded": "requests", "concurrency_limit_exceeded": "concurrent"}
"""The limit of a consumer that an error code speaks of."""


class CallRow:
    """Calls of one route, model and target. Times are in microseconds, in the buckets of `core.metrics.BOUNDS`.

    statuses: status as the caller saw it -> calls. latency: of all calls. first: until the first byte of a stream's
    body; of streams that had one. unknown: answers of a model that did not say what they used. audio: milliseconds.
    cost_nano: billionths of a US dollar. unpriced: calls whose usage is known and whose price is not.
    """

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.latency = [0] * (len(BOUNDS) + 1)
        self.latency_sum = 0
        self.first = [0] * (len(BOUNDS) + 1)
        self.first_sum = 0
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.input = 0
        self.output = 0
        self.cache_read = 0
        self.reasoning = 0
        self.unknown = 0
        self.cache_write = 0
        self.audio_in = 0
        self.audio_out = 0
        self.image_in = 0
        self.image_out = 0
        self.units = 0
        self.milliseconds = 0
        self.server_tools = 0
        self.estimated = 0
        self.cost_nano = 0
        self.unpriced = 0


class ConsumerRow:
    """Calls, tokens and cost (billionths of a US dollar) of one consumer."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self.input = 0
        self.output = 0
        self.cost_nano = 0


class Tally:
    """Everything counted from usage events since this control process started.

    calls: by route, model and target. consumers: by name. errors: by code. limited: by limit.
    call_rows, consumer_rows: how many of each are kept apart.
    """

    def __init__(self, call_rows: int = 300, consumer_rows: int = 1000) -> None:
        self.calls: dict[tuple[str, str, str], CallRow] = {}
        self.consumers: dict[str, ConsumerRow] = {}
        self.errors: dict[str, int] = {}
        self.limited: dict[str, int] = dict.fromkeys(LIMITED.values(), 0)
        self.events = 0
        self.call_rows = call_rows
        self.consumer_rows = consumer_rows

    def add(self, event: UsageEvent) -> None:
        """Count one finished call."""
        self.events += 1
        key = (event.route, event.model, event.target)
        row = self.calls.get(key)
        if row is None:
            if len(self.calls) >= self.call_rows:
                key = (OTHER, OTHER, OTHER)
            row = self.calls.setdefault(key, CallRow())
        consumer = self.consumers.get(event.consumer)
        if consumer is None:
            name = event.consumer if len(self.consumers) < self.consumer_rows else OTHER
            consumer = self.consumers.setdefault(name, ConsumerRow())
        status = event.status
        row.statuses[status] = row.statuses.get(status, 0) + 1
        row.attempts += event.attempts
        row.bytes_in += event.bytes_in
        row.bytes_out += event.bytes_out
        latency = event.latency_us
        row.latency[bisect_left(BOUNDS, latency)] += 1
        row.latency_sum += latency
        consumer.requests += 1
        if event.stream:
            first = event.first_us
            if first:
                row.first[bisect_left(BOUNDS, first)] += 1
                row.first_sum += first
        if event.usage_known:
            used = event.input_total
            row.input += used
            consumer.input += used
            used = event.output_total
            row.output += used
            consumer.output += used
            row.cache_read += event.cache_read
            row.reasoning += event.reasoning
            cost = event.cost_nano
            if cost is None:
                row.unpriced += 1
            else:
                row.cost_nano += cost
                consumer.cost_nano += cost
            detail = event.detail
            if detail is not None:
                add_detail(row, detail)
        elif status < 400 and event.model:
            row.unknown += 1
        error = event.error
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1
            if error in LIMITED:
                self.limited[LIMITED[error]] += 1
        if status >= 400 or error:
            consumer.failed += 1


def add_detail(row: CallRow, detail: Detail) -> None:
    """Count what few calls have."""
    row.cache_write += detail.cache_write_5m + detail.cache_write_1h
    row.audio_in += detail.audio_in
    row.audio_out += detail.audio_out
    row.image_in += detail.image_in
    row.image_out += detail.image_out
    row.units += detail.units
    row.milliseconds += detail.milliseconds
    row.server_tools += detail.server_tools
    row.estimated += detail.estimated
