"""What tests of the whole pipeline start from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from plane import call, failover
from plane.overload import Gauge
from tests.plane.rig import Gateway
from tests.plane.scenes import SECRETS, Clock, Scene


class Starter(Protocol):
    """Starts a gateway with a config, and with caps where a test is about them."""

    def __call__(
        self, config: Mapping[str, Any], gauge: Gauge | None = None, secrets: Mapping[str, str] | None = None
    ) -> Gateway: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Return what starts a gateway with a config; its files are closed at the end."""
    started: list[Gateway] = []

    def starter(
        config: Mapping[str, Any], gauge: Gauge | None = None, secrets: Mapping[str, str] | None = None
    ) -> Gateway:
        started.append(Gateway(tmp_path, config, secrets, gauge))
        return started[-1]

    yield starter
    for gateway in started:
        gateway.shared.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(failover, "monotonic_ns", made)
    monkeypatch.setattr(call, "monotonic_ns", made)
    return made


@pytest.fixture
def scene(start: Starter) -> Any:
    """Return what makes a scene of a config."""

    def make(config: dict[str, Any]) -> Scene:
        return Scene(start(config, secrets=SECRETS))

    return make
