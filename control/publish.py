"""The only writer: a config directory becomes the active snapshot here, or the old one stays."""

import asyncio
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from control.feed import Feed, Offer
from control.log import Log
from control.prove import prove
from control.secrets import resolve
from core.errors import ConfigError, SnapshotError
from core.model import Config
from core.snapshot import Snapshot, assemble, entries_of, renumbered
from core.wire import Push, pack

__all__ = ["Active", "Applied", "Publisher", "WorkerAnswer", "offer_of", "resume"]

SAVED = "active"
PATIENCE = 10.0  # seconds a worker has to answer a push


class WorkerAnswer(Struct, frozen=True):
    """What one worker said to a push: ``ack``, ``nack``, ``none`` (no answer in time), or ``absent`` (not running)."""

    worker: int
    answer: Literal["ack", "nack", "none", "absent"]
    reason: str = ""


class Applied(Struct, frozen=True):
    """How an apply ended.

    result: ``active`` (every worker that runs serves it), ``same`` (it was active already, nothing was sent) or
    ``refused`` (some worker did not take it, and the version before stays). version and digest: of what is active now.
    refused_version: the number the refused snapshot had, else 0.
    """

    result: Literal["active", "same", "refused"]
    version: int
    digest: str
    workers: tuple[WorkerAnswer, ...] = ()
    refused_version: int = 0


class Active(Struct, frozen=True):
    """The active snapshot with what is needed to send it. source: digest of what ``--config`` last said."""

    snapshot: Snapshot
    secrets: Mapping[str, str]
    offer: Offer
    source: str

    def __repr__(self) -> str:
        return f"Active(version={self.snapshot.version}, digest={self.snapshot.digest!r}, secrets=***)"


class _Saved(Struct, frozen=True):
    """DATA/active: what a restarted control process goes on with; references to secrets, never their values."""

    source: str
    manifest: bytes
    sections: list[bytes]


def resume(config_path: Path, data: Path, log: Log) -> Active:
    """Return what to serve at start: the saved snapshot, unless ``--config`` says something new since it was saved.

    So neither a restart nor a crash undoes an apply. While a saved snapshot can be used, a config that is broken or
    whose secrets are missing by now is logged and left alone: serving on comes first. Else it is a ConfigError.
    """
    saved = _read_saved(data, log)
    try:
        config, snapshot = prove(config_path)
        source = snapshot.digest
        if saved is None:
            return _activate(data, snapshot, resolve(config), source)
        before, last_source = saved
        if source in (last_source, before.digest):
            return _activate(data, before, _secrets(before), source)
        return _activate(data, renumbered(snapshot, before.version + 1), resolve(config), source)
    except ConfigError as error:
        if saved is None:
            raise
        for problem in error.problems:
            log("config-problem", problem=problem)
        before, last_source = saved
        active = _activate(data, before, _secrets(before), last_source)
        log("resumed", version=before.version, reason="the config is broken; the saved snapshot serves on")
        return active


class Publisher:
    """Applies configs, one at a time, first come first served.

    patience: seconds the workers have to answer.
    """

    def __init__(
        self, feed: Feed, active: Active, config_path: Path, data: Path, log: Log, patience: float = PATIENCE
    ) -> None:
        self.active = active
        self._feed = feed
        self._config_path = config_path
        self._data = data
        self._log = log
        self._patience = patience
        self._turn = asyncio.Lock()
        self._last_version = active.snapshot.version

    async def apply(self, path: Path) -> Applied:
        """Make the config at `path` active on every worker, or on none.

        path: absolute. Raises ConfigError, with nothing sent, if it cannot be loaded, its secrets are missing, or it
        does not compile.
        """
        async with self._turn:
            # In a thread: parsing 100,000 consumers takes seconds, and status must answer meanwhile.
            config, proved = await asyncio.to_thread(prove, path)
            secrets = await asyncio.to_thread(resolve, config)
            digest = proved.digest
            source = digest if path == self._config_path else self.active.source
            unchanged = digest == self.active.snapshot.digest
            if unchanged and secrets == self.active.secrets:
                self._log("apply", result="same", version=self.active.snapshot.version)
                return Applied("same", self.active.snapshot.version, digest)
            # New values behind the same references are the same version: the digest says what the config says.
            if unchanged:
                snapshot = self.active.snapshot
            else:
                # A refused version's number is spent, so that one number never means two snapshots.
                self._last_version += 1
                snapshot = renumbered(proved, self._last_version)
            return await self._publish(Active(snapshot, secrets, offer_of(snapshot, secrets), source))

    async def _publish(self, candidate: Active) -> Applied:
        offer = candidate.offer
        workers, absent = self._feed.expected(), self._feed.absent()
        self._feed.propose(offer)
        try:
            await self._feed.answered(offer, workers, self._patience)
            # One that has ended or begun to drain since, and has not answered, has no say.
            gone = workers - self._feed.expected() - offer.answers.keys()
            workers, absent = workers - gone, absent | gone
            if all(offer.answers.get(index) == "" for index in workers):
                _save(self._data, candidate)
                self.active = candidate
        finally:
            # Also when the apply is cancelled: what is not active is taken back.
            self._feed.settle(self.active.offer)
        taken = self.active is candidate
        if not taken:
            took = {index for index in workers if offer.answers.get(index) == ""}
            await self._feed.holding(self.active.offer, took, self._patience)
        answers = tuple(
            WorkerAnswer(index, "absent", "it is not running; it gets the active snapshot when it starts")
            if index in absent
            else _answer(index, offer.answers.get(index), self._patience)
            for index in sorted(workers | absent)
        )
        result: Literal["active", "refused"] = "active" if taken else "refused"
        self._log("apply", result=result, version=candidate.snapshot.version, digest=candidate.snapshot.digest)
        return Applied(
            result,
            self.active.snapshot.version,
            self.active.snapshot.digest,
            answers,
            0 if taken else candidate.snapshot.version,
        )


def offer_of(snapshot: Snapshot, secrets: Mapping[str, str]) -> Offer:
    """Return `snapshot` ready to be sent."""
    push = Push(snapshot.version, snapshot.digest, snapshot.manifest, dict(secrets))
    return Offer(snapshot.version, snapshot.digest, pack(push), snapshot.sections)


def _secrets(snapshot: Snapshot) -> Mapping[str, str]:
    return resolve(Config(providers=dict(entries_of(snapshot, "providers"))))


def _answer(index: int, said: str | None, patience: float) -> WorkerAnswer:
    if said is None:
        return WorkerAnswer(index, "none", f"no answer within {patience:g} s")
    return WorkerAnswer(index, "nack" if said else "ack", said)


def _activate(data: Path, snapshot: Snapshot, secrets: Mapping[str, str], source: str) -> Active:
    active = Active(snapshot, secrets, offer_of(snapshot, secrets), source)
    _save(data, active)
    return active


def _save(data: Path, active: Active) -> None:
    """Replace DATA/active in one step that survives a loss of power."""
    snapshot = active.snapshot
    written = msgspec.msgpack.encode(_Saved(active.source, snapshot.manifest, list(snapshot.sections.values())))
    new = data / f"{SAVED}.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(written)
        file.flush()
        os.fsync(handle)
    new.replace(data / SAVED)
    directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_saved(data: Path, log: Log) -> tuple[Snapshot, str] | None:
    try:
        saved = msgspec.msgpack.decode((data / SAVED).read_bytes(), type=_Saved)
        sections = {sha256(section).digest(): section for section in saved.sections}
        return assemble(saved.manifest, sections), saved.source
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, SnapshotError) as error:
        log("saved-unusable", file=str(data / SAVED), reason=str(error), then="starting from the config")
        return None
