"""The data directory: made, checked and locked; and the sockets, bound once, that the children inherit."""

import fcntl
import os
import secrets
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from control.files import sync_folder, write_file

__all__ = [
    "ADMIN",
    "CONSOLE",
    "CONTROL",
    "DataError",
    "bind_tcp",
    "bind_unix",
    "host_word",
    "lock",
    "prepare",
]

CONTROL = "control.sock"
ADMIN = "admin.sock"
CONSOLE = "{half}.ctl"  # where the supervisor of that half answers
BACKLOG = 4096
UNIX_PATH_LIMIT = 107  # bytes; sun_path holds 108 with its final zero


class DataError(Exception):
    """The data directory or an address cannot be used; the text says why and what to do."""


def prepare(path: Path) -> Path:
    """Make the data directory (0700) if it is missing and return its absolute path.

    Raises DataError if others could write to it, if it is a symlink, if it belongs to another user, or if its path is
    too long for a Unix socket. Whoever can replace a socket in it would be handed every provider's credential.
    """
    path = Path(os.path.abspath(path))
    length = len(os.fsencode(path / CONTROL))
    if length > UNIX_PATH_LIMIT:
        raise DataError(
            f"{path}: the path is too long for a Unix socket ({length} bytes with /{CONTROL}, "
            f"at most {UNIX_PATH_LIMIT}); choose a shorter data directory"
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise DataError(f"{path}: cannot make the data directory: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise DataError(f"{path}: the data directory is a symlink; name the directory itself")
    if found.st_uid != os.geteuid():
        raise DataError(f"{path}: the data directory belongs to user {found.st_uid}, not to {os.geteuid()}")
    if found.st_mode & 0o022:
        raise DataError(f"{path}: others may write to the data directory; run: chmod 700 {path}")
    path.chmod(0o700)
    return path


def lock(data: Path, names: Iterable[str]) -> list[int]:
    """Take the lock files ``NAME.lock`` and return their descriptors; the locks last as long as those stay open.

    Raises DataError, naming the process that holds one, so that two supervisors never share a data directory.
    """
    held: list[int] = []
    for name in names:
        handle = os.open(data / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            for taken in (handle, *held):
                os.close(taken)
            raise DataError(f"{data}: already in use by another headgate (process {owner})") from None
        os.truncate(handle, 0)
        os.write(handle, b"%d\n" % os.getpid())
        held.append(handle)
    return held


def host_word(data: Path) -> bytes:
    """Return the 16 bytes that tell this data directory's events from those of all others, made at the first call.

    Raises DataError if the file that keeps them holds something else.
    """
    path = data / "host"
    if not path.exists():
        write_file(path, secrets.token_hex(16).encode() + b"\n")
        sync_folder(data)
    try:
        word = bytes.fromhex(path.read_text().strip())
    except ValueError:
        word = b""
    if len(word) != 16:
        raise DataError(f"{path}: does not hold 32 hexadecimal digits; restore it, or remove it for a new word")
    return word


def bind_unix(path: Path) -> socket.socket:
    """Listen on a Unix socket only this user may connect to, replacing a stale one; call with the lock held."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        else:
            raise DataError(f"{path}: is not a socket; remove it")
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    # The mode must be right from the first moment: a chmod afterwards would leave a gap.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise DataError(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def bind_tcp(address: str) -> socket.socket:
    """Listen on ``HOST:PORT`` (an IPv6 host in brackets; port 0 takes a free one); raises DataError."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise DataError(f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}") from error
    listener.setblocking(False)
    return listener
