"""core.sigv4: the same signatures as botocore's, whatever is signed."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from core.sigv4 import Credential, Signer, parse_credential

NOON = 1_700_000_000.0
KEY = Credential("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def theirs(
    signer: Signer, key: Credential, method: str, target: str, fields: dict[str, str], body: bytes, now: float
) -> bytes:
    """Return the lines that botocore makes; it dials the host that the Host field names."""
    request = AWSRequest(method, f"https://{fields['host']}{target}", headers=dict(fields), data=body)
    oracle = SigV4Auth(
        Credentials(key.access_key, key.secret_key, key.session_token or None), signer.service, signer.region
    )
    # `add_auth` asks the clock for the time; these are its steps, at a time of ours.
    request.context["timestamp"] = datetime.fromtimestamp(int(now), UTC).strftime(SIGV4_TIMESTAMP)
    oracle._modify_request_before_signing(request)
    text = oracle.string_to_sign(request, oracle.canonical_request(request))
    oracle._inject_signature_to_request(request, oracle.signature(text, request))
    names = ["X-Amz-Date", "X-Amz-Security-Token", "Authorization"]
    return "".join(f"{name.lower()}: {request.headers[name]}\r\n" for name in names if name in request.headers).encode()


visible = st.characters(min_codepoint=33, max_codepoint=126)
words = st.text(st.sampled_from("abcXYZ019-_.~"), min_size=1, max_size=12)
segments = st.one_of(
    words,
    st.sampled_from(["", ".", "..", "anthropic.claude-sonnet-5-v1%3A0", "~", "a%20b", "%25", "caf%C3%A9"]),
    st.text(max_size=20).map(lambda text: quote(text, safe="")),
    st.builds("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{}".format, words).map(
        lambda text: quote(text, safe="")
    ),
)
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(st.tuples(words, st.one_of(st.just(""), words, segments)), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
keys = st.builds(
    Credential,
    st.text(st.sampled_from("AKIZ0123456789"), min_size=16, max_size=20),
    st.text(visible, min_size=1, max_size=40),
    st.one_of(st.just(""), st.text(visible, min_size=1, max_size=200)),
)
hosts = st.one_of(
    st.sampled_from(
        ["bedrock-runtime.eu-central-1.amazonaws.com", "vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com"]
    ),
    words.map(lambda word: f"{word.strip('.-_~') or 'h'}.internal:8443"),
    st.sampled_from(["127.0.0.1:8080", "[::1]:9000"]),
)
fields = st.dictionaries(
    st.sampled_from(["content-type", "x-amz-target", "anthropic-workspace-id"]),
    st.text(visible | st.just(" ")),
    max_size=3,
)
times = st.integers(0, 4_000_000_000)


@given(keys, st.sampled_from(["GET", "POST", "DELETE"]), hosts, paths, queries, fields, st.binary(max_size=300), times)
def test_a_signature_is_the_one_that_botocore_makes(
    key: Credential, method: str, host: str, path: str, query: str, more: dict[str, str], body: bytes, now: int
) -> None:
    signer = Signer("eu-central-1", "bedrock")
    # botocore takes a path that begins with two slashes for a host, as URLs do.
    target = ("/base" + path if path.startswith("//") else path) + (f"?{query}" if query else "")
    call = (key, method, target, {**more, "host": host}, body, float(now))
    assert signer.sign(*call) == theirs(signer, *call)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=2, max_size=12))
def test_a_signer_that_was_used_signs_as_a_fresh_one_does(uses: list[tuple[str, int]]) -> None:
    used = Signer("us-east-1", "bedrock")
    for secret, day in uses:
        call = (Credential("AKID", secret), "POST", "/x", {"host": "h"}, b"{}", NOON + 86400 * day)
        assert used.sign(*call) == Signer("us-east-1", "bedrock").sign(*call)


def test_the_host_the_path_and_every_byte_of_the_body_are_signed() -> None:
    signer = Signer("us-east-1", "bedrock")
    calls = [("h", "/a", b"{}"), ("i", "/a", b"{}"), ("h", "/b", b"{}"), ("h", "/a", b"{} "), ("h", "/a?b=1", b"{}")]
    made = {signer.sign(KEY, "POST", path, {"host": host}, body, NOON) for host, path, body in calls}
    assert len(made) == len(calls)


def test_the_keys_of_yesterday_are_forgotten() -> None:
    signer = Signer("us-east-1", "bedrock")
    for day in range(5):
        signer.sign(KEY, "POST", "/", {"host": "h"}, b"", NOON + 86400 * day)
    assert len(signer._keys) == 1


def test_a_credential_is_read_from_its_parts() -> None:
    assert parse_credential("AKID:secret/with+signs=") == Credential("AKID", "secret/with+signs=")
    assert parse_credential("ASIA:secret:token//==") == Credential("ASIA", "secret", "token//==")


@pytest.mark.parametrize("text", ["", "AKID", "AKID:", ":hush", "AKID:hush:", "AKID:hush:token:more"])
def test_what_is_no_credential_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="ACCESS_KEY_ID") as caught:
        parse_credential(text)
    assert "hush" not in str(caught.value)


def test_a_credential_does_not_show_its_secret() -> None:
    shown = f"{KEY} {KEY!r} {Credential('AKID', 'hush', 'token')}"
    assert "AKIDEXAMPLE" in shown
    assert not any(secret in shown for secret in (KEY.secret_key, "hush", "token"))
