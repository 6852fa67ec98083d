"""KServe's Open Inference Protocol, version 2, over REST: any model with named tensors, passed through and metered.

The model stands in the path; bodies are not looked at. Format: the specification ``Predict Protocol - Version 2`` of
KServe, which Triton, MLServer, TorchServe and OpenVINO speak.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from core.errors import GatewayError
from core.sse import EventScan
from plane.canonical import Fault
from plane.dialect import Dialect, Operation
from plane.exchange import Exchange
from plane.runtime import Target
from plane.usage import Usage

__all__ = ["KServe", "Options", "build"]

START = b"/v2/models/"
END = b"/infer"


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """KServe's dialect has no options."""


class Said(Struct):
    """The body of an error answer."""

    error: str = ""


class KServe(Dialect):
    """The dialect, as a set of pure functions over exchanges."""

    name = "kserve"
    operations = (Operation("kserve.infer", "/v2/models/{model}/infer", False, "infer"),)
    prefixes = ("",)

    def credential_line(self, secret: str) -> bytes:
        """Return the header line that carries a provider's credential."""
        return b"authorization: Bearer %b\r\n" % secret.encode()

    def path(self, operation: Operation, model: str, stream: bool) -> str:
        """Return where the model is asked."""
        return operation.path.replace("{model}", quote(model, safe=""))

    def read(self, exchange: Exchange) -> None:
        """Find the model in the path."""
        name = exchange.path.removeprefix(START).removesuffix(END)
        exchange.model_name = unquote(name.decode("ascii"))

    def write(self, exchange: Exchange, target: Target) -> bytes:
        """Return the body as it came."""
        body: bytes = exchange.body
        return body

    def scan(self, exchange: Exchange) -> EventScan:
        """Return what reads events, should there be any."""
        return EventScan()

    def usage(self, exchange: Exchange) -> Usage | None:
        """Return one unit for each inference that succeeded: there are no tokens."""
        return Usage(0, 0, units=1) if exchange.answer_status < 300 else None

    def read_fault(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
        """Return what an error answer says."""
        try:
            message = msgspec.json.decode(body, type=Said).error
        except msgspec.MsgspecError:
            message = ""
        return Fault(status, message or f"The model's server answered {status}.")

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an error answer."""
        return msgspec.json.encode({"error": f"{error.message} {error.hint}" if error.hint else error.message})

    def error_event(self, error: GatewayError) -> bytes:
        """Return nothing: there are no streams."""
        return b""


def build(_: Options) -> KServe:
    """Return the dialect."""
    return KServe()
