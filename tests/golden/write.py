"""Writes the expected results of all pairs of dialects anew: ``python -m tests.golden.write``; review what differs."""

from __future__ import annotations

import shutil

from tests.golden.pairs import PAIRS, pairs, results


def main() -> None:
    """Write them all."""
    shutil.rmtree(PAIRS, ignore_errors=True)
    for pair in pairs():
        pair.folder.mkdir(parents=True, exist_ok=True)
        for name, data in results(pair).items():
            (pair.folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
