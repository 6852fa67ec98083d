"""From a snapshot to a runtime. Pure: opens no socket, starts no task, reads no file, so that building one is a proof.

Control runs this without secrets before it publishes; a worker runs it with them before it swaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

import core.balance
import plane.dialects
import plane.strategies
from core.cells import KeyTable
from core.errors import ConfigError
from core.limits import MAX_NS
from core.model import Config, Limits, Provider, Retries, Timeouts
from core.model import Model as ModelConfig
from core.registry import Kind, scan
from core.router import Router
from core.snapshot import Snapshot
from core.units import parse_duration, parse_rate, parse_size
from plane.http1.client import Origin, TimeoutsNs
from plane.local import health, list_models, liveness, readiness
from plane.runtime import Candidate, Consumer, Model, RetryRule, Route, Runtime, Target

__all__ = ["compile_snapshot", "known_words"]

SERVICES = ("GET",)


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
        self.dialects: dict[str, Any] = {}
        self.candidates: list[Candidate] = []

    def runtime(self) -> Runtime:
        """Build everything; raise ConfigError if anything could not be."""
        openai = self.made(self.dialect_kinds, "openai", "dialects")
        models = {name: self.model(name, model) for name, model in self.config.models.items()}
        consumers, keys = self.consumers()
        entries = [*self.services(openai), *self.routes(openai)]
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
            openai,
        )

    def made(self, kinds: Mapping[str, Kind], word: str, path: str) -> Any:
        """Build what a word of the config names."""
        kind = kinds.get(word)
        if kind is None:
            self.problems.append(f"{path}: unknown word {word!r}; known: {', '.join(sorted(kinds))}")
            return None
        return kind.build(kind.options())

    def secret(self, reference: str | None, path: str) -> str | None:
        """Return the value of a reference; in a proof, a stand-in."""
        if reference is None:
            return None
        if self.secrets is None:
            return "proof"
        value = self.secrets.get(reference)
        if value is None:
            self.problems.append(f"{path}: no value for {reference}")
        elif not value.isascii() or not value.isprintable():
            self.problems.append(f"{path}: the value of {reference} cannot stand in a header")
        else:
            return value
        return None

    def model(self, name: str, config: ModelConfig) -> Model:
        """Build a model with its targets."""
        path = f"models.{name}"
        strategy = self.made(self.strategy_kinds, config.strategy, f"{path}.strategy")
        targets = []
        for index, target in enumerate(config.targets):
            where = f"{path}.targets[{index}]"
            provider = self.config.providers.get(target.provider)
            if provider is None:
                self.problems.append(f"{where}.provider: no provider is named {target.provider!r}")
                continue
            targets.append(self.target(target.provider, provider, target.model, target.weight))
        return Model(
            name,
            [target for target in targets if target is not None],
            strategy,
            timeouts_of(config.timeouts),
            retry_rule(config.retries),
            parse_size(config.max_body),
        )

    def target(self, name: str, provider: Provider, model: str, weight: int) -> Target | None:
        """Build one target: all of its request heads that do not change."""
        if provider.dialect not in self.dialects:
            self.dialects[provider.dialect] = self.made(
                self.dialect_kinds, provider.dialect, f"providers.{name}.dialect"
            )
        dialect = self.dialects[provider.dialect]
        if dialect is None:
            return None
        secret = self.secret(provider.credential, f"providers.{name}.credential")
        origin, host, base = self.origin(
            provider.base_url, provider.ca, provider.max_connections, f"providers.{name}.base_url"
        )
        constant = (dialect.credential_line(secret) if secret is not None else b"") + (
            b"content-type: application/json\r\naccept-encoding: identity\r\n"
        )
        heads = {
            operation.name: b"POST %b%b HTTP/1.1\r\nhost: %b\r\n%b" % (base, operation.path.encode(), host, constant)
            for operation in dialect.operations
        }
        made = Target(
            f"{name}/{model}",
            weight,
            origin,
            host,
            base,
            msgspec.json.encode(model),
            heads,
            (secret or "").encode(),
        )
        self.candidates.append(made)
        return made

    def origin(self, url: str, ca: str | None, limit: int, path: str) -> tuple[Origin, bytes, bytes]:
        """Take a base URL apart: where to connect, the Host field, and the path before every path."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            self.problems.append(f"{path}: the port is not a number up to 65535")
            port = None
        number = port if port is not None else (443 if parts.scheme == "https" else 80)
        origin = Origin(parts.scheme, parts.hostname or "", number, ca or "", limit)
        return origin, parts.netloc.encode(), parts.path.rstrip("/").encode()

    def consumers(self) -> tuple[list[Consumer], KeyTable]:
        """Build the consumers and the table of their keys."""
        consumers, keys = [], []
        for index, (name, config) in enumerate(self.config.consumers.items()):
            limits = config.limits if config.limits != Limits() else None
            if limits is not None and limits.requests is not None:
                count, period = parse_rate(limits.requests)
                try:
                    check_rate(count, period, limits.burst or count)
                except ValueError as error:
                    self.problems.append(f"consumers.{name}.limits.requests: {error}")
            models = None if "*" in config.models else frozenset(config.models)
            consumers.append(Consumer(name, models, limits))
            keys += [(bytes.fromhex(key.sha256), index) for key in config.keys]
        return consumers, KeyTable(KeyTable.build(keys))

    def services(self, openai: Any) -> list[tuple[Any, ...]]:
        """Return the routes that every gateway has: the OpenAI paths and the health checks."""
        entries: list[tuple[Any, ...]] = []
        largest = max((parse_size(model.max_body) for model in self.config.models.values()), default=0)
        for operation in openai.operations:
            route = Route(operation.name, dialect=openai, operation=operation, max_body=largest)
            entries += [(None, prefix + operation.path, ("POST",), route, False) for prefix in ("/v1", "")]
        models = Route("models", dialect=openai, handler=list_models)
        for prefix in ("/v1", ""):
            entries.append((None, f"{prefix}/models", SERVICES, models, False))
            entries.append((None, f"{prefix}/models/*", SERVICES, models, False))
        for path, handler in (("/healthz", health), ("/readyz", readiness), ("/health/liveness", liveness)):
            entries.append((None, path, SERVICES, Route(path[1:], handler=handler, needs_key=False), False))
        return entries

    def routes(self, openai: Any) -> list[tuple[Any, ...]]:
        """Return the plain HTTP routes of the config."""
        entries = []
        for name, config in self.config.routes.items():
            path = f"routes.{name}"
            upstream = self.config.upstreams.get(config.upstream)
            if upstream is None:
                self.problems.append(f"{path}.upstream: no upstream is named {config.upstream!r}")
                continue
            weights = upstream.weights or (1,) * len(upstream.endpoints)
            where = f"upstreams.{config.upstream}"
            endpoints = []
            for url, weight in zip(upstream.endpoints, weights, strict=False):
                origin, host, base = self.origin(url, upstream.ca, upstream.max_connections, f"{where}.endpoints")
                endpoints.append(Candidate(f"{config.upstream}/{host.decode()}", weight, origin, host, base))
            self.candidates += endpoints
            route = Route(
                name,
                needs_key=config.auth == "key",
                dialect=openai,
                max_body=parse_size(config.max_body),
                balancer=self.made(self.balance_kinds, upstream.balance, f"{where}.balance"),
                endpoints=endpoints,
                timeouts=timeouts_of(config.timeouts),
                retries=retry_rule(config.retries),
            )
            entries.append((config.match.host, config.match.path, config.match.methods, route, config.raw_path))
        return entries


def timeouts_of(config: Timeouts) -> TimeoutsNs:
    """Return the timeouts in nanoseconds."""
    return TimeoutsNs(
        parse_duration(config.connect),
        parse_duration(config.first_token),
        parse_duration(config.idle),
        parse_duration(config.total),
    )


def check_rate(count: int, period: int, burst: int) -> None:
    """Raise ValueError for a rate that `core.limits` cannot hold; there is no cell to try it on here."""
    if burst * -(-period // count) > MAX_NS:
        raise ValueError(f"a burst of {burst} takes more than 146 years to refill at this rate")


def retry_rule(config: Retries) -> RetryRule:
    """Return the rule for further attempts."""
    return RetryRule(config.max, "reset" in config.on)
