"""plane.log: lines that look like those of the other processes and never break."""

import logging
import re
import sys

import pytest

from control.log import line
from plane.log import Lines


def written(message: str, *args: object, error: bool = False, **fields: object) -> str:
    """Return the line of one record."""
    trouble = sys.exc_info() if error else None
    record = logging.LogRecord("headgate.plane", logging.WARNING, "f.py", 1, message, args, trouble)
    if fields:
        record.fields = fields
    return Lines("worker-3").format(record)


def test_a_line_looks_like_one_of_the_control_process() -> None:
    ours = written("serving", version=7, path="/a b")
    theirs = line("worker-3", "serving", version=7, path="/a b")
    assert re.fullmatch(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*", ours)
    assert ours.split(" ", 1)[1] == theirs.split(" ", 1)[1].replace(" event=", " level=warning event=")


@pytest.mark.parametrize("text", ["two words", "a\nb", 'say "no"', "\u00e9\u2028", "", "a=b"])
def test_what_could_break_a_line_is_quoted(text: str) -> None:
    said = written("%s", text, value=text)
    assert len(said.splitlines()) == 1
    assert said.split(" ", 1)[1] == line("worker-3", text, value=text).split(" ", 1)[1].replace(
        " event=", " level=warning event="
    )


def test_a_traceback_is_one_value() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        said = written("it failed", error=True)
    assert len(said.splitlines()) == 1
    assert ' error="ValueError: first\\nsecond" traceback="Traceback' in said
