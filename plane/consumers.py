"""Who calls: the consumers of a snapshot, each made into an object when its first request comes.

100,000 consumers are bytes in their sections; only those that call are objects.
"""

from __future__ import annotations

from core.model import Consumer as ConsumerConfig
from core.model import Limits
from core.sections import Directory
from core.wildcards import STAR, is_wildcard
from plane.runtime import Consumer

__all__ = ["SEEN", "Consumers"]

SEEN = 4096
"""Keys and consumers that are kept; one more, and all are found anew in the sections. Nothing is lost by that: what a
consumer has used up is counted in the cells of its limits."""
NO_LIMITS = Limits()


class Consumers:
    """The consumers of one runtime. by_key, by_name: those that were seen."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.by_key: dict[bytes, Consumer] = {}
        self.by_name: dict[str, Consumer] = {}

    def find(self, digest: bytes) -> Consumer | None:
        """Return the consumer that has the key of this SHA-256 (32 bytes), None if nobody has."""
        consumer = self.by_key.get(digest)
        return self.meet(digest) if consumer is None else consumer

    def meet(self, digest: bytes) -> Consumer | None:
        """Look a key up in the sections."""
        found = self.directory.find(digest)
        if found is None:
            return None
        name, config = found
        consumer = self.keep(name, config)
        self.by_key[digest] = consumer
        return consumer

    def named(self, name: str) -> Consumer | None:
        """Return the consumer of this name, None if there is none."""
        consumer = self.by_name.get(name)
        if consumer is None:
            config = self.directory.named(name)
            if config is not None:
                consumer = self.keep(name, config)
        return consumer

    def keep(self, name: str, config: ConsumerConfig) -> Consumer:
        """Return the one object of a consumer, made if need be."""
        if len(self.by_key) >= SEEN or len(self.by_name) >= SEEN:
            self.by_key.clear()
            self.by_name.clear()
        consumer = self.by_name.get(name)
        if consumer is None:
            consumer = self.by_name[name] = made(name, config)
        return consumer


def made(name: str, config: ConsumerConfig) -> Consumer:
    """Return a consumer as requests use it."""
    limits = config.limits if config.limits != NO_LIMITS else None
    if STAR in config.models:
        return Consumer(name, None, limits, explain=config.explain)
    beginnings = tuple(model[:-1] for model in config.models if is_wildcard(model))
    models = frozenset(model for model in config.models if not is_wildcard(model))
    return Consumer(name, models, limits, beginnings, config.explain)
