"""What finding a route costs among 10,000, called from Python."""

from collections.abc import Callable

import pytest

from core.router import Router

Measure = Callable[..., None]
HOST = b"gateway.example:8080"


@pytest.fixture(scope="module")
def router() -> Router:
    static = [(None, f"/team{n % 100}/service{n}/items", ("GET", "POST"), n, False) for n in range(4000)]
    params = [(None, f"/api/team{n % 100}/service{n}/{{id}}/sub", ("GET",), n, False) for n in range(3000)]
    rests = [(None, f"/files{n}/*", (), n, False) for n in range(3000)]
    return Router([*static, *params, *rests])


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("static path", "POST", b"/team17/service117/items"),
        ("parameter", "GET", b"/api/team17/service117/12345/sub"),
        ("wildcard", "GET", b"/files77/a/b/c/long/path/of/a/file.txt"),
    ],
)
def test_match(measure: Measure, router: Router, kind: str, method: str, path: bytes) -> None:
    measure(f"match, {kind}", router.match, method, HOST, path)


def test_match_of_a_hosts_own_entry(measure: Measure) -> None:
    hosts = [(f"tenant{n}.example", "/v1/items", (), n, False) for n in range(1000)]
    measure("match, own host with port", Router(hosts).match, "GET", b"tenant77.example:8080", b"/v1/items")
