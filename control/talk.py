"""What the supervisor and the control process say to each other: one JSON object a line, over a socket pair."""

from typing import Literal

import msgspec
from msgspec import Struct

from core.model import Static

__all__ = [
    "FromControl",
    "Listed",
    "Ready",
    "Reload",
    "Reloaded",
    "Serving",
    "ToControl",
    "Workers",
    "from_control",
    "line",
    "to_control",
]


class Listed(Struct, frozen=True, omit_defaults=True):
    """One worker as the supervisor knows it.

    state: ``starting``; ``serving``, by its own word; ``successor``, which is to take another's place once it serves;
    ``draining``, which ends when its calls have; ``absent``, which should run and does not.
    An absent one has the reason of its last end, how often in a row it lived shortly, and the time of the next start
    (UTC, ISO 8601).
    """

    worker: int
    pid: int
    state: Literal["starting", "serving", "successor", "draining", "absent"]
    reason: str = ""
    failures: int = 0
    next_start: str = ""


class _Said(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """One line."""


class Workers(_Said, frozen=True):
    """Supervisor to control, at every change: all there are. The next list corrects whatever became of this one."""

    workers: tuple[Listed, ...]


class Reload(_Said, frozen=True):
    """Supervisor to control: read ``--config`` again and apply it. static: the static keys in force."""

    static: Static


class Reloaded(_Said, frozen=True):
    """Control to supervisor, for each `Reload`: how it ended, and the version that is active.

    result: ``active``, ``same`` (nothing has changed), ``refused`` (a worker did not take it) or ``wrong`` (the config
    has problems, which are in control's log). needs_restart: the static keys that differ from those in force.
    """

    result: Literal["active", "same", "refused", "wrong"]
    version: int
    needs_restart: tuple[str, ...] = ()


class Serving(_Said, frozen=True):
    """Control to supervisor, once: it has a config, and takes workers and calls of its API."""


class Ready(_Said, frozen=True):
    """Control to supervisor, once: every worker on the list serves the active config."""


ToControl = Workers | Reload
FromControl = Serving | Ready | Reloaded

_encoder = msgspec.json.Encoder()
_from_control: msgspec.json.Decoder[FromControl] = msgspec.json.Decoder(FromControl)
_to_control: msgspec.json.Decoder[ToControl] = msgspec.json.Decoder(ToControl)


def line(said: ToControl | FromControl) -> str:
    """Return `said` as a line, without its end."""
    return _encoder.encode(said).decode()


def from_control(text: str) -> FromControl:
    """Read a line of control; msgspec.MsgspecError if it is none."""
    return _from_control.decode(text)


def to_control(text: str | bytes) -> ToControl:
    """Read a line of the supervisor; msgspec.MsgspecError if it is none."""
    return _to_control.decode(text)
