"""Open files: as many as the system allows, and how many connections each worker may hold with them."""

import resource

from control.datadir import DataError

__all__ = ["CONNECTIONS", "connections", "raise_limit"]

CONNECTIONS = 10_000
"""Callers' connections of a worker, where the config names no number."""


def raise_limit() -> int:
    """Raise this process' limit of open files, which its children inherit, as far as it may; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def connections(asked: int | None, files: int) -> int:
    """Return the cap of connections of a worker that may have `files` open files.

    asked: what the config says, None where it says nothing. Raises DataError if it is more than half of `files`: a call
    takes two of them, the caller's connection and the upstream's.
    """
    if asked is None:
        return max(1, min(CONNECTIONS, files // 2))
    if asked > files // 2:
        raise DataError(
            f"listen.limits.connections: {asked} needs {2 * asked} open files for each worker and the system allows "
            f"{files}; raise it (ulimit -Hn, LimitNOFILE= in a systemd unit) or ask for {files // 2} at most"
        )
    return asked
