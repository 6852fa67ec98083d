"""Usage that several events tell of is counted with the first of them: see `core.usage.Detail.once`."""

from collections import deque
from hashlib import blake2b

import msgspec

from core.usage import Detail, UsageEvent

__all__ = ["Once"]

ROOM = 65_536
"""So many are remembered; a usage that is told again after as many others would be counted again."""
SIZE = 8


class Once:
    """Remembers by their digests which usages were counted."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._order: deque[bytes] = deque()
        self._known: set[bytes] = set()

    def counted(self, event: UsageEvent) -> UsageEvent:
        """Return the event as it is to be counted: without usage and cost, if these were counted before."""
        if event.detail is None or not event.detail.once:
            return event
        told = event.detail
        digest = blake2b(told.once.encode(), digest_size=SIZE).digest()
        if digest in self._known:
            return msgspec.structs.replace(
                event,
                input_total=0,
                output_total=0,
                cache_read=0,
                reasoning=0,
                cost_nano=0,
                detail=Detail(requested=told.requested, explanation=told.explanation, once=told.once),
            )
        self._remember(digest)
        return event

    def _remember(self, digest: bytes) -> None:
        if len(self._order) >= self._room:
            self._known.discard(self._order.popleft())
        self._order.append(digest)
        self._known.add(digest)

    def saved(self) -> bytes:
        """Return what is remembered, oldest first, for `resume`."""
        return b"".join(self._order)

    def resume(self, saved: bytes) -> None:
        """Go on with what `saved` returned."""
        for at in range(0, len(saved) - SIZE + 1, SIZE):
            self._remember(saved[at : at + SIZE])
