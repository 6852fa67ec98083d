"""From a snapshot to a runtime. Pure: opens no socket, starts no task, reads no file, so that building one is a proof.

Control runs this without secrets before it publishes; a worker runs it with them before it swaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

import core.balance
import plane.dialects
import plane.strategies
from core.cells import KeyTable
from core.errors import ConfigError
from core.limits import MAX_NS
from core.model import Config, Limits, Provider, Retries, Timeouts, Upstream
from core.model import Model as ModelConfig
from core.registry import Kind, scan
from core.router import Router
from core.snapshot import Snapshot
from core.units import parse_duration, parse_rate, parse_size
from plane.http1.origin import Origin, TimeoutsNs
from plane.local import health, list_models, liveness, readiness
from plane.runtime import Candidate, Consumer, Model, RetryRule, Route, Runtime, Target

__all__ = ["compile_snapshot", "known_words"]

SERVICES = ("GET",)
NO_MODELS_BODY = 1024 * 1024
"""Bytes of a body that are read only to say that there is no such model."""
PRINTABLE = re.compile(r"[!-~]+")


def known_words() -> dict[str, frozenset[str]]:
    """Return the words a config may use, by kind: ``dialect``, ``strategy``, ``balance``."""
    return {
        "dialect": frozenset(scan(plane.dialects)),
        "strategy": frozenset(scan(plane.strategies)),
        "balance": frozenset(scan(core.balance)),
    }


def compile_snapshot(snapshot: Snapshot, secrets: Mapping[str, str] | None) -> Runtime:
    """Return the runtime of `snapshot`.

    secrets: reference as written -> value; None proves that the snapshot can be built, with no secret at hand.
    Raises ConfigError with every reason that was found.
    """
    return Compiler(snapshot, secrets).runtime()


class Vendor(NamedTuple):
    """A provider, as far as all of its targets share it."""

    origin: Origin
    host: bytes
    base: bytes
    heads: dict[str, bytes]
    secret: bytes


class Group(NamedTuple):
    """An upstream, as all of its routes share it."""

    balancer: Any
    endpoints: list[Candidate]


class Compiler:
    """One compilation: collects problems and goes on, so that all are told at once."""

    def __init__(self, snapshot: Snapshot, secrets: Mapping[str, str] | None) -> None:
        self.snapshot = snapshot
        self.config: Config = snapshot.config
        self.secrets = secrets
        self.problems: list[str] = []
        self.dialect_kinds = scan(plane.dialects)
        self.strategy_kinds = scan(plane.strategies)
        self.balance_kinds = scan(core.balance)
        self.candidates: list[Candidate] = []

    def runtime(self) -> Runtime:
        """Build everything; raise ConfigError if anything could not be."""
        openai = self.made(self.dialect_kinds, "openai", "dialects")
        providers = {name: self.provider(name, provider) for name, provider in self.config.providers.items()}
        models = {name: self.model(name, model, providers) for name, model in self.config.models.items()}
        consumers, keys = self.consumers()
        upstreams = {name: self.upstream(name, upstream) for name, upstream in self.config.upstreams.items()}
        entries = [*self.services(openai, models), *self.routes(openai, upstreams)]
        try:
            router = Router(entries)
        except ConfigError as error:
            self.problems += error.problems
        if self.problems:
            raise ConfigError(self.problems)
        return Runtime(
            self.snapshot.version,
            self.snapshot.digest,
            router,
            keys,
            consumers,
            models,
            self.candidates,
            [group.endpoints for group in upstreams.values()],
            openai,
        )

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

    def provider(self, name: str, config: Provider) -> Vendor:
        """Build what all targets at one provider share: the parts of their request heads that do not change."""
        path = f"providers.{name}"
        dialect = self.made(self.dialect_kinds, config.dialect, f"{path}.dialect")
        secret = self.secret(config.credential, f"{path}.credential")
        origin, host, base = self.origin(config.base_url, config.ca, config.max_connections, f"{path}.base_url")
        heads = {}
        if dialect is not None:
            constant = (dialect.credential_line(secret) if secret else b"") + (
                b"content-type: application/json\r\naccept-encoding: identity\r\n"
            )
            heads = {
                operation.name: b"POST %b%b HTTP/1.1\r\nhost: %b\r\n%b"
                % (base, operation.path.encode(), host, constant)
                for operation in dialect.operations
            }
        return Vendor(origin, host, base, heads, secret.encode())

    def model(self, name: str, config: ModelConfig, providers: Mapping[str, Vendor]) -> Model:
        """Build a model with its targets."""
        path = f"models.{name}"
        targets = []
        for index, target in enumerate(config.targets):
            vendor = providers.get(target.provider)
            if vendor is None:
                where = f"{path}.targets[{index}].provider"
                self.problems.append(f"{where}: no provider is named {target.provider!r}")
                continue
            made = Target(
                f"{target.provider}/{target.model}",
                target.weight,
                vendor.origin,
                vendor.host,
                vendor.base,
                msgspec.json.encode(target.model),
                vendor.heads,
                vendor.secret,
            )
            self.candidates.append(made)
            targets.append(made)
        return Model(
            name,
            targets,
            self.made(self.strategy_kinds, config.strategy, f"{path}.strategy"),
            self.timeouts(config.timeouts, f"{path}.timeouts"),
            retry_rule(config.retries),
            self.read(parse_size, config.max_body, f"{path}.max_body"),
        )

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

    def consumers(self) -> tuple[list[Consumer], KeyTable]:
        """Build the consumers and the table of their keys."""
        consumers, keys = [], []
        for index, (name, config) in enumerate(self.config.consumers.items()):
            limits = config.limits if config.limits != Limits() else None
            if limits is not None and limits.requests is not None:
                try:
                    count, period = parse_rate(limits.requests)
                    check_rate(count, period, limits.burst or count)
                except ValueError as error:
                    self.problems.append(f"consumers.{name}.limits.requests: {error}")
            for place, model in enumerate(config.models):
                if model != "*" and model not in self.config.models:
                    self.problems.append(f"consumers.{name}.models[{place}]: no model is named {model!r}")
            models = None if "*" in config.models else frozenset(config.models)
            consumers.append(Consumer(name, models, limits))
            keys += [(bytes.fromhex(key.sha256), index) for key in config.keys]
        try:
            table = KeyTable.build(keys)
        except ValueError as error:
            self.problems.append(f"consumers: {error}")
            table = KeyTable.build([])
        return consumers, KeyTable(table)

    def services(self, openai: Any, models: Mapping[str, Model]) -> list[tuple[Any, ...]]:
        """Return the routes that every gateway has: the OpenAI paths and the health checks."""
        entries: list[tuple[Any, ...]] = []
        largest = max((model.max_body for model in models.values()), default=NO_MODELS_BODY)
        for operation in openai.operations:
            route = Route(operation.name, dialect=openai, operation=operation, max_body=largest)
            entries += [(None, prefix + operation.path, ("POST",), route, False) for prefix in ("/v1", "")]
        listing = Route("models", dialect=openai, handler=list_models)
        for prefix in ("/v1", ""):
            entries.append((None, f"{prefix}/models", SERVICES, listing, False))
            entries.append((None, f"{prefix}/models/*", SERVICES, listing, False))
        for path, handler in (("/healthz", health), ("/readyz", readiness), ("/health/liveness", liveness)):
            entries.append((None, path, SERVICES, Route(path[1:], handler=handler, needs_key=False), False))
        return entries

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
            endpoints.append(Candidate(f"{name}/{(host + base).decode()}", weight, origin, host, base))
        self.candidates += endpoints
        return Group(self.made(self.balance_kinds, config.balance, f"{path}.balance"), endpoints)

    def routes(self, openai: Any, upstreams: Mapping[str, Group]) -> list[tuple[Any, ...]]:
        """Return the plain HTTP routes of the config."""
        entries = []
        for name, config in self.config.routes.items():
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
                retries=retry_rule(config.retries),
            )
            entries.append((config.match.host, config.match.path, config.match.methods, route, config.raw_path))
        return entries

    def timeouts(self, config: Timeouts, path: str) -> TimeoutsNs:
        """Return the timeouts in nanoseconds."""
        return TimeoutsNs(
            self.read(parse_duration, config.connect, f"{path}.connect"),
            self.read(parse_duration, config.first_token, f"{path}.first_token"),
            self.read(parse_duration, config.idle, f"{path}.idle"),
            self.read(parse_duration, config.total, f"{path}.total"),
        )


def check_rate(count: int, period: int, burst: int) -> None:
    """Raise ValueError for a rate that `core.limits` cannot hold; there is no cell to try it on here."""
    if burst * -(-period // count) > MAX_NS:
        raise ValueError(f"a burst of {burst} takes more than 146 years to refill at this rate")


def retry_rule(config: Retries) -> RetryRule:
    """Return the rule for further attempts."""
    return RetryRule(config.max, "connect" in config.on, "reset" in config.on)
