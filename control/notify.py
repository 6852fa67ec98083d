"""What the supervisor tells the service manager that started it, by systemd's protocol: sd_notify(3).

Each message is one datagram of ``NAME=VALUE`` lines to the socket named by ``NOTIFY_SOCKET``. Where there is none,
nothing is sent.
"""

import os
import socket
import time
from collections.abc import MutableMapping

__all__ = ["ServiceManager"]


class ServiceManager:
    """The way to the service manager.

    environment: its variables are taken out of it, so that no child takes itself for the one to report.
    watchdog: seconds between two signs of life, half of what is asked for; None if none is.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        limit, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        asked = bool(self._address) and limit.isdecimal() and pid in ("", str(os.getpid()))
        self.watchdog = int(limit) / 2e6 if asked else None
        self._status = ""
        self._is_ready = False

    def ready(self) -> None:
        """Say, until it has been heard once, that the start is over."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1")

    def reloading(self) -> None:
        """Say that a reload has begun; `reloaded` says that it is over."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Say that the reload is over."""
        self._is_ready = self._send("READY=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say in one line how things are, if that is new."""
        if text != self._status and self._send(f"STATUS={text}"):
            self._status = text

    def _send(self, message: str) -> bool:
        """Send a message; tell whether it is through."""
        if not self._address:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            try:
                end.sendto(message.encode(), self._address)
            except OSError:
                return False  # A service manager that is away or busy must not hold up the gateway.
        return True
