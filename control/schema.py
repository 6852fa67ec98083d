"""Writes the JSON Schema that editors use: ``python -m control.schema docs/config.schema.json``."""

import json
import sys
from pathlib import Path

from core import model

__all__ = ["text"]


def text() -> str:
    """Return the schema of a whole ``headgate.yaml`` as the file's text."""
    return json.dumps(model.schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
