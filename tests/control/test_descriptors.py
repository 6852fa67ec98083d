"""How many connections fit into the open files there are."""

import resource
import subprocess
import sys

import pytest

from control.datadir import DataError
from control.descriptors import connections


@pytest.mark.parametrize(
    ("asked", "files", "found"),
    [(None, 1024, 512), (None, 20_000, 10_000), (None, 2**31, 10_000), (None, 1, 1), (512, 1024, 512), (9, 2**31, 9)],
)
def test_connections_are_as_many_as_asked_for_or_10_000_within_half_of_the_files(
    asked: int | None, files: int, found: int
) -> None:
    assert connections(asked, files) == found


def test_more_connections_than_half_of_the_files_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"513 needs 1026 open files .* allows 1024; raise .* ask for 512 at"):
        connections(513, 1024)


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    program = "import resource, control.descriptors as d; print(d.raise_limit(), *resource.getrlimit(7))"
    assert resource.RLIMIT_NOFILE == 7

    def lowered() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lowered,
    )
    assert done.stdout.split() == ["512", "512", "512"]
