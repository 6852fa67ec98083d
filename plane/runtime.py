"""A snapshot compiled for serving: what one request looks up, ready made.

A runtime is never changed once it is live, except for what it memoises per consumer (limits bound to their cells). A
request takes the live runtime once, at its head, and ends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import punctuation
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from core.endpoint import Endpoint
from core.money import Price
from core.snapshot import Part, Snapshot
from core.wildcards import Names, is_wildcard
from plane.http1.origin import Origin, TimeoutsNs
from plane.steps import Steps
from plane.target_counts import TargetCounts

__all__ = ["Candidate", "Consumer", "HubRules", "Mirror", "Model", "Route", "Runtime", "Site", "Target"]


PRINTABLE = punctuation.replace("%", "")


class HubRules(NamedTuple):
    """How a model's calls go through the hub.

    drops: what a provider has no place for is left out, else refused. budgets: effort -> tokens of thinking.
    max_tokens: of an answer, where the caller did not say and the provider must be told.
    """

    drops: bool
    budgets: dict[str, int]
    max_tokens: int


class Candidate(Endpoint):
    """Somewhere a call may be sent: an endpoint of an upstream, or a target of a model.

    host: the Host field. base_path: what stands
    before the path, without a final slash. pool: set when the runtime is bound to the worker's pools.
    health: `plane.health.Health`, bound as well; None where nobody looks after it. counts: shared with all of its name
    from then on. keys: the same place with each of
    several credentials, itself the first, or None; turn: which of them is next. on: mask of the failures
    (`plane.failure`) after which it may be a fallback, 0 for all.
    """

    def __init__(self, name: str, weight: int, origin: Origin, host: bytes, base_path: bytes) -> None:
        super().__init__(name, weight)
        self.origin = origin
        self.pool: Any = None
        self.host = host
        self.base_path = base_path
        self.health: Any = None
        self.counts = TargetCounts()
        self.keys: list[Any] | None = None
        self.turn = 0
        self.on = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.in_flight} in flight>"


class Target(Candidate):
    """A provider and the name it knows a model by.

    model: that name; model_json: the same as a JSON string. ways: name of a caller's operation -> `plane.way.Way`, of
    those that the provider can be asked for. heads: name of a provider's operation -> the constant part of a request's
    head, without and with a stream.
    field: the answer's ``x-headgate-target`` line. secret: the provider's credential, b"" if it needs none.
    provider: its name in the config. mark: what the credential is known by in ids (`plane.kept.mark_of`).
    when: `plane.conditions.Conditions` of the requests that it takes, None for all. latency: `plane.latency.Latency`
    where the model's strategy goes by it, from the binding on.
    price: what its calls cost, None where nobody said.
    """

    def __init__(
        self,
        name: str,
        weight: int,
        origin: Origin,
        host: bytes,
        base_path: bytes,
        model: str,
        ways: dict[str, Any],
        heads: dict[str, tuple[bytes, bytes]],
        secret: bytes,
        when: Any = None,
        provider: str = "",
        mark: str = "",
    ) -> None:
        super().__init__(name, weight, origin, host, base_path)
        self.model = model
        self.model_json = msgspec.json.encode(model)
        self.ways = ways
        self.heads = heads
        self.secret = secret
        self.when = when
        self.provider = provider
        self.mark = mark
        self.latency: Any = None
        self.price: Price | None = None
        self.field = field_of(name)

    def named(self, model: str, heads: dict[str, tuple[bytes, bytes]]) -> Target:
        """Return the same place for one of the models that a wildcard stands for; known by the same name."""
        where = (self.origin, self.host, self.base_path)
        kept = (self.provider, self.mark)
        made = Target(self.name, self.weight, *where, model, self.ways, heads, self.secret, self.when, *kept)
        made.field = field_of(f"{self.provider}/{model}")
        made.pool, made.health, made.latency = self.pool, self.health, self.latency
        made.counts = self.counts
        made.on, made.price, made.current = self.on, self.price, self.current
        return made


def field_of(name: str) -> bytes:
    """Return the line that names a target; a provider's names are anything, a header line takes printable ASCII."""
    return b"x-headgate-target: %b\r\n" % quote(name, safe=PRINTABLE).encode()


class Consumer:
    """Who calls: the models it may use (None: all) and its limits; bound to cells and a tally at first sight.

    beginnings: how the names of further models begin that it may use. explain: it may have its calls explained.
    """

    def __init__(
        self,
        name: str,
        models: frozenset[str] | None,
        limits: Any,
        beginnings: tuple[str, ...] = (),
        explain: bool = False,
    ) -> None:
        self.name = name
        self.models = models
        self.beginnings = beginnings
        self.limits = limits
        self.explain = explain
        self.rate: Any = None
        self.concurrency: Any = None
        self.tally: Any = None
        self.bound = False
        self.rate_lines = b""


class Mirror:
    """How a shadow target gets copies of calls.

    share: of the calls, up to 1. credit: what has gathered of the next copy; in_flight: copies under way.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.credit = 0.0
        self.in_flight = 0


class Model:
    """A name callers ask for. max_body: bytes. only: there is one target, and so nothing to rank.

    common: has the names of the callers' operations that every target can be asked for. partial: name of one that not
    all can -> those that can, in the order of `targets`.
    conditional: some target takes only some requests. sticky: `plane.sticky.Sticky`, or None.
    hub: the rules for calls that are translated. mirror: which of its calls are copied, or None; shadow: where they go.
    is_wildcard: the name is how several begin, and `targets` are those for the one asked (`plane.wildcard`).
    """

    def __init__(
        self,
        name: str,
        targets: list[Target],
        strategy: Any,
        timeouts: TimeoutsNs,
        retries: Any,
        max_body: int,
        sticky: Any = None,
        hub: HubRules | None = None,
        mirror: Mirror | None = None,
        shadow: Target | None = None,
    ) -> None:
        self.name = name
        self.targets = targets
        self.strategy = strategy
        self.conditional = any(target.when is not None for target in targets)
        self.sticky = sticky
        self.mirror = mirror
        self.shadow = shadow
        self.is_wildcard = is_wildcard(name)
        self.only = len(targets) == 1 and targets[0].weight > 0 and not self.conditional
        self.common, self.partial = abilities(targets)
        self.timeouts = timeouts
        self.retries = retries
        self.max_body = max_body
        self.hub = hub


def abilities(targets: list[Target]) -> tuple[dict[str, Any], dict[str, list[Target]]]:
    """Return what `Model` calls common and partial; most models have one provider, and so nothing is made for them."""
    if not targets:
        return {}, {}
    common: dict[str, Any] = targets[0].ways
    if all(target.ways is common for target in targets):
        return common, {}
    found = {name: [target for target in targets if name in target.ways] for one in targets for name in one.ways}
    whole = {name: way for name, way in common.items() if len(found[name]) == len(targets)}
    return whole, {name: some for name, some in found.items() if name not in whole}


class Route:
    """What a matched request goes through.

    handler: answers on the spot (health, model list) as ``handler(exchange) -> (status, fields, body)``, or None.
    needs_model: the request names a model in `dialect`; `operation` is what is asked of it. Otherwise the request goes
    to `endpoints`, in the order of `balancer`. ends: routes by how the path ends, where its middle is a model's name:
    one of them takes the request instead. by_field: lower-case names of header fields, and the routes that take the
    requests which have one. id_field: a further header field that tells the request's id, b"" for none. counts: it
    counts the tokens of a chat. pinned: it names what a provider keeps, and no model (`plane.kept`). max_body: bytes.
    is_form: the body is sent on while it comes, and not held.
    """

    def __init__(
        self,
        name: str,
        *,
        handler: Callable[[Any], tuple[int, bytes, bytes]] | None = None,
        needs_key: bool = True,
        dialect: Any = None,
        operation: Any = None,
        max_body: int = 0,
        balancer: Any = None,
        endpoints: list[Candidate] | None = None,
        timeouts: TimeoutsNs | None = None,
        retries: Any = None,
        ends: dict[bytes, Route] | None = None,
        by_field: dict[bytes, Route] | None = None,
    ) -> None:
        self.name = name
        self.ends = ends
        self.by_field = by_field
        self.id_field: bytes = dialect.id_field if dialect is not None else b""
        self.counts = operation is not None and operation.kind == "count_tokens"
        self.handler = handler
        self.needs_key = needs_key
        self.needs_model = operation is not None
        self.pinned = operation is not None and operation.pinned
        self.is_form = operation is not None and operation.form
        self.at_once = operation is not None and operation.at_once
        self.dialect = dialect
        self.operation = operation
        self.max_body = max_body
        self.balancer = balancer
        self.endpoints = endpoints or []
        self.timeouts = timeouts
        self.retries = retries

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


class Site:
    """What a runtime has but its consumers. Runtimes share it where only consumers and keys differ.

    rows, secrets: what it was built from. models: by name; wildcards: `plane.wildcard.Wildcards`; names: of both.
    candidates: all targets and endpoints. groups: the endpoints of each upstream. voices: render errors where no route
    has been matched. origins: all that the candidates lead to. cares: `plane.care.Care` of models and upstreams.
    watches: what is probed (`plane.probes.Watch`). rules: for retries, all of them. homes: (provider, mark) ->
    `plane.kept.Home`; files: which of them keeps what belongs to no model, ("", "") if none does. gives_ids: callers
    get ids of what is kept, so that the bodies of their calls are looked through for some.
    """

    def __init__(
        self,
        rows: tuple[Part, ...],
        secrets: Mapping[str, str] | None,
        router: Any,
        models: dict[str, Model],
        candidates: list[Candidate],
        groups: list[list[Candidate]],
        voices: Any,
        cares: list[Any],
        watches: list[Any],
        rules: list[Any],
        homes: Mapping[tuple[str, str], Any],
        files: tuple[str, str],
        wildcards: Any,
        gives_ids: bool,
    ) -> None:
        self.rows = rows
        self.secrets = secrets
        self.router = router
        self.models = models
        self.wildcards = wildcards
        self.names = Names([*models, *(model.name for model in wildcards.models)])
        self.candidates = candidates
        self.groups = groups
        self.voices = voices
        self.homes = homes
        self.files = files
        self.gives_ids = gives_ids
        self.cares = cares
        self.watches = watches
        self.rules = rules
        self.origins: set[Origin] = set()
        self.bound = False

    def bind(self, shared: Any) -> Steps[None]:
        """Join the worker's pools in small steps, so that calls can be sent; until then no socket has been touched.

        The steps that can fail come first; the endpoints that live on from the runtime before change only then. A site
        that serves already has done it.
        """
        if self.bound:
            return
        for candidate in self.candidates:
            candidate.pool = shared.pool(candidate.origin)
            candidate.counts = shared.counted(candidate.name)
            self.origins.add(candidate.origin)
            yield
        for model in [*self.models.values(), *self.wildcards.models]:
            if getattr(model.strategy, "measures", False):
                for target in model.targets:
                    target.latency = shared.latency(target.name)
            yield
        for group in self.groups:
            group[:] = [shared.endpoint(endpoint) for endpoint in group]
            yield
        for care in self.cares:
            shared.look_after(care)
            yield
        for rule in self.rules:
            shared.budget(rule)
            yield
        shared.watch(self.watches)
        self.bound = True

    def held(self) -> list[list[Any]]:
        """Return all that is many: who keeps these lists can let go of it a little at a time, once the site is dead."""
        return [
            self.router.made,
            self.candidates,
            list(self.models.values()),
            self.wildcards.made,
            self.groups,
            self.cares,
            self.rules,
        ]


class Runtime:
    """A snapshot, compiled.

    site: what it shares with the runtimes before and after it, if only consumers differ. parts: the sections of
    consumers and keys that were read, by digest. mark: the ``x-headgate-config`` line.
    """

    def __init__(self, snapshot: Snapshot, site: Site, consumers: Any, parts: dict[bytes, Any]) -> None:
        self.version = snapshot.version
        self.digest = snapshot.digest
        self.snapshot = snapshot
        self.site = site
        self.router = site.router
        self.models = site.models
        self.wildcards = site.wildcards
        self.consumers = consumers
        self.parts = parts
        self.shared: Any = None
        self.mark = b"x-headgate-config: %b\r\n" % snapshot.digest[:12].encode()
        self.gives_ids = site.gives_ids
        self.voices = site.voices

    def bind(self, shared: Any) -> Steps[None]:
        """Join what outlives it, in small steps."""
        self.shared = shared
        yield from self.site.bind(shared)

    @property
    def candidates(self) -> list[Candidate]:
        """All targets and endpoints."""
        return self.site.candidates

    @property
    def groups(self) -> list[list[Candidate]]:
        """The endpoints of each upstream."""
        return self.site.groups

    def __repr__(self) -> str:
        return f"<Runtime {self.version} {self.digest[:12]}>"
