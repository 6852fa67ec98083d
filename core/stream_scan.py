"""What the relay asks of whatever follows a stream, of any format."""

__all__ = ["StreamScan"]


class StreamScan:
    """What follows a stream on its way through: bytes in, the bytes for the caller out.

    done: the stream's last event has come. error: one that tells of an error has. events: how many have come, those
    withheld included. content: one has come that is part of an answer, or its end; before it only heads and pings.
    """

    def __init__(self) -> None:
        self.done = False
        self.error = False
        self.content = False
        self.events = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream and return what can go out by now; GatewayError 502 where they are bad."""
        raise NotImplementedError

    def flush(self) -> bytes:
        """Return what is left to go out at the end of the stream."""
        raise NotImplementedError
