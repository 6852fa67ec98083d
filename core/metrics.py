"""What a worker counts: every metric of its array, declared once, with the slots that it takes there.

A worker adds to its slots (`plane.metrics`); control sums the workers and renders (`control.metrics`). Counted here is
only what usage events do not tell: requests, statuses, tokens and latencies by name are derived from those. A label has
a closed set of values, each with a slot of its own, so the array never grows.

To add a metric: a row here, ``SLOT = slot(name, value)`` where it is counted, ``metrics.add(SLOT, 1)``, and its row in
docs/metrics.md. Numbers are integers; `unit` says what one is worth in the unit of the name.
"""

from zlib import crc32

from msgspec import Struct

__all__ = [
    "BOUNDS",
    "CODES",
    "LAYOUT",
    "MAX_TARGETS",
    "OTHER",
    "SIZE",
    "TARGET",
    "TARGET_COUNTERS",
    "TARGET_FAILURES",
    "TARGET_SIZE",
    "WORKER",
    "Metric",
    "Series",
    "series",
    "slot",
    "slots",
]

BOUNDS = (
    *(50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000, 120_000_000),
)
"""Upper bounds of the buckets of every histogram, in microseconds."""

CODES = (
    *("bad_request", "head_timeout", "uri_too_long", "head_too_large", "bad_version", "bad_host"),
    *("bad_transfer_encoding", "bad_path", "no_route", "method_not_allowed", "other"),
)
"""Errors a request can end in before it has a route; `other` is any that is not listed."""


class Metric(Struct, frozen=True):
    """One metric: its name as it is exposed, ``counter``, ``gauge`` or ``histogram``, and what it says.

    label, values: the label that tells its series apart, and all it can be; ``""`` and none for a single series.
    unit: what 1 in a slot is in the unit of the name. A histogram counts microseconds and is exposed in seconds.
    """

    name: str
    kind: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)
    unit: float = 1.0

    @property
    def width(self) -> int:
        """Return the slots of one series; a histogram has one for each bucket, the last without bound, and the sum."""
        return len(BOUNDS) + 2 if self.kind == "histogram" else 1


PLACE_STATES = ("closed", "open", "half_open", "cooling", "quarantined", "down")
TARGET_FAILURES = ("connect", "reset", "timeout", "credential", "429", "5xx", "context_length", "refusal")

WORKER = (
    Metric(
        "headgate_connections_accepted_total",
        "counter",
        "Connections of callers, by door.",
        "door",
        ("http", "https"),
    ),
    Metric("headgate_connections", "gauge", "Connections of callers that are open.", "door", ("http", "https")),
    Metric("headgate_in_flight", "gauge", "Requests under way to an upstream."),
    Metric("headgate_in_flight_room", "gauge", "How many may be: the cap, or less while a worker cannot keep up."),
    Metric("headgate_held_bytes", "gauge", "Bytes of bodies and answers that workers hold."),
    Metric(
        "headgate_shed_requests_total",
        "counter",
        "Requests refused for want of room: too many in flight, too many bytes held, one consumer with most of it, "
        "or a body that grew too large meanwhile.",
        "reason",
        ("in_flight", "bytes", "share", "growth"),
    ),
    Metric(
        "headgate_unrouted_requests_total",
        "counter",
        "Requests refused before a route was found; they leave no usage event.",
        "code",
        CODES,
    ),
    Metric(
        "headgate_local_requests_total",
        "counter",
        "Requests the gateway answered by itself without a usage event: health checks, and model lists without a key.",
    ),
    Metric(
        "headgate_phase_seconds",
        "histogram",
        "Where the time of a request goes: waiting for its body, the gateway's own work until it is sent, waiting for "
        "a connection, until the first byte of the answer's body, and from there to its end.",
        "phase",
        ("body", "gateway", "connection", "upstream", "relay"),
    ),
    Metric(
        "headgate_upstream_dials_total",
        "counter",
        "Dials of upstreams, by how they ended.",
        "outcome",
        ("opened", "failed"),
    ),
    Metric(
        "headgate_upstream_connections",
        "gauge",
        "Connections to upstreams: serving a call, idle, or being dialled.",
        "state",
        ("busy", "idle", "dialling"),
    ),
    Metric("headgate_upstream_waiting", "gauge", "Requests that wait for a connection to an upstream."),
    Metric(
        "headgate_retries_total",
        "counter",
        "Attempts after the first, by how the one before failed.",
        "failure",
        TARGET_FAILURES,
    ),
    Metric("headgate_failovers_total", "counter", "Those of them that went to another target, endpoint or credential."),
    Metric("headgate_retries_refused_total", "counter", "Attempts not made because the budget of retries was used up."),
    Metric("headgate_ejections_total", "counter", "Times that a breaker opened."),
    Metric("headgate_cooldowns_total", "counter", "Times that a target asked for a pause (429)."),
    Metric(
        "headgate_places",
        "gauge",
        "Targets with each of their credentials, and endpoints, that a worker looks after, by how they are doing.",
        "state",
        PLACE_STATES,
    ),
    Metric("headgate_probes_total", "counter", "Health probes, by their answers.", "result", ("passed", "failed")),
    Metric("headgate_quarantines_total", "counter", "Refusals of a credential, which is then left alone."),
    Metric(
        "headgate_loop_lag_seconds", "histogram", "How late the worker's loop ran its timer, asked ten times a second."
    ),
    Metric("headgate_ring_backlog_bytes", "gauge", "Usage events that control has not taken yet, in ring and spill."),
    Metric(
        "headgate_usage_dropped_total",
        "counter",
        "Usage events lost because ring, disk and memory were full; any is a fault.",
    ),
    Metric("headgate_worker_cpu_seconds_total", "counter", "Processor time of the workers.", unit=1e-6),
    Metric("headgate_worker_resident_bytes", "gauge", "Memory of a worker that is in RAM."),
)
"""Everything that a worker counts, in the order of its slots."""

TARGET = (
    Metric("headgate_target_attempts_total", "counter", "Attempts at a target, whichever answered in the end."),
    Metric(
        "headgate_target_failures_total",
        "counter",
        "Those of them that failed, by how.",
        "failure",
        TARGET_FAILURES,
    ),
    Metric("headgate_target_ejections_total", "counter", "Times that a breaker of the target opened."),
    Metric(
        "headgate_target_places",
        "gauge",
        "A target with each of its credentials in each model and worker, by how they are doing.",
        "state",
        PLACE_STATES,
    ),
)
"""What a worker counts of each target and endpoint, by name, in the order of a row's columns; the gauge comes last."""
TARGET_SIZE = sum(len(metric.values) for metric in TARGET)
TARGET_COUNTERS = TARGET_SIZE - len(PLACE_STATES)
"""Columns of a row, and of those the first that are counters."""
MAX_TARGETS = 300
"""Targets that are counted apart."""
OTHER = "(other)"
"""Stands for the names that have no series of their own; no name in a config can be it."""


class Series(Struct, frozen=True):
    """One series of a metric: the value of its label and its first slot."""

    metric: Metric
    value: str
    slot: int


def series() -> tuple[Series, ...]:
    """Return every series in the order of its slots."""
    found, first = [], 0
    for metric in WORKER:
        for value in metric.values:
            found.append(Series(metric, value, first))
            first += metric.width
    return tuple(found)


_SERIES = series()
_SLOTS = {(one.metric.name, one.value): one.slot for one in _SERIES}

SIZE = _SERIES[-1].slot + _SERIES[-1].metric.width
"""Slots of an array."""

LAYOUT = crc32(repr((BOUNDS, WORKER, TARGET)).encode())
"""Tells arrays of two builds apart."""


def slot(name: str, value: str = "") -> int:
    """Return the (first) slot of a series; KeyError if there is no such metric or value."""
    return _SLOTS[name, value]


def slots(name: str) -> dict[str, int]:
    """Return the slots of a metric by the value of its label; KeyError if there is no such metric."""
    found = {one.value: one.slot for one in _SERIES if one.metric.name == name}
    if not found:
        raise KeyError(name)
    return found
