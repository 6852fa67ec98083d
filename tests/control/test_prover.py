"""The proof of a large config: the same as in the process itself, and the loop goes on."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from control import prover
from control.prove import prove
from control.prover import prove_apart
from core.errors import ConfigError

CONFIG = """
providers: {p: {dialect: openai, base_url: "http://127.0.0.1:9/v1", credential: env:SOME_KEY}}
models: {m: {targets: [{provider: p, model: x}]}}
consumers:
"""


def written(folder: Path, consumers: int, model: str = "m") -> Path:
    """Write a config of so many consumers, who may use `model`."""
    path = folder / "headgate.yaml"
    lines = [f"  c{number}: {{keys: [{{sha256: '{number:064x}'}}], models: [{model}]}}" for number in range(consumers)]
    path.write_text(CONFIG + "\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def every_config_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover, "LARGE", 0)


async def test_a_config_that_is_proved_apart_is_the_same_snapshot(tmp_path: Path) -> None:
    path = written(tmp_path, 2_000)
    ours, theirs = prove(path), await prove_apart(path)
    assert theirs.snapshot == ours.snapshot
    assert list(theirs.snapshot.sections) == list(ours.snapshot.sections)
    assert theirs.config.providers == ours.config.providers


async def test_every_problem_comes_back_as_it_was_found(tmp_path: Path) -> None:
    path = written(tmp_path, 3, model="gone")
    with pytest.raises(ConfigError) as ours:
        prove(path)
    with pytest.raises(ConfigError) as theirs:
        await prove_apart(path)
    assert theirs.value.problems == ours.value.problems
    assert len(ours.value.problems) == 3
    with pytest.raises(ConfigError, match="no such file"):
        await prove_apart(tmp_path / "missing.yaml")


async def test_the_loop_goes_on_while_a_config_is_proved(tmp_path: Path) -> None:
    proving = asyncio.create_task(prove_apart(written(tmp_path, 2_000)))
    passes = 0
    while not proving.done():
        await asyncio.sleep(0.001)
        passes += 1
    assert proving.result().snapshot.sections
    assert passes > 20


async def test_a_proof_whose_process_dies_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ConfigError, match="its proof ended with status 1 and no result"):
        await prove_apart(written(tmp_path, 1))


async def test_a_proof_that_is_given_up_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = asyncio.create_subprocess_exec
    started: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()

    async def endless(*_: str, **options: Any) -> asyncio.subprocess.Process:
        process = await begin("sleep", "600", **options)
        started.put_nowait(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", endless)
    proving = asyncio.create_task(prove_apart(written(tmp_path, 1)))
    process = await started.get()
    proving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proving
    assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
