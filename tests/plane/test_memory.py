"""When a worker gives memory back."""

import pytest

from plane.memory import Trimmer, malloc_trim


@pytest.mark.parametrize(
    ("seen", "trims"),
    [
        ([0, 999, 0], 0),
        ([0, 1000, 0], 1),
        ([3000, 1501], 0),
        ([3000, 1500], 1),
        ([3000, 2000, 1000, 500, 0], 2),
        ([5000, 2000, 0], 2),
        ([5000, 0, 5000, 0], 2),
    ],
)
def test_memory_is_given_back_once_half_of_many_connections_have_gone(seen: list[int], trims: int) -> None:
    done: list[bool] = []
    trimmer = Trimmer(lambda: done.append(True))
    for connections in seen:
        trimmer.look(connections)
    assert len(done) == trims


def test_trimming_works_here() -> None:
    malloc_trim()
