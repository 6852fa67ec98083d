"""Takes the gateway's own credential out of what a provider says, however the bytes are cut."""

__all__ = ["Cleaner", "without"]

MASK = b"***"


def without(data: bytes, secret: bytes) -> bytes:
    """Return `data` with every `secret` in it masked; as it is where there is none."""
    return data.replace(secret, MASK) if secret and secret in data else data


class Cleaner:
    """Does to a stream what `without` does to the whole of it.

    Only bytes that may be the beginning of the secret are held back, so nothing else is late.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return what can go out."""
        *before, rest = (self.held + data).split(self.secret)
        held = min(len(self.secret) - 1, len(rest))
        while not rest.endswith(self.secret[:held]):
            held -= 1
        self.held = rest[len(rest) - held :]
        return MASK.join([*before, rest[: len(rest) - held]])

    def flush(self) -> bytes:
        """Return what is held back: the stream has ended."""
        held, self.held = self.held, b""
        return held
