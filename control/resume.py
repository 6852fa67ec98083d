"""What control starts with: what was active last, unless ``--config`` says something new since."""

from collections.abc import Mapping
from pathlib import Path

from control.lastgood import SnapshotFiles
from control.log import Log
from control.prove import prove
from control.publish import Active, active_of
from control.secrets import look_up, resolve
from core.errors import ConfigError
from core.lastgood import Envelope
from core.snapshot import renumbered

__all__ = ["resume"]


def resume(config_path: Path, files: SnapshotFiles, log: Log) -> Active:
    """Return what to serve at start: what was saved last, unless ``--config`` says something new since then.

    So neither a restart nor a crash undoes an apply. While a saved snapshot can be used, a config that is broken or
    whose secrets are missing by now is logged and left alone: serving on comes first. Else it is a ConfigError.
    """
    saved = files.newest()
    if saved is None:
        config, proved = prove(config_path)
        snapshot = renumbered(proved, files.last_version + 1)
        return _start(files, log, active_of(snapshot, resolve(config), files.last_generation + 1, proved.digest))
    envelope = saved.envelope
    source = envelope.source
    try:
        config, proved = prove(config_path)
        source = proved.digest
        if source not in (envelope.source, envelope.digest):
            fresh = resolve(config)
            snapshot = renumbered(proved, files.last_version + 1)
            return _start(files, log, active_of(snapshot, fresh, _generation(files, envelope, fresh), source))
    except ConfigError as error:
        source = envelope.source
        _complain(log, error)
        log("resumed", version=envelope.version, reason="the config cannot be used; the saved snapshot serves on")
    snapshot, secrets = saved.snapshot, _current(envelope, log)
    if snapshot.version < files.active_version:
        # What was active is lost, and this is older: going back is a new version, never an old one again.
        snapshot = renumbered(snapshot, files.last_version + 1)
        log("went-back", lost=files.active_version, to=envelope.version, version=snapshot.version)
    return _start(files, log, active_of(snapshot, secrets, _generation(files, envelope, secrets), source))


def _current(envelope: Envelope, log: Log) -> Mapping[str, str]:
    """Return what the saved references stand for by now; what was saved with them, if that cannot be said of all."""
    try:
        return look_up(dict.fromkeys(envelope.secrets, "saved"))
    except ConfigError as error:
        _complain(log, error)
        log("resumed", version=envelope.version, reason="secrets are missing; the saved ones serve on")
        return envelope.secrets


def _generation(files: SnapshotFiles, envelope: Envelope, secrets: Mapping[str, str]) -> int:
    """Return the generation of `secrets`: the saved one, unless they changed, or a worker may have newer ones."""
    same = dict(secrets) == dict(envelope.secrets) and envelope.generation == files.last_generation
    return envelope.generation if same else files.last_generation + 1


def _start(files: SnapshotFiles, log: Log, active: Active) -> Active:
    snapshot = active.snapshot
    try:
        files.stage(snapshot.version, active.generation, snapshot.sections)
        files.commit(active.envelope())
    except OSError as error:
        # Serving comes first; the next start then goes on with what was saved before.
        log("unsaved", version=snapshot.version, generation=active.generation, reason=error)
    return active


def _complain(log: Log, error: ConfigError) -> None:
    for problem in error.problems:
        log("config-problem", problem=problem)
