"""A gateway in front of three providers that fail as a test tells them to, on a clock that stands still."""

from time import monotonic_ns
from typing import Any

from core.metrics import slot
from tests.plane.rig import CallerEnd, Gateway, Peer, answer, consumer

OK = answer(b'{"ok":1}')
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b'{"model":"m","messages":[],"stream":true}'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
OVERLOADED = b'data: {"error":{"message":"Overloaded","type":"overloaded_error","code":null}}\n\n'
ALL = ["connect", "reset", "timeout", "credential", 429, "5xx"]


class Clock:
    """The time as failover sees it: it stands still, but for what the test adds."""

    def __init__(self) -> None:
        self.start = monotonic_ns()
        self.ahead = 0

    def __call__(self) -> int:
        return self.start + self.ahead


def config(*targets: str, keys: int = 1, model: dict[str, Any] | None = None, **retries: Any) -> dict[str, Any]:
    """Return a config whose model ``m`` has targets at providers p, q, r on ports 9001, 9002, 9003."""
    names = targets or ("p", "q", "r")
    return {
        "providers": {
            name: {
                "dialect": "openai",
                "base_url": f"http://{name}.test:{port}",
                "credentials": [f"env:{name.upper()}{number}" for number in range(keys)],
            }
            for name, port in (("p", 9001), ("q", 9002), ("r", 9003))
        },
        "models": {
            "m": {"targets": [{"provider": name, "model": "x"} for name in names], "retries": retries} | (model or {})
        },
        "consumers": {"c": consumer()},
    }


SECRETS = {f"env:{name}{number}": f"sk-{name}{number}" for name in "PQR" for number in range(5)}


class Scene:
    """A gateway with peers that answer as they are told, by provider."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.asked: list[str] = []
        self.keys: list[str] = []

    def peer(self, name: str) -> Peer:
        """Return the connection on which provider `name` was just asked."""
        upstream = self.gateway.upstreams[9001 + "pqr".index(name)]
        for dial in list(upstream.dials):
            dial.succeed()
        asked = [(peer, said) for peer in upstream.peers if peer.is_open and (said := peer.take())]
        ((peer, said),) = asked
        self.asked.append(name)
        self.keys.append(said.partition(b"Bearer sk-")[2][:2].decode())
        return peer

    def is_asked(self, name: str) -> bool:
        """Tell whether provider `name` has a call to answer."""
        upstream = self.gateway.upstreams[9001 + "pqr".index(name)]
        return bool(upstream.dials) or any(peer.transport.written for peer in upstream.peers)

    def rest(self) -> None:
        """Let a pause pass, if there is one."""
        if not any(self.is_asked("pqr"[port - 9001]) for port in self.gateway.upstreams):
            self.gateway.rest()

    def health(self, number: int) -> Any:
        return self.gateway.runtime.site.cares[0].places[number].health


def failed(status: int, fields: bytes = b"", body: bytes = b'{"error":{"message":"no","type":"x"}}') -> bytes:
    return answer(body, status=b"%d No" % status, fields=fields)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def said(caller: CallerEnd) -> tuple[int, str, bytes]:
    """Return status, error code and body of the one answer."""
    head, _, body = caller.take().partition(b"\r\n\r\n")
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return int(head.split(b" ")[1]), lines.get(b"x-headgate-error", b"").decode(), body


def counted(scene: Scene, name: str, value: str = "") -> int:
    return scene.gateway.metrics.count(slot(name, value))
