"""Log lines of a worker: one event a line, ``key=value``, as the other processes of the gateway write them."""

import json
import logging
from datetime import UTC, datetime

__all__ = ["Lines"]

PLAIN = str.maketrans(dict.fromkeys("_.:/@+,-", "x"))


class Lines(logging.Formatter):
    """Formats a record as time (UTC, milliseconds), process, level, event, then its fields and the error, if any.

    Fields come as ``extra={"fields": {...}}``. Whatever stands in them or in a traceback, a line never breaks.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        pairs = {
            "time": time.replace("+00:00", "Z"),
            "process": self.process,
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            pairs["error"] = f"{type(error).__name__}: {error}"
            pairs["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={quoted(str(value))}" for key, value in pairs.items())


def quoted(text: str) -> str:
    """Return `text`, as a JSON string if it has more than letters, digits and ``_ . : / @ + , -``."""
    plain = text.isascii() and text.translate(PLAIN).isalnum()
    return text if plain else json.dumps(text)
