"""The config, as people write it: frozen Structs whose fields are the keys of ``headgate.yaml``.

Durations, sizes and rates keep the text they were written in (`core.units` reads them), so that a digest, a diff and an
error message show what the author wrote. Only keys that do something exist: an unknown key is an error.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

__all__ = [
    "Above",
    "Breaker",
    "Budgets",
    "CallerTimeouts",
    "Config",
    "Consumer",
    "Control",
    "Health",
    "Https",
    "Key",
    "Limits",
    "Listen",
    "Match",
    "Mirror",
    "Model",
    "Price",
    "Provider",
    "Rates",
    "Retries",
    "Route",
    "Static",
    "Target",
    "Timeouts",
    "Upstream",
    "Variant",
    "When",
    "WorkerLimits",
    "schema",
]

# A description completes the sentence "must be ..." in an error message, and is what an editor shows.
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$",
        description="a letter or digit, then up to 127 letters, digits and . _ : / @ + -",
    ),
]
ModelName = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}\*?)$",
        description="a letter or digit, then up to 127 letters, digits and . _ : / @ + -; at its end, or alone, a *",
    ),
]
Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="a word in small letters")]
Duration = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,9}(ms|s|m|h)$", description="a length of time, such as 250ms, 30s, 5m or 1h"),
]
Size = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,9}(B|KiB|MiB|GiB)$", description="a size in B, KiB, MiB or GiB, such as 10MiB"),
]
Rate = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}/(s|min|h|day)$",
        description="a rate: a count per s, min, h or day, such as 100/s or 5000/min",
    ),
]
Address = Annotated[
    str,
    Meta(
        pattern=r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):[0-9]{1,5}$",
        description="an address and a port, such as 0.0.0.0:8080 or [::]:8080",
    ),
]
AddressOrOff = Annotated[
    str,
    Meta(
        pattern=r"^(off|(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):[0-9]{1,5})$",
        description="an address and a port, such as 127.0.0.1:8081, or off",
    ),
]
Url = Annotated[
    str,
    Meta(
        max_length=2048,
        pattern=r"^https?://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?(/[0-9A-Za-z._~!$&'()*+,;=:@%/-]*)?$",
        description="an http:// or https:// address without user, query or fragment, such as https://api.openai.com/v1",
    ),
]
Secret = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/[^\x00-\x1f]{1,1023})$",
        description="a reference to a secret, never the secret itself: env:NAME or file:/absolute/path",
    ),
]
Digest = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{64}$", description="the SHA-256 of the whole key string, as 64 small hex digits"),
]
File = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]{1,1024}$", description="the path of a file")]
AccessLogTarget = Annotated[
    str,
    Meta(
        pattern=r"^(off|stdout|[^\x00-\x1f]{0,1000}/[^\x00-\x1f]{1,255})$",
        description="off, stdout, or the path of a file",
    ),
]
Host = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9.-]{1,253}$", description="a host name in small letters, without a port"),
]
Path = Annotated[
    str,
    Meta(
        pattern=r"^/[!-~]{0,1023}$",
        description="a path that starts with /, with {name} segments and a final * if wanted, such as /orders/*",
    ),
]
FieldName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", description="the name of a header field, such as x-tier"),
]
MetadataKey = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]{1,128}$", description="a key of at most 128 characters")]
Value = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]{0,512}$", description="a value of at most 512 characters")]
Values = Annotated[tuple[Value, ...], Meta(min_length=1)]
StickyBy = Annotated[
    str,
    Meta(
        pattern=r"^(consumer|conversation|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128})$",
        description="consumer, conversation or header:NAME",
    ),
]
HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$",
        description="the name of a header field in small letters",
    ),
]
HeaderValue = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]([ -~]{0,1022}[!-~])?$",
        description="the value of a header field: printable ASCII, without space around it",
    ),
]
OptionText = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]{0,1024}$", description="text of at most 1024 characters")]
OptionNumber = Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]
OptionValue = OptionText | OptionNumber | float | bool
Tokens = Annotated[int, Meta(ge=0, le=10_000_000)]
ProbePath = Annotated[
    str,
    Meta(pattern=r"^/[!-~]{0,1023}$", description="a path that starts with /, such as /health"),
]
FailureWord = Literal["connect", "reset", "timeout", "credential", 429, "5xx", "context_length", "refusal"]
"""How an attempt failed. connect: there was no connection, so nothing was sent. reset: a reused connection died before
the first byte of an answer. timeout: an attempt took too long. credential: 401, 402 or 403. 429: the rate is used up.
5xx: 408, 500 to 599, or an answer that is none or breaks off before it says anything. context_length: the request is
too long for the model. refusal: the model, or a filter of its provider's, refuses.

Of reset and timeout nobody knows whether the upstream has acted on the request."""
Weight = Annotated[int, Meta(ge=0, le=1_000_000)]
Usd = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,4})(\.[0-9]{1,9})?$",
        description='dollars in quotes, with at most nine decimals, such as "0.15"',
    ),
]
PictureSize = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$", description="1792x1024, or a quality as hd")]
Tier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="a service tier, such as flex")]
Source = Annotated[str, Meta(pattern=r"^[ -~]{0,128}$", description="up to 128 printable characters")]
HoursUtc = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="hours of the day in UTC, such as 01:00-04:00",
    ),
]
Connections = Annotated[int, Meta(ge=1, le=65_535)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A block of the config: unknown keys are refused."""


class Https(_Part, frozen=True):
    """Where callers speak TLS, and with which files (PEM); files that change are taken up without a restart.

    certificate: the gateway's own, and those between it and its authority. client_ca: whose certificates callers must
    have; without it callers need none.
    """

    certificate: File
    key: File
    address: Address = "0.0.0.0:8443"
    client_ca: File | None = None


class WorkerLimits(_Part, frozen=True):
    """What each worker may hold at once: callers' connections, requests in flight, bytes of bodies and answers.

    connections: None is 10,000, or half of the process' open files if that is less.
    """

    connections: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    in_flight: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    bytes: Size = "256MiB"


class CallerTimeouts(_Part, frozen=True):
    """How long callers may take.

    head: for a whole request head, and for the first one to begin. body: until a body has to come at 1 KiB/s at least.
    idle: between two requests of a connection. stall: without reading on, with an answer under way.
    """

    head: Duration = "10s"
    body: Duration = "10s"
    idle: Duration = "75s"
    stall: Duration = "60s"


class Listen(_Part, frozen=True):
    """Where callers reach the gateway. Static: a change needs a restart.

    drain: how long calls under way may go on in a worker that is told to end.
    """

    http: Address = "0.0.0.0:8080"
    https: Https | None = None
    workers: Annotated[int, Meta(ge=1, le=63)] = 2
    drain: Duration = "30s"
    limits: WorkerLimits = WorkerLimits()
    timeouts: CallerTimeouts = CallerTimeouts()


class Control(_Part, frozen=True):
    """Where the control process answers over TCP: metrics and health, read-only, to anyone who can reach it. Static."""

    address: AddressOrOff = "127.0.0.1:8081"


class Timeouts(_Part, frozen=True):
    """How long each step towards an upstream may take; each runs on its own.

    attempt: of each attempt, until its answer is whole or, of a stream, has begun to say something.
    """

    connect: Duration = "5s"
    first_token: Duration = "2m"  # noqa: S105 a length of time, not a secret
    idle: Duration = "60s"
    attempt: Duration | None = None
    total: Duration = "10m"


class Retries(_Part, frozen=True):
    """When a call is tried again, on the next candidate first.

    max: further attempts after the first. on: see `FailureWord`; left out, it is what says that the call was not acted
    upon: ``connect`` and, of a model that has somewhere else to go, ``credential``, ``429`` and ``5xx``; besides,
    ``context_length`` and ``refusal`` where some target is for them.
    backoff: the pause before the same place is asked again, doubled each time. wait: the longest pause, also where the
    provider asks for one. budget: retries in percent of the requests.
    """

    max: Annotated[int, Meta(ge=0, le=10)] = 1
    on: tuple[FailureWord, ...] | None = None
    backoff: Duration = "500ms"
    wait: Duration = "5s"
    budget: Annotated[int, Meta(ge=0, le=100)] = 20


class Breaker(_Part, frozen=True):
    """When a target or an endpoint is asked no longer for a while.

    share, calls, window: it opens when so many percent of at least so many calls fail in that time. consecutive: it
    opens after so many failures in a row, too, as long as no more than `max_ejected` percent of the group are out.
    pause: how long it is open, doubled each time that it opens again at once.
    """

    enabled: bool = True
    share: Annotated[int, Meta(ge=1, le=100)] = 50
    calls: Annotated[int, Meta(ge=1, le=10_000)] = 20
    window: Duration = "10s"
    consecutive: Annotated[int, Meta(ge=0, le=1000)] = 5
    max_ejected: Annotated[int, Meta(ge=0, le=100)] = 50
    pause: Duration = "10s"


class Health(_Part, frozen=True):
    """Probes that ask whether a provider or an endpoint is there, whatever callers do.

    path: below the base URL; asked with GET, an answer 200 to 399 is a good one. failures, successes: so many in a row
    take it out and bring it back.
    """

    path: ProbePath
    interval: Duration = "10s"
    timeout: Duration = "2s"
    failures: Annotated[int, Meta(ge=1, le=100)] = 3
    successes: Annotated[int, Meta(ge=1, le=100)] = 2


class Provider(_Part, frozen=True):
    """A vendor of models: the dialect it speaks, where, and with whose credentials: one, or a pool of them.

    vendor: whose rows tell what is not written here, once the config is loaded. also: further dialects that it speaks
    at the same address; a call in one of these passes through untranslated. options: of the dialects, as their pages in
    the docs list them. headers: lines that every request to it gets.
    files: it keeps callers' files, batches and conversations; one provider can. max_file: size of a file.
    """

    vendor: Word | None = None
    dialect: Word | None = None
    base_url: Url | None = None
    also: tuple[Word, ...] = ()
    options: dict[Word, OptionValue] = field(default_factory=dict)
    credential: Secret | None = None
    credentials: tuple[Secret, ...] = ()
    headers: dict[HeaderName, HeaderValue] = field(default_factory=dict)
    files: bool = False
    max_file: Size = "512MiB"
    ca: File | None = None
    max_connections: Connections = 1024
    health: Health | None = None


class When(_Part, frozen=True):
    """What a request must have for a target to take it: fields, and keys of its ``metadata``.

    Each with one of the values; ``*`` stands for any.
    """

    headers: dict[FieldName, Values] = field(default_factory=dict)
    metadata: dict[MetadataKey, Values] = field(default_factory=dict)


class Rates(_Part, frozen=True):
    """What units cost, in US dollars. The unit is in the name of the key.

    Left out: cache reads and writes, audio_in and image_in are input like any other, cache_write_1h is a cache_write,
    audio_out, image_out and reasoning are output like any other; what else is left out costs nothing.
    """

    input_usd_per_million: Usd | None = None
    output_usd_per_million: Usd | None = None
    cache_read_usd_per_million: Usd | None = None
    cache_write_usd_per_million: Usd | None = None
    cache_write_1h_usd_per_million: Usd | None = None
    audio_in_usd_per_million: Usd | None = None
    audio_out_usd_per_million: Usd | None = None
    image_in_usd_per_million: Usd | None = None
    image_out_usd_per_million: Usd | None = None
    reasoning_usd_per_million: Usd | None = None
    audio_usd_per_hour: Usd | None = None
    usd_per_unit: Usd | None = None
    usd_per_server_tool: Usd | None = None
    usd_per_request: Usd | None = None


class Above(Rates, frozen=True, kw_only=True):
    """Rates of calls with more input tokens than `input_tokens`; those left out stay as they are."""

    input_tokens: Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Variant(Rates, frozen=True):
    """Rates for one service tier, for some hours of the day, or for pictures of a size and quality.

    Those left out stay as they are. size, quality: as the answer or, if that does not say, the request has them.
    """

    service_tier: Tier | None = None
    size: PictureSize | None = None
    quality: PictureSize | None = None
    hours_utc: HoursUtc | None = None
    above: tuple[Above, ...] = ()


class Price(Rates, frozen=True):
    """What calls of one model at one provider cost. source: where the price is from, as the ledger keeps it."""

    above: tuple[Above, ...] = ()
    variants: tuple[Variant, ...] = ()
    source: Source = "config"


class Target(_Part, frozen=True):
    """One provider and the name it knows the model by; a wildcard's may have a ``*``, for what is asked in its place.

    price: without one, what is known of the vendor's prices. on: as a fallback it is tried only after failures of these
    kinds; empty is all.
    """

    provider: Name
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    weight: Weight = 1
    when: When | None = None
    price: Price | None = None
    on: tuple[FailureWord, ...] = ()


class Budgets(_Part, frozen=True):
    """How many tokens of thinking an effort stands for, at providers that count it so; 0 is none."""

    minimal: Tokens = 1024
    low: Tokens = 1024
    medium: Tokens = 2048
    high: Tokens = 4096
    xhigh: Tokens = 8192
    max: Tokens = 16384


class Mirror(_Part, frozen=True):
    """A target that gets copies of a model's calls, so many of a hundred; its answers are recorded and thrown away.

    price: as of `Target`.
    """

    provider: Name
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    percent: Annotated[int, Meta(ge=1, le=100)] = 100
    price: Price | None = None


class Model(_Part, frozen=True):
    """A name callers ask for, or how several begin (a wildcard: ``openai/*``), and the targets that can serve it.

    sticky: with `strategy: weighted`, what keeps calls on the same target: who calls, a field, or the conversation.
    unsupported: what becomes of a part of a call that the provider's dialect has no place for: ``refuse`` the call, or
    ``drop`` the part and name it in ``x-headgate-dropped``. budgets: of thinking. max_tokens: of an answer, asked for
    where the caller did not say and the provider's dialect demands a number.
    """

    targets: Annotated[tuple[Target, ...], Meta(min_length=1)]
    strategy: Word = "priority"
    sticky: StickyBy | None = None
    mirror: Mirror | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker | None = None
    slow_start: Duration | None = None
    max_body: Size = "32MiB"
    unsupported: Literal["refuse", "drop"] = "refuse"
    budgets: Budgets = Budgets()
    max_tokens: Annotated[int, Meta(ge=1, le=10_000_000)] = 4096


class Key(_Part, frozen=True):
    """An API key, known only by the SHA-256 of the whole key string (hex)."""

    sha256: Digest


class Limits(_Part, frozen=True):
    """What one consumer may use: requests per time (`burst` defaults to the count), and requests at once."""

    requests: Rate | None = None
    burst: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    concurrent: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Consumer(_Part, frozen=True):
    """Who calls. ``models: ["*"]`` allows every model, ``openai/*`` those whose names begin so.

    explain: it may ask why its calls went as they did, which names providers, their models and how they are doing.
    """

    keys: tuple[Key, ...] = ()
    models: tuple[ModelName, ...] = ()
    limits: Limits = Limits()
    explain: bool = False


class Upstream(_Part, frozen=True):
    """A named group of endpoints that serve the same HTTP API."""

    endpoints: Annotated[tuple[Url, ...], Meta(min_length=1)]
    weights: tuple[Weight, ...] = ()
    balance: Word = "round_robin"
    breaker: Breaker | None = None
    slow_start: Duration | None = None
    health: Health | None = None
    ca: File | None = None
    max_connections: Connections = 1024


class Match(_Part, frozen=True):
    """Which requests a route takes: path (with ``{name}`` segments and a final ``*``), host, methods."""

    path: Path
    host: Host | None = None
    methods: tuple[Method, ...] = ()


class Route(_Part, frozen=True):
    """A plain HTTP API behind the gateway."""

    match: Match
    upstream: Name
    auth: Literal["key", "none"] = "key"
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    max_body: Size = "10MiB"
    raw_path: bool = False


class Config(_Part, frozen=True):
    """What a snapshot carries: everything that can change while requests flow."""

    providers: dict[Name, Provider] = field(default_factory=dict)
    models: dict[ModelName, Model] = field(default_factory=dict)
    consumers: dict[Name, Consumer] = field(default_factory=dict)
    upstreams: dict[Name, Upstream] = field(default_factory=dict)
    routes: dict[Name, Route] = field(default_factory=dict)


class Static(_Part, frozen=True):
    """What is read once at start: listeners and the data directory."""

    listen: Listen = Listen()
    control: Control = Control()
    access_log: AccessLogTarget = "off"
    data: File = "./data"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a whole ``headgate.yaml``, static keys included."""
    keys = [
        (item.name, item.type, field(default=item.default))
        if item.default_factory is msgspec.NODEFAULT
        else (item.name, item.type, field(default_factory=item.default_factory))
        for kind in (Static, Config)
        for item in msgspec.structs.fields(kind)
    ]
    whole = msgspec.defstruct("Headgate", keys, frozen=True, forbid_unknown_fields=True)
    whole.__doc__ = "The config of Headgate, an AI gateway."
    found: dict[str, Any] = _without_null(msgspec.json.schema(whole))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _without_null(part: Any) -> Any:
    """Return `part` as plain JSON without ``null``: that is how the Structs say that a key was left out."""
    if isinstance(part, list | tuple):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _without_null(item) for key, item in part.items() if not (key == "default" and item is None)}
    if "anyOf" in part:
        kinds = [kind for kind in part.pop("anyOf") if kind != {"type": "null"}]
        part |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return part
