"""The proof of a config: it is loaded, checked, cut and built once, before any worker sees it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from control.load import load
from control.prices import price_lists, priced
from control.vendors import vendors
from core.model import Config
from core.snapshot import Snapshot, build
from plane.compile import compile_snapshot, known_words

__all__ = ["Proof", "prove"]


class Proof(NamedTuple):
    """A config that every worker can build. config: its providers at least. snapshot: all of it, as version 1."""

    config: Config
    snapshot: Snapshot


def prove(path: Path) -> Proof:
    """Load `path` and build its runtime once, without secrets, as every worker will; ConfigError with every problem."""
    lists = {word: vendor.prices for word, vendor in vendors().items()}
    now = datetime.now(UTC)
    config = priced(load(path, known_words()).config, lists, now)
    snapshot = build(config, 1, price_lists(config, lists, now))
    compile_snapshot(snapshot, None)
    return Proof(config, snapshot)
