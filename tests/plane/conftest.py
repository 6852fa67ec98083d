"""What tests of the whole pipeline start from."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.plane.rig import Gateway

Starter = Callable[[Mapping[str, Any]], Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Return what starts a gateway with a config; its files are closed at the end."""
    started: list[Gateway] = []

    def starter(config: Mapping[str, Any]) -> Gateway:
        started.append(Gateway(tmp_path, config))
        return started[-1]

    yield starter
    for gateway in started:
        gateway.shared.close()
