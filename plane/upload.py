"""Forms with files: sent on while they come, so that a file is never held whole.

The body is held until the field that names the model has come (clients write it first, mostly); a form that names none,
as that of a file to be kept, is not held at all. From then on each part goes to the provider as it comes, and the
caller is read no faster than the provider takes it. What has been sent so is gone: such a call is not tried again.
"""

from __future__ import annotations

from core.errors import GatewayError
from core.splice import replace
from plane.exchange import Exchange
from plane.multipart import Form, boundary_of
from plane.runtime import Target

__all__ = ["Upload", "forward", "open_form", "read_form", "write_form"]

MODEL = b"model"
STREAM = b"stream"


class Upload:
    """One form on its way.

    content_type: as the caller sent it, with the boundary. moved: parts have been sent on that are not in the
    exchange's `body`. chunked: the length was not told.
    """

    def __init__(self, content_type: bytes) -> None:
        self.content_type = content_type
        self.form = Form(boundary_of(content_type))
        self.held = bytearray()
        self.moved = False
        self.chunked = False

    def lines(self, exchange: Exchange, size: int) -> bytes:
        """Return the lines of the request's head that tell what its body is.

        size: of what is sent at once, in place of the exchange's `body`.
        """
        self.chunked = not exchange.body_complete and exchange.content_length < 0
        kind = b"content-type: %b\r\n" % self.content_type
        if self.chunked:
            return kind + b"transfer-encoding: chunked\r\n"
        rest = 0 if exchange.body_complete else exchange.content_length - len(exchange.body)
        return kind + b"content-length: %d\r\n" % (size + rest)

    def framed(self, data: bytes) -> bytes:
        """Return a part of the body as it goes out."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data


async def open_form(exchange: Exchange) -> None:
    """Wait until the form has named its model, or is whole; what has come stands in `body_parts` then.

    The rest stays with the caller until `forward` asks for it. Where the route needs no model there is no wait.
    """
    upload = exchange.upload = Upload(content_type_of(exchange))
    while not exchange.route.pinned:
        for part in exchange.body_parts:
            upload.held += part
        exchange.body_parts = []
        upload.form.read(upload.held)
        if exchange.body_complete or MODEL in upload.form.fields:
            break
        await exchange
    if upload.held:
        exchange.body_parts = [bytes(upload.held)]
        upload.held.clear()
    if not exchange.body_complete:
        exchange.downstream.hold_body()


def content_type_of(exchange: Exchange) -> bytes:
    """Return the value of the request's Content-Type field."""
    for name, value in exchange.headers:
        if name.lower() == b"content-type":
            found: bytes = value
            return found
    return b""


def read_form(exchange: Exchange) -> None:
    """Note what the form asks for; GatewayError 400 where it names no model."""
    fields = exchange.upload.form.fields
    if MODEL not in fields:
        raise GatewayError(400, "invalid_form", "caller", "The form has no field 'model'.", param="model")
    start, end = fields[MODEL]
    exchange.model_name = exchange.body[start:end].decode("utf-8", "replace").strip()
    exchange.edits = [(start, end)]
    start, end = fields.get(STREAM, (0, 0))
    exchange.stream = exchange.body[start:end].strip().lower() == b"true"


def write_form(exchange: Exchange, target: Target) -> bytes:
    """Return what has come of the form, with the name that the target knows the model by."""
    return replace(exchange.body, exchange.edits[0], target.model.encode())


def forward(exchange: Exchange) -> None:
    """Send on what has come since, and let more come if the provider takes it."""
    upload = exchange.upload
    upstream = exchange.upstream
    if upstream is None or not upstream.unsent:
        return
    parts = exchange.body_parts
    if parts or exchange.body_complete:
        data = b"".join(parts)
        exchange.body_parts = []
        exchange.hold(-len(data))
        upload.moved = True
        end = b"0\r\n\r\n" if upload.chunked and exchange.body_complete else b""
        upstream.send_more(upload.framed(data) + end, exchange.body_complete)
    if exchange.body_complete:
        return
    if upstream.full:
        exchange.downstream.hold_body()
    else:
        exchange.downstream.let_body()
