"""Callers of HTTP/2 that break its rules: refused as at the other door, and no worker is harmed."""

import pytest

from tests.conformance.callers import CASES, Case
from tests.conformance.http2_callers import ROWS, SAME, UNSEEN, Row, as_http2
from tests.e2e.conftest import Stage
from tests.e2e.harness import nonce


def identifier(item: object) -> str:
    return item.name.replace(" ", "-") if isinstance(item, Row | Case) else str(item)


@pytest.mark.parametrize(("case", "row"), SAME, ids=identifier)
def test_a_row_of_the_other_door_has_the_same_outcome(case: Case, row: Row, stage: Stage) -> None:
    with stage.connect_http2() as caller:
        reply = caller.call(row.fields, row.body)
        if reply.ended:
            assert reply.status in case.statuses
            if case.code:
                assert case.code in ("*", reply.fields["x-headgate-error"], reply.json()["error"]["code"])
        else:
            # What granian itself refuses it answers with a reset or the end of the connection.
            assert case.code
            assert reply.reset >= 0 or caller.closed
    with stage.connect_http2() as caller:
        word = nonce()
        assert caller.chat(word).text == f"You said: {word}"


def test_what_granian_does_not_let_us_see_is_one_request_to_one_path(stage: Stage) -> None:
    """The rows that come out otherwise: if granian served more of one day, or less, their reasons would be wrong."""
    found = {}
    for case in CASES:
        row = as_http2(case) if case.name in UNSEEN else None
        if row is not None:
            with stage.connect_http2() as caller:
                found[case.name] = caller.call(row.fields, row.body).status
    assert found == dict.fromkeys(UNSEEN, 200)


@pytest.mark.parametrize("row", ROWS, ids=identifier)
def test_what_http2_forbids_is_never_served(row: Row, stage: Stage) -> None:
    pids = stage.gateway.pids()
    with stage.connect_http2() as caller:
        reply = caller.call(row.fields, row.body)
        if reply.ended:
            assert reply.status in row.statuses
        else:
            assert reply.reset >= 0 or caller.closed
    assert stage.upstream.requests == []
    with stage.connect_http2() as caller:
        word = nonce()
        assert caller.chat(word).text == f"You said: {word}"
    assert stage.gateway.pids() == pids
