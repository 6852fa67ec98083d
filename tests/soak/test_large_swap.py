"""A large config in a real worker: what is sent and read again for one change, and that callers are served meanwhile.

In a soak run it has the size of the budget, 10,000 routes and 100,000 keys. Times and memory are figures of
``python -m bench swap``, not of a test.
"""

import http.client
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.pushing import Worker, key_of, large, worker
from bench.swap import pinging
from core.snapshot import build, parse
from core.wire import Ack
from tests.soak.counts import count

ROUTES, KEYS = count(10_000, 1_000), count(100_000, 5_000)


@pytest.fixture
def front() -> Iterator[Worker]:
    with tempfile.TemporaryDirectory(prefix="hg") as name, worker(Path(name)) as made:
        yield made


def status(front: Worker, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_callers_are_served_while_a_large_config_is_built_and_one_change_sends_little(front: Worker) -> None:
    assert isinstance(front.push(build(large(1, 1), 1)).answer, Ack)
    first = build(large(ROUTES, KEYS), 2)
    with pinging(front.port) as pings:
        pushed = front.push(first)
    assert isinstance(pushed.answer, Ack)
    # The one route's upstreams and models are the same in the small config.
    assert len(first.sections) - pushed.sections <= 3
    # Had the worker stood still, there would be one.
    assert len(pings.times) > 5

    changed = build(large(ROUTES, KEYS, changed=KEYS // 2), 3)
    assert status(front, key_of(KEYS // 2)) == 200
    pushed = front.push(changed)
    assert isinstance(pushed.answer, Ack)
    parts = {part.digest: part for part in parse(changed.manifest).parts}
    new = [parts[digest].kind for digest in parts.keys() - first.sections.keys()]
    assert pushed.sections == len(new) <= 5
    assert set(new) == {"consumers", "keys"}
    assert status(front, key_of(KEYS // 2)) == 401
    assert status(front, key_of(KEYS // 2 + 10**9)) == 200

    others = build(large(ROUTES, KEYS, team="other", changed=KEYS // 2), 4)
    pushed = front.push(others)
    assert isinstance(pushed.answer, Ack)
    assert pushed.sections == len(others.sections.keys() - changed.sections.keys())
    assert status(front, key_of(0)) == 200
    assert front.process.poll() is None
