"""Every kept input still keeps the promise of its target; what a fuzz run has found stands among them."""

import pytest

from tests.fuzz.__main__ import TARGETS, target
from tests.fuzz.engine import Watched, corpus_of


@pytest.mark.parametrize(("name", "file"), [(name, file) for name in TARGETS for file in corpus_of(name)])
def test_a_kept_input_breaks_no_promise(name: str, file: str) -> None:
    Watched(target(name)).check(corpus_of(name)[file])


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_a_corpus_that_makes_different_things_happen(name: str) -> None:
    watched = Watched(target(name))
    assert len({watched.check(data) for data in corpus_of(name).values()}) >= 4
