"""The errors a request or a config can end in, classified by whose fault they are."""

from typing import Literal

__all__ = ["ConfigError", "FrameError", "GatewayError", "SealError", "SnapshotError", "Source"]

Source = Literal["caller", "upstream", "gateway"]


class GatewayError(Exception):
    """One request cannot be served.

    status: the HTTP status to answer with.
    code: a stable machine word, e.g. ``model_not_found``; also the ``x-headgate-error`` header.
    source: whose fault it is; ``upstream`` and ``gateway`` count against availability, ``caller`` does not.
    message: one sentence for the caller; names nothing of another tenant and no secret.
    retry: whether another candidate may be tried for the same request (nothing of it has been acted upon).
    hint: what the caller can do, or ``""``.
    param: the request field at fault, for dialects that name one.
    retry_after: seconds until asking again makes sense; -1.0 where it never does or nobody knows.
    allow: the methods that would have been accepted (405 only).
    failure: how an attempt failed that ended so (`plane.failure`), 0 where status and code tell.
    request_id: of the request that it answers, set when it is told; for dialects that have it in the body.
    """

    # PERF: of the class until they are set, which is for few errors; each attribute of its own is a growing dict.
    failure: int = 0
    request_id: str = ""

    def __init__(
        self,
        status: int,
        code: str,
        source: Source,
        message: str,
        *,
        retry: bool = False,
        hint: str = "",
        param: str | None = None,
        retry_after: float = -1.0,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.source = source
        self.message = message
        self.retry = retry
        self.hint = hint
        self.param = param
        self.retry_after = retry_after
        self.allow = allow

    def __repr__(self) -> str:
        return f"GatewayError({self.status} {self.code}, {self.source}, retry={self.retry}: {self.message})"


class ConfigError(Exception):
    """A config or a compiled snapshot cannot be used; `problems` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SnapshotError(Exception):
    """Snapshot bytes are truncated, altered, or of a format this build does not read."""


class FrameError(Exception):
    """The peer on the control socket broke the frame format; the connection is of no more use."""


class SealError(Exception):
    """Sealed or signed bytes are not what this key made for this purpose, or the key is none; never says of what."""
