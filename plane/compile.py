"""From a snapshot to a runtime. Pure: opens no socket, starts no task, reads no file, so that building one is a proof.

Control runs this without secrets before it publishes; a worker runs it with them before it swaps, in small steps
between which it serves callers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

import core.balance
import plane.dialects
import plane.strategies
from core.errors import ConfigError
from core.limits import MAX_NS
from core.model import Breaker, Health, Limits, Provider, Retries, Timeouts, Upstream
from core.model import Consumer as ConsumerConfig
from core.model import Model as ModelConfig
from core.model import Price as PriceConfig
from core.model import Route as RouteConfig
from core.money import Price
from core.registry import Kind, scan
from core.router import Router
from core.sections import Consumers as ConsumersSection
from core.sections import Directory, Keys
from core.snapshot import Part, Snapshot, entries_of, parse, prices_of
from core.units import parse_duration, parse_rate, parse_size
from core.wildcards import Names
from plane.care import Care, breaker_rule, care_of, places_of
from plane.conditions import Conditions
from plane.consumers import Consumers
from plane.dialect import Dialect
from plane.failure import BROKEN, CONNECT, CREDENTIAL, ELSEWHERE, LIMITED, mask_of
from plane.http1.framing import HOP_BY_HOP
from plane.http1.origin import Origin, TimeoutsNs
from plane.kept import Home, mark_of
from plane.probes import ProbeRule, Watch
from plane.retries import RetryRule
from plane.runtime import Candidate, HubRules, Mirror, Model, Route, Runtime, Site, Target
from plane.services import Voices, services
from plane.steps import Steps, at_once
from plane.sticky import Sticky
from plane.vendor import JSON, PRINTABLE, Credential, Vendor, heads_of, pool_of
from plane.way import Way, way_of
from plane.wildcard import Wildcard, Wildcards

__all__ = ["compile_snapshot", "compile_steps", "known_words"]

PEOPLE = ("consumers", "keys")
"""The kinds of sections whose entries are read in place; all else makes up the site."""
OURS = {name.decode() for name in HOP_BY_HOP} | {
    *("host", "content-length", "content-type", "transfer-encoding", "authorization", "accept-encoding"),
    "x-request-id",
}
"""Fields of a request to a provider that its config cannot set."""
REFUSED = CONNECT | CREDENTIAL | LIMITED | BROKEN
"""Failures after which nothing was acted upon, as far as the upstream says."""


def known_words() -> dict[str, frozenset[str]]:
    """Return the words a config may use, by kind: ``dialect``, ``strategy``, ``balance``."""
    return {
        "dialect": frozenset(scan(plane.dialects)),
        "strategy": frozenset(scan(plane.strategies)),
        "balance": frozenset(scan(core.balance)),
    }


def compile_snapshot(snapshot: Snapshot, secrets: Mapping[str, str] | None) -> Runtime:
    """Return the runtime of `snapshot`, built in one go.

    secrets: reference as written -> value; None proves that the snapshot can be built, with no secret at hand.
    Raises ConfigError with every reason that was found, SnapshotError if a section is not as `core.snapshot` made it.
    """
    return at_once(compile_steps(snapshot, secrets))


def compile_steps(
    snapshot: Snapshot, secrets: Mapping[str, str] | None, before: Runtime | None = None
) -> Steps[Runtime]:
    """Return the steps that end in the runtime of `snapshot`; each takes well under a millisecond, most a few µs.

    snapshot: its sections have the digests that its manifest says. before: the runtime that serves now; what the
    snapshot has in common with it is taken from there.
    """
    return Compiler(snapshot, secrets, before).steps()


class Group(NamedTuple):
    """An upstream, as all of its routes share it."""

    balancer: Any
    endpoints: list[Candidate]


class Compiler:
    """One compilation: collects problems and goes on, so that all are told at once."""

    def __init__(self, snapshot: Snapshot, secrets: Mapping[str, str] | None, before: Runtime | None) -> None:
        self.snapshot = snapshot
        self.secrets = secrets
        self.before = before
        self.problems: list[str] = []
        self.dialect_kinds = scan(plane.dialects)
        self.strategy_kinds = scan(plane.strategies)
        self.balance_kinds = scan(core.balance)
        self.candidates: list[Candidate] = []
        self.timeouts_made: dict[Timeouts, TimeoutsNs] = {}
        self.rules_made: dict[tuple[str, Retries], RetryRule] = {}
        self.cares: list[Care] = []
        self.watches: list[Watch] = []
        self.probed: set[Candidate] = set()
        self.limits_read: set[Limits] = set()
        self.homes: dict[tuple[str, str], Home] = {}
        self.gives_ids = False
        self.files = ("", "")
        self.max_file = 0

    def steps(self) -> Steps[Runtime]:
        """Build everything; raise ConfigError if anything could not be."""
        parts = parse(self.snapshot.manifest).parts
        rows = tuple(part for part in parts if part.kind not in PEOPLE)
        before = self.before
        if before is not None and before.site.rows == rows and before.site.secrets == self.secrets:
            site = before.site
        else:
            site = yield from self.site(rows)
        read: dict[bytes, Any] = {}
        consumers = yield from self.consumers([part for part in parts if part.kind in PEOPLE], site.names, read)
        if self.problems:
            raise ConfigError(self.problems)
        return Runtime(self.snapshot, site, consumers, read)

    def site(self, rows: tuple[Part, ...]) -> Steps[Site]:
        """Build all but the consumers."""
        callers = self.callers()
        openai = callers["openai"]
        providers: dict[str, Vendor] = {}
        for name, provider in entries_of(self.snapshot, "providers"):
            providers[name] = self.provider(name, provider, callers)
            yield
        models: dict[str, Model] = {}
        for name, model in entries_of(self.snapshot, "models"):
            models[name] = self.model(name, model, providers)
            yield
        lists = prices_of(self.snapshot)
        yield
        wildcards = Wildcards(
            Wildcard(models.pop(name), providers, lists) for name in [*models] if models[name].is_wildcard
        )
        upstreams: dict[str, Group] = {}
        for name, upstream in entries_of(self.snapshot, "upstreams"):
            upstreams[name] = self.upstream(name, upstream)
            yield
        router = Router()
        for entry in services(callers, [*models.values(), *wildcards.models], self.max_file):
            self.problems += router.add(*entry)
        for name, route in entries_of(self.snapshot, "routes"):
            self.problems += router.add(*self.route(name, route, openai, upstreams))
            yield
        groups = [group.endpoints for group in upstreams.values()]
        rules = list(self.rules_made.values())
        voices = Voices(callers)
        watches = [watch for watch in self.watches if watch.places]
        return Site(
            rows,
            self.secrets,
            router,
            models,
            self.candidates,
            groups,
            voices,
            self.cares,
            watches,
            rules,
            self.homes,
            self.files,
            wildcards,
            self.gives_ids,
        )

    def callers(self) -> dict[str, Dialect]:
        """Build the dialects that callers may speak, OpenAI's first: it has the paths that others share."""
        made = {word: kind.build(kind.options()) for word, kind in self.dialect_kinds.items()}
        words = sorted(made, key=lambda word: (word != "openai", word))
        return {word: made[word] for word in words if made[word].prefixes}

    def made(self, kinds: Mapping[str, Kind], word: str, path: str) -> Any:
        """Build what a word of the config names."""
        kind = kinds.get(word)
        if kind is None:
            self.problems.append(f"{path}: unknown word {word!r}; known: {', '.join(sorted(kinds))}")
            return None
        return kind.build(kind.options())

    def read(self, parse: Callable[[str], int], text: str, path: str) -> int:
        """Return the number that `text` stands for."""
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{path}: {error}")
            return 0

    def secret(self, reference: str | None, path: str) -> str:
        """Return the value of a reference, "" where there is none; in a proof, a stand-in."""
        if reference is None:
            return ""
        if self.secrets is None:
            return "proof"
        value = self.secrets.get(reference)
        if not value:
            self.problems.append(f"{path}: no value for {reference}")
        elif not value.isascii() or not value.isprintable():
            self.problems.append(f"{path}: the value of {reference} cannot stand in a header")
        else:
            return value
        return ""

    def provider(self, name: str, config: Provider, callers: Mapping[str, Dialect]) -> Vendor:
        """Build what all targets at one provider share: how it is asked, and what of a request's head never changes."""
        path = f"providers.{name}"
        speaks = self.speaks(config, path)
        pool = pool_of(config, path)
        secrets = [self.secret(reference, place) for place, reference in pool]
        origin, host, base = self.origin(config.base_url or "", config.ca, config.max_connections, f"{path}.base_url")
        ways: dict[str, Way] = {}
        if speaks:
            for secret in secrets:
                self.check_credential(speaks, secret, path)
            for caller in callers.values():
                for operation in caller.operations:
                    way = way_of(caller, operation, speaks)
                    if way is not None:
                        ways[operation.name] = way
        lines = self.headers(config.headers, path)
        made = []
        for secret, (_, reference) in zip(secrets, pool, strict=True):
            parts = [b"host: %b\r\n" % host]
            if secret and speaks and not speaks[0][0].signs:
                parts.append(speaks[0][0].credential_line(secret))
            parts.append(JSON + b"accept-encoding: identity\r\n")
            constant = b"".join(parts + lines)
            heads: dict[str, tuple[bytes, bytes]] | None = {}
            try:
                heads = heads_of(ways, "a", base, constant)
                if heads != heads_of(ways, "b", base, constant):
                    heads = None
            except ValueError as error:
                self.problems.append(f"{path}: {error}")
            made.append(Credential(secret.encode(), constant, mark_of(reference), heads))
        watch = self.watch(config.health, origin, base, made[0].constant, path)
        vendor = Vendor(origin, host, base, ways, made, watch)
        self.home(name, config, vendor)
        return vendor

    def home(self, name: str, config: Provider, vendor: Vendor) -> None:
        """Build the keepers that a provider's credentials are, where it keeps anything."""
        path = f"providers.{name}"
        if config.files and not any(way.operation.pinned for way in vendor.ways.values()):
            self.problems.append(f"{path}.files: the dialect {config.dialect!r} keeps no files")
        elif config.files and self.files[0]:
            self.problems.append(f"{path}.files: {self.files[0]} keeps them already; one provider can")
        elif config.files:
            self.files = (name, vendor.credentials[0].mark)
            self.max_file = self.read(parse_size, config.max_file, f"{path}.max_file")
            self.gives_ids = True
        if any(way.operation.keeps and not (way.operation.pinned or way.translates) for way in vendor.ways.values()):
            self.gives_ids = True
        if not any(way.operation.pinned for way in vendor.ways.values()):
            return
        timeouts, rule = self.timeouts(Timeouts(), path), self.retry_rule(Retries(), path, CONNECT)
        for credential in vendor.credentials:
            heads = {"": (credential.constant.replace(JSON, b"", 1), b"")}
            where = (vendor.origin, vendor.host, vendor.base)
            keeper = Target(name, 1, *where, "", vendor.ways, heads, credential.secret, None, name, credential.mark)
            self.candidates.append(keeper)
            self.homes[name, credential.mark] = Home(keeper, timeouts, rule)

    def check_credential(self, speaks: list[tuple[Dialect, Any]], secret: str, path: str) -> None:
        """Note what is wrong with the form of a credential; a proof has none at hand."""
        if secret and self.secrets is not None:
            for dialect, _ in speaks:
                try:
                    dialect.check_credential(secret)
                except ValueError as error:
                    self.problems.append(f"{path}.credential: {error}")

    def speaks(self, config: Provider, path: str) -> list[tuple[Dialect, Any]]:
        """Build a provider's dialects, each with the options that it has; an option that none has is a problem."""
        speaks = []
        words = (config.dialect or "", *config.also)
        unknown = set(config.options)
        for index, word in enumerate(words):
            where = f"{path}.also[{index - 1}]" if index else f"{path}.dialect"
            kind = self.dialect_kinds.get(word)
            if kind is None:
                self.problems.append(f"{where}: unknown word {word!r}; known: {', '.join(sorted(self.dialect_kinds))}")
                return []
            if word in words[:index]:
                self.problems.append(f"{where}: {word!r} stands there twice")
            own = {item.name for item in msgspec.structs.fields(kind.options)} & config.options.keys()
            unknown -= own
            try:
                options = msgspec.convert({name: config.options[name] for name in own}, kind.options)
                speaks.append((kind.build(options), options))
            except (msgspec.ValidationError, ValueError) as error:
                self.problems.append(f"{path}.options: {error}")
        for name in sorted(unknown):
            self.problems.append(f"{path}.options.{name}: the dialect {config.dialect!r} has no such option")
        return speaks

    def headers(self, config: Mapping[str, str], path: str) -> list[bytes]:
        """Return the header lines that the config adds to every request of a provider."""
        for name in config:
            if name in OURS:
                self.problems.append(f"{path}.headers.{name}: the gateway writes this field itself")
        return [b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in config.items()]

    def model(self, name: str, config: ModelConfig, providers: Mapping[str, Vendor]) -> Model:
        """Build a model with its targets."""
        path = f"models.{name}"
        targets = []
        for index, target in enumerate(config.targets):
            when = Conditions(target.when.headers, target.when.metadata) if target.when is not None else None
            made = self.target(
                target.provider, target.model, providers, f"{path}.targets[{index}]", target.weight, when
            )
            if made is not None:
                for place in made.keys or [made]:
                    place.price = self.price(target.price, f"{path}.targets[{index}].price")
                    place.on = mask_of(target.on)
                targets.append(made)
        mirror, shadow = None, None
        if config.mirror is not None:
            shadow = self.target(config.mirror.provider, config.mirror.model, providers, f"{path}.mirror")
            if shadow is not None:
                mirror = Mirror(config.mirror.percent / 100)
                for place in shadow.keys or [shadow]:
                    place.price = self.price(config.mirror.price, f"{path}.mirror.price")
        if config.sticky is not None and config.strategy != "weighted":
            self.problems.append(f"{path}.sticky: goes with `strategy: weighted`, which shares calls by weight")
        asked = places_of(targets)
        self.care(f"models.{name}", asked, config)
        return Model(
            name,
            targets,
            self.made(self.strategy_kinds, config.strategy, f"{path}.strategy"),
            self.timeouts(config.timeouts, f"{path}.timeouts"),
            self.retry_rule(config.retries, path, retried(config, len(asked) > 1)),
            self.read(parse_size, config.max_body, f"{path}.max_body"),
            Sticky(config.sticky) if config.sticky is not None else None,
            HubRules(config.unsupported == "drop", msgspec.structs.asdict(config.budgets), config.max_tokens),
            mirror,
            shadow,
        )

    def target(
        self,
        provider: str,
        model: str,
        providers: Mapping[str, Vendor],
        path: str,
        weight: int = 1,
        when: Conditions | None = None,
    ) -> Target | None:
        """Build one target, with the first of its provider's credentials; with the others it is one of its `keys`."""
        vendor = providers.get(provider)
        if vendor is None:
            self.problems.append(f"{path}.provider: no provider is named {provider!r}")
            return None
        places = []
        for credential in vendor.credentials:
            heads = credential.heads
            if heads is None:
                heads = heads_of(vendor.ways, model, vendor.base, credential.constant)
            name = f"{provider}/{model}"
            host, base, secret = vendor.host, vendor.base, credential.secret
            where = (vendor.origin, host, base)
            kept = (provider, credential.mark)
            places.append(Target(name, weight, *where, model, vendor.ways, heads, secret, when, *kept))
        if len(places) > 1:
            for place in places:
                place.keys = list(places)
        if vendor.watch is not None:
            vendor.watch.places.extend(places)
            self.probed.update(places)
        self.candidates += places
        return places[0]

    def origin(self, url: str, ca: str | None, limit: int, path: str) -> tuple[Origin, bytes, bytes]:
        """Take a base URL apart: where to connect, the Host field, and the path before every path."""
        if not PRINTABLE.fullmatch(url):
            self.problems.append(f"{path}: holds what cannot stand in a request line")
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            host.encode("idna")
        except ValueError as error:
            self.problems.append(f"{path}: the host cannot be looked up: {error}")
            return Origin("http", "", 0, "", limit), b"", b""
        try:
            port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
        except ValueError:
            port = 0
        if port == 0:
            self.problems.append(f"{path}: the port must be from 1 to 65535")
        origin = Origin(parts.scheme, host, port, ca or "", limit)
        return origin, parts.netloc.encode(), parts.path.rstrip("/").encode()

    def consumers(self, parts: list[Part], names: Names, read: dict[bytes, Any]) -> Steps[Consumers]:
        """Read the sections of consumers and keys, and put into `read` what came of each.

        Those of the runtime before are taken as they are, unless a model that they may name is gone.
        """
        known: Mapping[bytes, Any] = {}
        if self.before is not None:
            known = self.before.parts
            if not self.before.site.names.all <= names.all:
                known = {digest: part for digest, part in known.items() if isinstance(part, Keys)}
        found: dict[str, list[Any]] = {kind: [] for kind in PEOPLE}
        for part in parts:
            section = known.get(part.digest)
            if section is None:
                data = self.snapshot.sections[part.digest]
                if part.kind == "consumers":
                    section = ConsumersSection(data)
                    for name, consumer, _ in section.records():
                        self.consumer(name, consumer, names)
                        yield
                else:
                    section = Keys(data)
                    yield
            read[part.digest] = section
            found[part.kind].append(section)
        yield
        return Consumers(Directory(found["consumers"], found["keys"]))

    def consumer(self, name: str, config: ConsumerConfig, names: Names) -> None:
        """Look whether a consumer can be served when it calls."""
        limits = config.limits
        if limits.requests is not None and limits not in self.limits_read:
            try:
                count, period = parse_rate(limits.requests)
                check_rate(count, period, limits.burst or count)
            except ValueError as error:
                self.problems.append(f"consumers.{name}.limits.requests: {error}")
            else:
                self.limits_read.add(limits)
        for place, model in enumerate(config.models):
            if not names.reach(model):
                self.problems.append(f"consumers.{name}.models[{place}]: no model is named {model!r}")

    def upstream(self, name: str, config: Upstream) -> Group:
        """Build what all routes to one upstream share: its endpoints, and the balancer that orders them."""
        path = f"upstreams.{name}"
        count = len(config.endpoints)
        if config.weights and len(config.weights) != count:
            self.problems.append(f"{path}.weights: {len(config.weights)} weights for {count} endpoints")
        weights = config.weights or (1,) * count
        endpoints = []
        for index, (url, weight) in enumerate(zip(config.endpoints, weights, strict=False)):
            if url in config.endpoints[:index]:
                self.problems.append(f"{path}.endpoints[{index}]: {url} stands there twice; give it a weight instead")
            origin, host, base = self.origin(url, config.ca, config.max_connections, f"{path}.endpoints[{index}]")
            endpoint = Candidate(f"{name}/{(host + base).decode()}", weight, origin, host, base)
            endpoints.append(endpoint)
            watch = self.watch(config.health, origin, base, b"host: %b\r\n" % host, path)
            if watch is not None:
                watch.places.append(endpoint)
                self.probed.add(endpoint)
        self.candidates += endpoints
        self.care(path, endpoints, config)
        return Group(self.made(self.balance_kinds, config.balance, f"{path}.balance"), endpoints)

    def route(
        self, name: str, config: RouteConfig, openai: Any, upstreams: Mapping[str, Group]
    ) -> tuple[str | None, str, tuple[str, ...], Route, bool]:
        """Return the entry of a plain HTTP route."""
        path = f"routes.{name}"
        group = upstreams.get(config.upstream)
        if group is None:
            self.problems.append(f"{path}.upstream: no upstream is named {config.upstream!r}")
            group = Group(None, [])
        route = Route(
            name,
            needs_key=config.auth == "key",
            dialect=openai,
            max_body=self.read(parse_size, config.max_body, f"{path}.max_body"),
            balancer=group.balancer,
            endpoints=group.endpoints,
            timeouts=self.timeouts(config.timeouts, f"{path}.timeouts"),
            retries=self.retry_rule(config.retries, f"upstreams.{config.upstream}", CONNECT),
        )
        return config.match.host, config.match.path, config.match.methods, route, config.raw_path

    def price(self, config: PriceConfig | None, path: str) -> Price | None:
        """Return what calls of a target cost, None where nobody said."""
        if config is None:
            return None
        try:
            return Price(config)
        except ValueError as error:
            self.problems.append(f"{path}: {error}")
            return None

    def timeouts(self, config: Timeouts, path: str) -> TimeoutsNs:
        """Return the timeouts in nanoseconds, one object for all that are the same."""
        made = self.timeouts_made.get(config)
        if made is None:
            made = self.timeouts_made[config] = TimeoutsNs(
                self.read(parse_duration, config.connect, f"{path}.connect"),
                self.read(parse_duration, config.first_token, f"{path}.first_token"),
                self.read(parse_duration, config.idle, f"{path}.idle"),
                self.read(parse_duration, config.total, f"{path}.total"),
                self.read(parse_duration, config.attempt, f"{path}.attempt") if config.attempt else 0,
            )
        return made

    def retry_rule(self, config: Retries, name: str, default: int) -> RetryRule:
        """Return the rule for further attempts, one object for all of one name that are the same."""
        made = self.rules_made.get((name, config))
        if made is None:
            made = self.rules_made[name, config] = RetryRule(
                name,
                config.max,
                default if config.on is None else mask_of(config.on),
                self.read(parse_duration, config.backoff, f"{name}: retries.backoff"),
                self.read(parse_duration, config.wait, f"{name}: retries.wait"),
                config.budget,
            )
        return made

    def watch(self, config: Health | None, origin: Origin, base: bytes, lines: bytes, path: str) -> Watch | None:
        """Return how a provider or endpoint is probed, with nothing yet that it is about; None if it is not."""
        if config is None:
            return None
        rule = ProbeRule(
            self.read(parse_duration, config.interval, f"{path}.health.interval"),
            self.read(parse_duration, config.timeout, f"{path}.health.timeout"),
            config.failures,
            config.successes,
        )
        target = base + config.path.encode()
        made = Watch(origin, b"GET %b HTTP/1.1\r\n%bconnection: close\r\n\r\n" % (target, lines), rule, [])
        self.watches.append(made)
        return made

    def care(self, path: str, places: list[Any], config: ModelConfig | Upstream) -> None:
        """Have the places of a model or upstream looked after, if that is of any use."""
        breaker = config.breaker
        if breaker is None and len(places) > 1:
            breaker = Breaker()
        rule = None
        if breaker is not None:
            rule = breaker_rule(
                breaker,
                self.read(parse_duration, breaker.window, f"{path}.breaker.window"),
                self.read(parse_duration, breaker.pause, f"{path}.breaker.pause"),
            )
        slow = self.read(parse_duration, config.slow_start, f"{path}.slow_start") if config.slow_start else 0
        probed = not self.probed.isdisjoint(places)
        care = care_of(path, places, rule, breaker.max_ejected if breaker else 0, slow, probed)
        if care is not None:
            self.cares.append(care)


def check_rate(count: int, period: int, burst: int) -> None:
    """Raise ValueError for a rate that `core.limits` cannot hold; there is no cell to try it on here."""
    if burst * -(-period // count) > MAX_NS:
        raise ValueError(f"a burst of {burst} takes more than 146 years to refill at this rate")


def retried(config: ModelConfig, has_others: bool) -> int:
    """Return after which failures a model's calls are tried again where its `retries.on` is left out."""
    fallbacks = mask_of(word for target in config.targets for word in target.on)
    return (REFUSED if has_others else CONNECT) | fallbacks & ELSEWHERE
