"""The examples: each is a config that a gateway would serve, and the README shows one as it is."""

from pathlib import Path

import pytest

from control.load import load
from control.secrets import references
from core.snapshot import build
from plane.compile import compile_snapshot, known_words

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*/headgate.yaml"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_loads_and_compiles_with_all_it_names(path: Path) -> None:
    loaded = load(path.parent, known_words())
    secrets = dict.fromkeys(references(loaded.config), "value")
    snapshot = build(loaded.config, 1)
    runtime = compile_snapshot(snapshot, secrets)
    assert runtime.digest == snapshot.digest
    assert runtime.models.keys() == loaded.config.models.keys()
    assert all(runtime.consumers.named(name) for name in loaded.config.consumers)


def test_the_readme_shows_the_config_for_a_real_provider_whole() -> None:
    config = (ROOT / "examples" / "openai" / "headgate.yaml").read_text()
    assert f"```yaml\n{config}```\n" in (ROOT / "README.md").read_text()
