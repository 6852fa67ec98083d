"""`/metrics`: everything counted, as Prometheus and OpenMetrics read it.

Three sources: what workers counted in their arrays (`core.metrics`), what usage events add up to (`core.tally`), and
what control itself knows. Nothing is kept here: a page is made of what they hold when it is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from control.access import AccessLog
from control.feed import Feed
from control.intake import Intake
from control.publish import Publisher
from core.metrics import BOUNDS, TARGET, TARGET_COUNTERS, WORKER, slots
from core.money import NANO
from core.tally import CallRow

__all__ = ["DERIVED", "Derived", "Exposition"]

STATES = ("serving", "starting", "refused", "draining", "absent")


class Derived(Struct, frozen=True):
    """A metric that control makes; `Metric` of `core.metrics` with any number of labels."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


CALL = ("route", "model", "target")
DERIVED = (
    Derived(
        "headgate_requests_total",
        "counter",
        "Finished requests that had a route, by what served them and the status the caller saw.",
        (*CALL, "status"),
    ),
    Derived(
        "headgate_request_seconds", "histogram", "From a request's head to just before the last bytes leave.", CALL
    ),
    Derived("headgate_first_token_seconds", "histogram", "From a request's head to the first byte of a stream.", CALL),
    Derived(
        "headgate_attempts_total", "counter", "Calls made upstream; more than requests where some are retried.", CALL
    ),
    Derived(
        "headgate_bytes_total",
        "counter",
        "Bytes of the bodies that callers sent and got, without framing.",
        (*CALL, "direction"),
    ),
    Derived(
        "headgate_tokens_total",
        "counter",
        "Tokens, as providers report them: cache_read, cache_write, audio_in and image_in are part of input, "
        "reasoning, audio_out and image_out of output.",
        (*CALL, "kind"),
    ),
    Derived(
        "headgate_usage_unknown_total",
        "counter",
        "Successful calls of models whose answer did not say its usage.",
        CALL,
    ),
    Derived(
        "headgate_usage_estimated_total",
        "counter",
        "Streams that were cut short, whose tokens are the gateway's own guess.",
        CALL,
    ),
    Derived("headgate_cost_usd_total", "counter", "What calls cost, in US dollars; unpriced ones add nothing.", CALL),
    Derived(
        "headgate_unpriced_total", "counter", "Calls whose usage is known and whose target has no price for it.", CALL
    ),
    Derived(
        "headgate_units_total",
        "counter",
        "What is counted in pieces: images made, characters spoken, searches of a rerank, pages read.",
        CALL,
    ),
    Derived("headgate_audio_seconds_total", "counter", "Seconds of audio, where providers count those.", CALL),
    Derived("headgate_server_tools_total", "counter", "Calls of tools that providers ran themselves.", CALL),
    Derived(
        "headgate_errors_total", "counter", "Requests that had a route and ended in an error, by its code.", ("code",)
    ),
    Derived("headgate_limited_total", "counter", "Requests refused by a consumer's limit.", ("limit",)),
    Derived(
        "headgate_consumer_requests_total",
        "counter",
        "Requests of a consumer, by whether they succeeded.",
        ("consumer", "result"),
    ),
    Derived("headgate_consumer_tokens_total", "counter", "Tokens of a consumer.", ("consumer", "kind")),
    Derived(
        "headgate_consumer_cost_usd_total", "counter", "What a consumer's calls cost, in US dollars.", ("consumer",)
    ),
    Derived("headgate_usage_events_total", "counter", "Usage events that control has counted, each once."),
    Derived("headgate_usage_damaged_total", "counter", "Usage events that could not be read; any is a fault."),
    Derived("headgate_access_log_dropped_total", "counter", "Lines that the access log could not take."),
    Derived("headgate_workers", "gauge", "Workers by state.", ("state",)),
    Derived("headgate_snapshot_version", "gauge", "The active version."),
    Derived("headgate_worker_snapshot_version", "gauge", "The version that a worker serves, 0 for none.", ("worker",)),
)
"""Everything on the page that is not declared in `core.metrics`."""

SECONDS = [*(repr(bound / 1e6) for bound in BOUNDS), "+Inf"]


class Page(Collector):
    """Metrics as they were at one moment."""

    def __init__(self, families: list[Any]) -> None:
        self.families = families

    def collect(self) -> list[Any]:
        """Return them."""
        return self.families


class Exposition:
    """Makes the page."""

    def __init__(self, feed: Feed, publisher: Publisher, intake: Intake, access: AccessLog | None) -> None:
        self.feed = feed
        self.publisher = publisher
        self.intake = intake
        self.tally = intake.tally
        self.access = access
        self.process = ProcessCollector(registry=None)

    def page(self, families: list[Any], accept: str) -> tuple[bytes, str]:
        """Return collected metrics as a page, and its content type, in the format that an Accept field asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(Page(families)), content_type

    def collect(self) -> Iterator[Any]:
        """Yield every metric."""
        yield from self.worker_metrics()
        yield from self.target_metrics()
        families = {metric.name: family(metric.name, metric.kind, metric.help, metric.labels) for metric in DERIVED}
        for key, row in self.tally.calls.items():
            add_call(families, key, row)
        self.add_names(families)
        self.add_workers(families)
        yield from families.values()
        yield from self.process.collect()

    def worker_metrics(self) -> Iterator[Any]:
        """Yield what workers count: counters and histograms of all of them together, gauges of each."""
        counts = self.feed.counts
        for metric in WORKER:
            labels = (metric.label,) if metric.label else ()
            is_gauge = metric.kind == "gauge"
            found = family(metric.name, metric.kind, metric.help, (*labels, "worker") if is_gauge else labels)
            for value, first in slots(metric.name).items():
                values = [value] if metric.label else []
                if is_gauge:
                    for worker, gauges in sorted(counts.gauges.items()):
                        found.add_metric([*values, str(worker)], gauges[first] * metric.unit)
                elif metric.kind == "counter":
                    found.add_metric(values, counts.totals[first] * metric.unit)
                else:
                    last = first + metric.width - 1
                    add_histogram(found, values, counts.totals[first:last], counts.totals[last])
            yield found

    def target_metrics(self) -> Iterator[Any]:
        """Yield what workers count of each target, all of them together."""
        gauges = self.feed.counts.target_gauges()
        first = 0
        for metric in TARGET:
            labels = ("target", metric.label) if metric.label else ("target",)
            found = family(metric.name, metric.kind, metric.help, labels)
            is_gauge = metric.kind == "gauge"
            at = first - TARGET_COUNTERS if is_gauge else first
            for name, row in sorted((gauges if is_gauge else self.feed.counts.targets).items()):
                for value, count in zip(metric.values, row[at : at + len(metric.values)], strict=True):
                    found.add_metric([name, value] if metric.label else [name], count)
            first += len(metric.values)
            yield found

    def add_names(self, families: Mapping[str, Any]) -> None:
        """Add what is counted by consumer, by error and by limit."""
        for code, count in self.tally.errors.items():
            families["headgate_errors_total"].add_metric([code], count)
        for limit, count in self.tally.limited.items():
            families["headgate_limited_total"].add_metric([limit], count)
        for name, row in self.tally.consumers.items():
            requests = families["headgate_consumer_requests_total"]
            requests.add_metric([name, "ok"], row.requests - row.failed)
            requests.add_metric([name, "failed"], row.failed)
            families["headgate_consumer_tokens_total"].add_metric([name, "input"], row.input)
            families["headgate_consumer_tokens_total"].add_metric([name, "output"], row.output)
            families["headgate_consumer_cost_usd_total"].add_metric([name], row.cost_nano / NANO)
        families["headgate_usage_events_total"].add_metric([], self.tally.events)
        families["headgate_usage_damaged_total"].add_metric([], self.intake.damaged)
        dropped = self.access.dropped if self.access is not None else 0
        families["headgate_access_log_dropped_total"].add_metric([], dropped)

    def add_workers(self, families: Mapping[str, Any]) -> None:
        """Add what control knows of the workers and the snapshot."""
        workers = self.feed.states()
        for state in STATES:
            families["headgate_workers"].add_metric([state], sum(worker.state == state for worker in workers))
        for worker in workers:
            families["headgate_worker_snapshot_version"].add_metric([str(worker.worker)], worker.version)
        families["headgate_snapshot_version"].add_metric([], self.publisher.active.snapshot.version)


def add_call(families: Mapping[str, Any], key: tuple[str, str, str], row: CallRow) -> None:
    """Add one row of calls to the metrics it has a part in."""
    for status, count in row.statuses.items():
        families["headgate_requests_total"].add_metric([*key, str(status)], count)
    add_histogram(families["headgate_request_seconds"], key, row.latency, row.latency_sum)
    families["headgate_attempts_total"].add_metric(key, row.attempts)
    families["headgate_bytes_total"].add_metric([*key, "in"], row.bytes_in)
    families["headgate_bytes_total"].add_metric([*key, "out"], row.bytes_out)
    if any(row.first):
        add_histogram(families["headgate_first_token_seconds"], key, row.first, row.first_sum)
    _, model, _ = key
    if model:
        tokens = families["headgate_tokens_total"]
        for kind, count in (
            ("input", row.input),
            ("output", row.output),
            ("cache_read", row.cache_read),
            ("reasoning", row.reasoning),
        ):
            tokens.add_metric([*key, kind], count)
        for kind, count in (
            ("cache_write", row.cache_write),
            ("audio_in", row.audio_in),
            ("audio_out", row.audio_out),
            ("image_in", row.image_in),
            ("image_out", row.image_out),
        ):
            if count:
                tokens.add_metric([*key, kind], count)
        families["headgate_usage_unknown_total"].add_metric(key, row.unknown)
        families["headgate_usage_estimated_total"].add_metric(key, row.estimated)
        families["headgate_cost_usd_total"].add_metric(key, row.cost_nano / NANO)
        families["headgate_unpriced_total"].add_metric(key, row.unpriced)
        for name, amount in (
            ("headgate_units_total", row.units),
            ("headgate_audio_seconds_total", row.milliseconds / 1000),
            ("headgate_server_tools_total", row.server_tools),
        ):
            if amount:
                families[name].add_metric(key, amount)


def add_histogram(found: Any, labels: Sequence[str], buckets: Sequence[int], microseconds: int) -> None:
    """Add one series of a histogram from its counts bucket by bucket and their sum."""
    found.add_metric(labels, list(zip(SECONDS, accumulate(buckets), strict=True)), microseconds / 1e6)


def family(name: str, kind: str, text: str, labels: Sequence[str]) -> Any:
    """Return an empty family of samples; OpenMetrics names a counter without ``_total``."""
    if kind == "counter":
        return CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
    if kind == "gauge":
        return GaugeMetricFamily(name, text, labels=labels)
    return HistogramMetricFamily(name, text, labels=labels)
