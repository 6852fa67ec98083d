"""The supervisor's lines, over real socket pairs."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from control.wires import LONGEST, Lines


class Pair:
    """Our end as lines, the other end as a plain socket."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.heard: list[str] = []
        end, self.other = socket.socketpair()
        self.lines = Lines(end, self.selector, self.heard.append)

    def turn(self) -> bool:
        """Do what is ready to be done; tell whether anything was."""
        ready = self.selector.select(0)
        for key, _ in ready:
            key.data()
        return bool(ready)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.lines.close()
    made.other.close()
    made.selector.close()


def test_lines_are_heard_whole_however_they_come(pair: Pair) -> None:
    for part in (b"a", b"b\nc", b"\n", b"d"):
        pair.other.sendall(part)
        pair.turn()
    assert pair.heard == ["ab", "c"]


def test_the_last_line_is_heard_before_the_end_is_seen(pair: Pair) -> None:
    pair.other.sendall(b"failed x\n")
    pair.other.close()
    while pair.lines.open:
        assert pair.turn()
    assert pair.heard == ["failed x"]


def test_a_line_without_an_end_closes(pair: Pair) -> None:
    pair.other.sendall(b"x" * (LONGEST + 1))
    pair.turn()
    assert not pair.lines.open


def test_to_an_end_that_does_not_read_whole_lines_are_sent_and_the_latest_is_among_them(pair: Pair) -> None:
    sent = [f"{number} " + "x" * 10_000 for number in range(200)]
    for line in sent:
        pair.lines.send(line)
    pair.other.settimeout(5)
    received = b""
    while not received.endswith(b"\n") or not received.split(b"\n")[-2].startswith(b"199 "):
        received += pair.other.recv(65536)
        pair.turn()
    lines = received.decode().splitlines()
    assert len(lines) < len(sent)
    assert lines == [line for line in sent if line in lines]
    assert not pair.turn()


def test_to_an_end_that_has_gone_nothing_is_sent(pair: Pair) -> None:
    pair.other.close()
    pair.lines.send("x")
    pair.lines.send("x")
    assert not pair.lines.open
