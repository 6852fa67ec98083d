"""A snapshot compiled for serving: what one request looks up, ready made.

A runtime is never changed once it is live, except for what it memoises per consumer (limits bound to their cells). A
request takes the live runtime once, at its head, and ends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from string import punctuation
from typing import Any, NamedTuple
from urllib.parse import quote

from core.endpoint import Endpoint
from plane.http1.origin import Origin, TimeoutsNs

__all__ = ["Candidate", "Consumer", "Model", "RetryRule", "Route", "Runtime", "Target"]


PRINTABLE = punctuation.replace("%", "")


class RetryRule(NamedTuple):
    """Further attempts after the first, and what for.

    on_connect: there was no connection, so nothing was sent. on_reset: a reused connection died without an answer.
    """

    max: int
    on_connect: bool
    on_reset: bool


class Candidate(Endpoint):
    """Somewhere a call may be sent: an endpoint of an upstream, or a target of a model.

    host: the Host field. base_path: what stands
    before the path, without a final slash. pool: set when the runtime is bound to the worker's pools.
    """

    def __init__(self, name: str, weight: int, origin: Origin, host: bytes, base_path: bytes) -> None:
        super().__init__(name, weight)
        self.origin = origin
        self.pool: Any = None
        self.host = host
        self.base_path = base_path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.in_flight} in flight>"


class Target(Candidate):
    """A provider and the name it knows a model by.

    model_json: that name as a JSON string. heads: operation -> the constant part of a request's head.
    field: the answer's ``x-headgate-target`` line. secret: the provider's credential, b"" if it needs none.
    """

    def __init__(
        self,
        name: str,
        weight: int,
        origin: Origin,
        host: bytes,
        base_path: bytes,
        model_json: bytes,
        heads: dict[str, bytes],
        secret: bytes,
    ) -> None:
        super().__init__(name, weight, origin, host, base_path)
        self.model_json = model_json
        self.heads = heads
        self.secret = secret
        # A provider may name its models as it likes; a header line takes printable ASCII.
        self.field = b"x-headgate-target: %b\r\n" % quote(name, safe=PRINTABLE).encode()


class Consumer:
    """Who calls: the models it may use (None: all) and its limits; bound to cells and a tally at first sight."""

    def __init__(self, name: str, models: frozenset[str] | None, limits: Any) -> None:
        self.name = name
        self.models = models
        self.limits = limits
        self.rate: Any = None
        self.concurrency: Any = None
        self.tally: Any = None
        self.bound = False
        self.rate_lines = b""


class Model:
    """A name callers ask for. max_body: bytes. only: there is one target, and so nothing to rank."""

    def __init__(
        self, name: str, targets: list[Target], strategy: Any, timeouts: TimeoutsNs, retries: Any, max_body: int
    ) -> None:
        self.name = name
        self.targets = targets
        self.strategy = strategy
        self.only = len(targets) == 1 and targets[0].weight > 0
        self.timeouts = timeouts
        self.retries = retries
        self.max_body = max_body


class Route:
    """What a matched request goes through.

    handler: answers on the spot (health, model list) as ``handler(exchange) -> (status, fields, body)``, or None.
    needs_model: the body names a model in `dialect`; `operation` is what is asked of it. Otherwise the request goes to
    `endpoints`, in the order of `balancer`.
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
    ) -> None:
        self.name = name
        self.handler = handler
        self.needs_key = needs_key
        self.needs_model = operation is not None
        self.dialect = dialect
        self.operation = operation
        self.max_body = max_body
        self.balancer = balancer
        self.endpoints = endpoints or []
        self.timeouts = timeouts
        self.retries = retries

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


class Runtime:
    """A snapshot, compiled.

    keys: the flat table from the SHA-256 of an API key to an index of `consumers`. mark: the ``x-headgate-config``
    line.
    candidates: all targets and endpoints. groups: the endpoints of each upstream. fallback_dialect: renders errors
    where no route has been matched yet.
    """

    def __init__(
        self,
        version: int,
        digest: str,
        router: Any,
        keys: Any,
        consumers: list[Consumer],
        models: dict[str, Model],
        candidates: list[Candidate],
        groups: list[list[Candidate]],
        dialect: Any,
    ) -> None:
        self.version = version
        self.digest = digest
        self.router = router
        self.keys = keys
        self.consumers = consumers
        self.models = models
        self.candidates = candidates
        self.groups = groups
        self.shared: Any = None
        self.mark = b"x-headgate-config: %b\r\n" % digest[:12].encode()
        self.fallback_dialect = dialect

    def bind(self, shared: Any) -> None:
        """Join the worker's pools, so that calls can be sent; until then nothing here has touched a socket."""
        self.shared = shared
        for candidate in self.candidates:
            candidate.pool = shared.pool(candidate.origin)
        for group in self.groups:
            group[:] = [shared.endpoint(endpoint) for endpoint in group]

    def __repr__(self) -> str:
        return f"<Runtime {self.version} {self.digest[:12]}>"
