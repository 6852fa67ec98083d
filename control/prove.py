"""The proof of a config: it is loaded, checked, and built once, before any worker sees it."""

from pathlib import Path

from control.load import load
from core.model import Config
from core.snapshot import seal
from plane.compile import compile_snapshot, known_words

__all__ = ["prove"]


def prove(path: Path) -> Config:
    """Load `path` and build its runtime once, without secrets, as every worker will; ConfigError with every problem."""
    config = load(path, known_words()).config
    compile_snapshot(seal(config, 1), None)
    return config
