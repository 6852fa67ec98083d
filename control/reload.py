"""Reading ``--config`` again because the supervisor was told to, by SIGHUP."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from control.load import load
from control.log import Log
from control.publish import Publisher
from control.talk import Reloaded
from core.errors import ConfigError
from core.model import Static

__all__ = ["changed", "reload"]


async def reload(publisher: Publisher, path: Path, static: Static, log: Log) -> Reloaded:
    """Apply the config at `path`; whatever is wrong with it is logged, and the active one stays.

    static: the static keys that are in force; those that differ in the config are named in the answer.
    """
    try:
        applied = await publisher.apply(path)
        loaded = await asyncio.to_thread(load, path)
    except ConfigError as error:
        for problem in error.problems:
            log("config-problem", problem=problem)
        return Reloaded("wrong", publisher.active.snapshot.version)
    for answer in applied.workers:
        if applied.result == "refused" and answer.answer != "ack":
            log("config-problem", problem=f"worker {answer.worker}: {answer.reason}")
    waiting = changed(msgspec.to_builtins(static), msgspec.to_builtins(loaded.static))
    return Reloaded(applied.result, applied.version, tuple(waiting))


def changed(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of the leaves that differ, as ``listen.workers``; a block that is new or gone is one leaf."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [path] if before != after else []
    names = sorted({*before, *after})
    return [
        leaf
        for name in names
        for leaf in changed(before.get(name, {}), after.get(name, {}), f"{path}.{name}".removeprefix("."))
    ]
