"""Claude at the clouds: Anthropic's bodies, but that the path names the model and the body the version.

What a caller of Anthropic's own dialect sends goes there value by value as it is; only members at the top level come
and go. Sources: AWS's and Google's pages on Claude, and the clients for both in Anthropic's Python SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from plane.canonical import Carry, Request
from plane.dialects._anthropic_chat import Chat
from plane.exchange import Exchange

__all__ = ["HostedChat", "field_of", "hosted"]

_members = msgspec.json.Decoder(dict[str, Raw])


def hosted(body: bytes, version: str, without: tuple[str, ...], more: dict[str, Any] | None = None) -> bytes:
    """Return a body of Messages as a host takes it: with its version, without some members.

    more: further members, where they are not there already.
    """
    members: dict[str, Any] = {"anthropic_version": version, **(more or {}), **_members.decode(body)}
    for name in without:
        members.pop(name, None)
    return msgspec.json.encode(members)


def field_of(exchange: Exchange, name: bytes) -> str:
    """Return the value of a caller's header field, in lower case its name; "" where it is not there."""
    values = [value.decode("latin-1") for field, value in exchange.headers if field.lower() == name]
    return ",".join(values)


class HostedChat(Chat):
    """Calls of Claude through the hub, at a host with this version; `without`: members that it does not take."""

    def __init__(self, thinking: str, system_turns: bool, version: str, without: tuple[str, ...]) -> None:
        super().__init__(thinking, system_turns)
        self._version = version
        self._without = without

    def write_request(self, request: Request, carry: Carry) -> bytes:
        """Return the body for a provider."""
        return hosted(super().write_request(request, carry), self._version, self._without)
