"""Usage events on their way in: each is taken once, whoever sends it however often."""

from collections.abc import Callable

from msgspec import MsgspecError

from control.usage import UsageTable
from core.records import cut
from core.tally import Tally
from core.usage import UsageEvent, decode_event

__all__ = ["Intake"]


class Intake:
    """Takes batches of records from workers and from the rings that dead ones left.

    marks: worker index -> the highest id taken. The ids of one index only grow and come in order, so an event at or
    below its mark was taken before. damaged: records that could not be read. heard: called with each event, once.
    """

    def __init__(self, heard: Callable[[UsageEvent], None] | None = None) -> None:
        self.table = UsageTable()
        self.tally = Tally()
        self.marks: dict[int, int] = {}
        self.damaged = 0
        self.heard = heard

    def take(self, worker: int, records: bytes) -> None:
        """Take the events in `records`, all of the worker index `worker`."""
        mark = self.marks.get(worker, -1)
        for _, body in cut(records):
            try:
                event = decode_event(body or b"")
            except MsgspecError:
                self.damaged += 1
                continue
            if event.id > mark:
                mark = event.id
                self.table.add(event)
                self.tally.add(event)
                if self.heard is not None:
                    self.heard(event)
        self.marks[worker] = mark
