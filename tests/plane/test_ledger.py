"""What a worker keeps for control."""

from core.wire import UsageEvent
from plane.ledger import Ledger


def event(sequence: int) -> UsageEvent:
    """Return an event that is told apart by its number."""
    return UsageEvent(
        0, "boot", sequence, 0, "", "", "", "", "", "", 200, "", False, 1, 0, 0, 0, 0, 0, 0, False
    )  # fmt: skip


def test_events_are_taken_once_and_in_order() -> None:
    ledger = Ledger(1, "boot")
    for number in range(3):
        ledger.append(event(number))
    assert [item.seq for item in ledger.take()] == [0, 1, 2]
    assert ledger.take() == []


def test_events_that_control_did_not_get_come_before_later_ones() -> None:
    ledger = Ledger(1, "boot")
    ledger.append(event(0))
    taken = ledger.take()
    ledger.append(event(1))
    ledger.put_back(taken)
    assert [item.seq for item in ledger.take()] == [0, 1]


def test_a_full_ledger_counts_what_it_drops() -> None:
    ledger = Ledger(1, "boot", limit=2)
    for number in range(5):
        ledger.append(event(number))
    assert ledger.dropped == 3
    assert [item.seq for item in ledger.take()] == [0, 1]
    ledger.append(event(5))
    assert ledger.dropped == 3


def test_sequence_numbers_and_request_ids_are_never_given_twice() -> None:
    ledger = Ledger(7, "0123456789abcdef")
    assert [ledger.next_sequence() for _ in range(3)] == [1, 2, 3]
    ids = [ledger.next_id() for _ in range(20)]
    assert len(set(ids)) == 20
    assert ids[0] == b"hg-01234567-7-1"
    assert set(ids).isdisjoint(Ledger(7, "fedcba9876543210").next_id() for _ in range(20))
    assert set(ids).isdisjoint(Ledger(6, "0123456789abcdef").next_id() for _ in range(20))
