"""The spill alone: what the next process finds in it after a crash."""

from pathlib import Path

import pytest

from core.ring import Ring, ring_size
from plane.spill import Spill
from tests.ledgers import records_of
from tests.usage_events import event

WHOLE = records_of(event(1), event(2))
PLENTY = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.spill"


@pytest.fixture
def ring() -> Ring:
    return Ring(bytearray(ring_size(PLENTY)))


def test_a_spill_outlives_its_ring_without_the_record_that_was_torn(path: Path, ring: Ring) -> None:
    path.write_bytes(WHOLE + WHOLE[:20])
    spill = Spill(path, ring)
    assert spill.read(PLENTY) == WHOLE
    assert path.stat().st_size == len(WHOLE)
    spill.close()


def test_a_limit_below_one_record_yields_one_all_the_same(path: Path, ring: Ring) -> None:
    spill = Spill(path, ring)
    assert spill.append(WHOLE)
    assert spill.read(10) == records_of(event(1))
    spill.close()


def test_a_spill_in_which_no_record_can_be_found_is_given_up_and_said_so(
    path: Path, ring: Ring, caplog: pytest.LogCaptureFixture
) -> None:
    spill = Spill(path, ring)
    assert spill.append(WHOLE)
    with path.open("r+b") as file:
        file.write(b"\xff" * 8)
    assert spill.read(PLENTY) == b""
    assert [line.message for line in caplog.records] == ["spill-damaged"]
    assert path.stat().st_size == 0
    assert spill.append(WHOLE)
    assert spill.read(PLENTY) == WHOLE
    spill.close()
