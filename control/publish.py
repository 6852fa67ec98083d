"""The only writer: a config directory becomes the active snapshot here, or the old one stays."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from control.feed import Feed, Offer
from control.lastgood import SnapshotFiles
from control.log import Log
from control.prover import prove_apart
from control.secrets import resolve
from core.lastgood import Envelope
from core.snapshot import Snapshot, renumbered
from core.wire import Push, pack

__all__ = ["Active", "Applied", "Publisher", "WorkerAnswer", "active_of"]

PATIENCE = 10.0  # seconds a worker has to answer a push


class WorkerAnswer(Struct, frozen=True):
    """What one worker said to a push: ``ack``, ``nack``, ``none`` (no answer in time), or ``absent`` (not running)."""

    worker: int
    answer: Literal["ack", "nack", "none", "absent"]
    reason: str = ""


class Applied(Struct, frozen=True):
    """How an apply ended.

    result: ``active`` (every worker that runs serves it), ``same`` (it was active already, nothing was sent) or
    ``refused`` (some worker did not take it, and the version before stays). version, digest, generation of the secrets:
    of what is active now. refused_version: the number the refused snapshot had, else 0.
    """

    result: Literal["active", "same", "refused"]
    version: int
    digest: str
    generation: int
    workers: tuple[WorkerAnswer, ...] = ()
    refused_version: int = 0


class Active(Struct, frozen=True):
    """The active snapshot with what is needed to send and to save it. Make it with `active_of`.

    generation: of the secrets. source: digest of what ``--config`` said when it was applied last.
    """

    snapshot: Snapshot
    secrets: Mapping[str, str]
    generation: int
    source: str
    offer: Offer

    def envelope(self) -> Envelope:
        """Return what is saved of it, beside its sections."""
        own = self.snapshot
        return Envelope(own.version, self.generation, own.digest, self.source, own.manifest, self.secrets)

    def __repr__(self) -> str:
        own = self.snapshot
        return f"Active(version={own.version}, digest={own.digest!r}, generation={self.generation}, secrets=***)"


class Publisher:
    """Applies configs, one at a time, first come first served.

    patience: seconds the workers have to answer.
    """

    def __init__(
        self, feed: Feed, active: Active, config_path: Path, files: SnapshotFiles, log: Log, patience: float = PATIENCE
    ) -> None:
        self.active = active
        self._feed = feed
        self._config_path = config_path
        self._files = files
        self._log = log
        self._patience = patience
        self._turn = asyncio.Lock()

    async def apply(self, path: Path) -> Applied:
        """Make the config at `path` active on every worker, or on none.

        path: absolute. Raises ConfigError, with nothing sent, if it cannot be loaded, its secrets are missing, or it
        does not compile; OSError if the disk does not take it, and then nothing has changed.
        """
        async with self._turn:
            config, proved = await prove_apart(path)
            secrets = await asyncio.to_thread(resolve, config)
            digest = proved.digest
            source = digest if path == self._config_path else self.active.source
            before = self.active
            unchanged = digest == before.snapshot.digest
            same_secrets = secrets == before.secrets
            if unchanged and same_secrets:
                if source != before.source:
                    self._activate(msgspec.structs.replace(before, source=source))
                self._log("apply", result="same", version=before.snapshot.version)
                return Applied("same", before.snapshot.version, digest, before.generation)
            # New values behind the same references are the same version: the digest says what the config says.
            version = before.snapshot.version if unchanged else self._files.last_version + 1
            snapshot = before.snapshot if unchanged else renumbered(proved, version)
            # A number that was refused is spent: a worker that took it must never meet it with another meaning.
            spent = before.generation != self._files.last_generation
            generation = self._files.last_generation + 1 if spent or not same_secrets else before.generation
            await asyncio.to_thread(self._files.stage, version, generation, snapshot.sections)
            return await self._publish(active_of(snapshot, secrets, generation, source))

    def _activate(self, active: Active) -> None:
        # Not in a thread: what is on disk and what is active must not come apart when an apply is cancelled.
        self._files.commit(active.envelope())
        self.active = active

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
                self._activate(candidate)
        finally:
            if self.active is not candidate and candidate.snapshot is self.active.snapshot:
                self._take_back_secrets()
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
        own = candidate.snapshot
        self._log("apply", result=result, version=own.version, digest=own.digest, generation=candidate.generation)
        return Applied(
            result,
            self.active.snapshot.version,
            self.active.snapshot.digest,
            self.active.generation,
            answers,
            0 if taken else candidate.snapshot.version,
        )

    def _take_back_secrets(self) -> None:
        """Give the active secrets a new generation: workers that took those that were refused have a higher one."""
        before = self.active
        generation = self._files.last_generation + 1
        self.active = active_of(before.snapshot, before.secrets, generation, before.source)
        try:
            self._files.stage(before.snapshot.version, generation, {})
            self._files.commit(self.active.envelope())
        except OSError as error:
            self._log("unsaved", version=before.snapshot.version, generation=generation, reason=error)


def active_of(snapshot: Snapshot, secrets: Mapping[str, str], generation: int, source: str) -> Active:
    """Return `snapshot` with its secrets, ready to be sent and saved."""
    version, digest = snapshot.version, snapshot.digest
    push = Push(version, digest, generation, snapshot.manifest, dict(secrets))
    offer = Offer(version, digest, generation, pack(push), snapshot.sections)
    return Active(snapshot, secrets, generation, source, offer)


def _answer(index: int, said: str | None, patience: float) -> WorkerAnswer:
    if said is None:
        return WorkerAnswer(index, "none", f"no answer within {patience:g} s")
    return WorkerAnswer(index, "nack" if said else "ack", said)
