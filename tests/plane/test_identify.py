"""Who calls, by API key."""

import pytest

from core.errors import GatewayError
from plane.dialects.gemini import Options, build
from plane.exchange import Exchange
from plane.identify import identify
from plane.runtime import Route
from tests.plane.conftest import Starter
from tests.plane.rig import KEY, make_exchange, one_model


@pytest.fixture
def exchange(start: Starter) -> Exchange:
    """Return an exchange at a gateway that knows one key."""
    made = make_exchange()
    made.runtime = start(one_model()).runtime
    return made


def test_a_known_key_names_its_consumer(exchange: Exchange) -> None:
    exchange.credential = KEY.encode()
    identify(exchange)
    assert exchange.consumer.name == "c"


@pytest.mark.parametrize(
    "credential", [b"", b"unknown", KEY.encode() + b" ", KEY.encode()[:-1], KEY.upper().encode(), b"\xff\0" * 5000]
)
def test_every_other_key_gets_the_same_refusal(exchange: Exchange, credential: bytes) -> None:
    exchange.credential = credential
    with pytest.raises(GatewayError) as caught:
        identify(exchange)
    error = caught.value
    assert (error.status, error.code, error.source, error.retry) == (401, "invalid_api_key", "caller", False)
    assert error.message == "The API key is missing or not known here."
    assert exchange.consumer is None


@pytest.mark.parametrize(
    ("query", "found"),
    [(b"alt=sse&key=%b", True), (b"key=%b&key=other", True), (b"keys=%b", False), (b"key=", False), (b"%%%b", False)],
)
def test_a_key_may_stand_in_the_query_where_the_dialect_has_it_there(
    exchange: Exchange, query: bytes, found: bool
) -> None:
    dialect = build(Options())
    exchange.route = Route("r", dialect=dialect, operation=dialect.operations[0])
    exchange.query = query.replace(b"%b", KEY.encode())
    if found:
        identify(exchange)
        assert exchange.consumer.name == "c"
    else:
        with pytest.raises(GatewayError):
            identify(exchange)


def test_a_plain_apis_query_is_its_own_and_has_no_key_of_ours(exchange: Exchange) -> None:
    exchange.route = Route("r", dialect=build(Options()))
    exchange.query = b"key=" + KEY.encode()
    with pytest.raises(GatewayError):
        identify(exchange)


def test_a_key_of_several_consumers_config_is_found_for_each(start: Starter) -> None:
    config = one_model()
    config["consumers"] = {
        f"c{number}": {"keys": [{"sha256": f"{number:064x}"}], "models": ["*"]} for number in range(20)
    }
    config["consumers"]["c20"] = one_model()["consumers"]["c"]
    exchange = make_exchange()
    exchange.runtime = start(config).runtime
    exchange.credential = KEY.encode()
    identify(exchange)
    assert exchange.consumer.name == "c20"
