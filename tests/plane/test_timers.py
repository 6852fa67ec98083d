"""The deadlines of a worker, looked at with chosen times."""

import pytest

from plane.timers import Timed, Timers


class Item(Timed):
    """Records when it expired, and does what the test asks for then."""

    def __init__(self, due: int) -> None:
        self.due = due
        self.expired: list[tuple[int, int]] = []
        self.then = lambda: None

    def expire(self, now: int) -> None:
        self.expired.append((now, self.due))
        self.then()


def timers(*items: Timed) -> Timers:
    made = Timers()
    for item in items:
        made.add(item)
    return made


def test_an_item_expires_at_its_deadline_and_not_before() -> None:
    item = Item(100)
    wheel = timers(item)
    wheel.run(99)
    assert item.expired == []
    wheel.run(100)
    assert item.expired == [(100, 0)]


def test_an_item_expires_once_for_each_deadline() -> None:
    item = Item(100)
    wheel = timers(item)
    wheel.run(100)
    wheel.run(101)
    assert len(item.expired) == 1
    item.due = 200
    wheel.run(200)
    assert len(item.expired) == 2


def test_an_item_without_deadline_never_expires() -> None:
    item = Item(0)
    timers(item).run(2**63 - 1)
    assert item.expired == []


def test_an_item_is_looked_at_once_however_often_it_is_added() -> None:
    item = Item(1)
    wheel = timers(item, item)
    wheel.add(item)
    assert len(wheel) == 1
    wheel.run(1)
    assert len(item.expired) == 1


def test_an_item_that_is_discarded_does_not_expire_and_need_not_be_known() -> None:
    item = Item(1)
    wheel = timers(item)
    wheel.discard(item)
    wheel.discard(item)
    wheel.run(1)
    assert item.expired == []
    assert len(wheel) == 0


def test_items_may_come_and_go_while_others_expire() -> None:
    items = [Item(1) for _ in range(10)]
    late = Item(1)
    wheel = timers(*items)
    for item in items:
        item.then = lambda item=item: (wheel.discard(item), wheel.add(late))  # type: ignore[misc]
    wheel.run(1)
    assert [len(item.expired) for item in items] == [1] * 10
    assert late.expired == []
    wheel.run(2)
    assert late.expired == [(2, 0)]


@pytest.mark.parametrize("moved", [0, 500])
def test_a_deadline_that_another_expiry_moved_is_not_up(moved: int) -> None:
    first, second = Item(1), Item(1)

    def move(other: Item) -> None:
        other.due = moved

    first.then = lambda: move(second)
    second.then = lambda: move(first)
    wheel = timers(first, second)
    wheel.run(1)
    assert len(first.expired) + len(second.expired) == 1


def test_only_what_has_a_deadline_is_taken() -> None:
    with pytest.raises(TypeError):
        Timers().add(object())  # type: ignore[arg-type]
