"""One worker, as the supervisor starts it: whatever ends its start is told to the supervisor before it ends."""

from __future__ import annotations

import argparse
import sys

from plane.notice import Notice

__all__: list[str] = []


def start(argv: list[str]) -> None:
    """Run the worker of `plane.main` with what follows from ``--notify-fd``."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--notify-fd", type=int, default=-1)
    asked, rest = parser.parse_known_args(argv)
    notice = Notice(asked.notify_fd)
    try:
        from plane.main import main  # noqa: PLC0415 an import that fails is to be told as well

        main(rest, notice)
    except BaseException as error:
        notice.failed(error)
        raise


if __name__ == "__main__":
    start(sys.argv[1:])
