"""granian, embedded in the control process, on sockets that the supervisor has bound; see docs/adr/0007."""

from typing import Any

from granian.constants import Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server
from litestar import Litestar

__all__ = ["AdminServer"]


class AdminServer(Server):
    """Serves an application on an inherited listening socket; `unix` says of which kind it is."""

    def __init__(self, target: Litestar, handle: int, *, unix: bool = True) -> None:
        super().__init__(target, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
        self._inherited = handle
        self._unix = unix

    def _init_shared_socket(self) -> None:
        # What granian's own method sets after it has bound; its stubs know neither the arguments nor the attributes.
        self._shd: Any = SocketHolder(self._inherited, self._unix, self.backlog)  # type: ignore[call-arg]
        self._sfd: Any = self._inherited
        self._ssp = None
