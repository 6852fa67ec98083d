"""The parts of a provider's stream, for dialects whose events do not number them as the hub does."""

from __future__ import annotations

from plane.canonical import ArgumentsDelta, Event, PartEnded, PartStarted, TextDelta, ThinkingDelta

__all__ = ["OpenParts"]


class OpenParts:
    """Numbers the parts of one choice of a stream as they come, and ends each before the next begins.

    Tool calls may be open side by side: `call` gives the number under which `arguments` adds to one.
    """

    def __init__(self, choice: int = 0) -> None:
        self.choice = choice
        self.events: list[Event] = []
        self.count = 0
        self.kind = ""
        self.calls: list[int] = []

    def take(self) -> list[Event]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def text(self, text: str, logprobs: str = "") -> None:
        """Add words."""
        if text or logprobs:
            self._open("text")
            self.events.append(TextDelta(self.count - 1, text, logprobs, self.choice))

    def thinking(self, text: str) -> None:
        """Add to a thought."""
        if text:
            self._open("thinking")
            self.events.append(ThinkingDelta(self.count - 1, text, self.choice))

    def call(self, call_id: str, name: str) -> int:
        """Begin a tool call and return its number."""
        if self.kind:
            self.close()
        index = self.count
        self.count += 1
        self.calls.append(index)
        self.events.append(PartStarted(index, "tool_call", call_id, name, choice=self.choice))
        return index

    def arguments(self, index: int, text: str) -> None:
        """Add to the arguments of tool call `index`; to one that has ended nothing is added."""
        if text and index in self.calls:
            self.events.append(ArgumentsDelta(index, text, self.choice))

    def end_call(self, index: int) -> None:
        """End tool call `index`."""
        if index in self.calls:
            self.calls.remove(index)
            self.events.append(PartEnded(index, self.choice))

    def close(self) -> None:
        """End whatever is open."""
        if self.kind:
            self.kind = ""
            self.events.append(PartEnded(self.count - 1, self.choice))
        for index in self.calls:
            self.events.append(PartEnded(index, self.choice))
        self.calls.clear()

    def _open(self, kind: str) -> None:
        if self.kind != kind:
            self.close()
            self.kind = kind
            self.events.append(PartStarted(self.count, "text" if kind == "text" else "thinking", choice=self.choice))
            self.count += 1
