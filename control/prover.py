"""The proof of a large config in a process of its own, so that control answers and feeds workers meanwhile.

Parsing 100,000 consumers takes seconds, and the YAML parser is C that lets no other thread run for a second of them.
``python -m control.prover PATH`` writes what `prove` found to its standard output.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from control.prove import Proof, prove
from core.errors import ConfigError
from core.model import Config
from core.snapshot import Snapshot, entries_of, parse

__all__ = ["prove_apart"]

LARGE = 1 << 20
"""Bytes of YAML from which a process is worth its start; less holds up the others for some hundredths of a second."""


class _Said(Struct, frozen=True):
    """What the process found: `problems`, or else a snapshot. sections: in the order of the manifest."""

    problems: tuple[str, ...]
    manifest: bytes = b""
    sections: tuple[bytes, ...] = ()


async def prove_apart(path: Path) -> Proof:
    """Return what `prove` does while the loop goes on, of the config's parts only the providers; else as `prove`."""
    if await asyncio.to_thread(_size, path) < LARGE:
        return await asyncio.to_thread(prove, path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "control.prover", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        written, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    try:
        said = msgspec.msgpack.decode(written, type=_Said)
    except msgspec.MsgspecError:
        reason = f"its proof ended with status {process.returncode} and no result; the log may say why"
        raise ConfigError([f"{path}: {reason}"]) from None
    if said.problems:
        raise ConfigError(list(said.problems))
    manifest = parse(said.manifest)
    sections = {part.digest: section for part, section in zip(manifest.parts, said.sections, strict=True)}
    snapshot = Snapshot(manifest.version, manifest.digest, said.manifest, sections)
    return Proof(Config(providers=dict(entries_of(snapshot, "providers"))), snapshot)


def _size(path: Path) -> int:
    """Return the bytes of the config at `path`; 0 where it cannot be read, which `prove` tells."""
    try:
        files = path.glob("*.yaml") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def _found(path: Path) -> _Said:
    try:
        snapshot = prove(path).snapshot
    except ConfigError as error:
        return _Said(tuple(error.problems))
    return _Said((), snapshot.manifest, tuple(snapshot.sections.values()))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(_found(Path(sys.argv[1]))))
