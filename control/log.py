"""Log lines of the supervisor and the control process: one event a line, ``key=value``, to standard error."""

import json
import os
from datetime import UTC, datetime

__all__ = ["Log", "line"]


def line(process: str, event: str, **fields: object) -> str:
    """Return one log line: time (UTC, milliseconds), process, event, then the fields as they were given.

    A value with more than letters, digits and ``_ . : / @ + , -`` is written as a JSON string: a line never breaks.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pairs = {"time": time, "process": process, "event": event, **fields}
    return " ".join(f"{key}={_value(str(value))}" for key, value in pairs.items())


def _value(text: str) -> str:
    plain = text.isascii() and text.translate(_PLAIN).isalnum()
    return text if plain else json.dumps(text)


_PLAIN = str.maketrans(dict.fromkeys("_.:/@+,-", "x"))


class Log:
    """Writes log lines for one process."""

    def __init__(self, process: str) -> None:
        self.process = process

    def __call__(self, event: str, **fields: object) -> None:
        """Write one line, in a single system call: lines of several processes never mix. A closed stderr is fine."""
        try:
            os.write(2, line(self.process, event, **fields).encode() + b"\n")
        except OSError:
            # Nobody reads any more; a gateway must not stop serving for that.
            return
