"""What signing a request for AWS costs: the key of the day is at hand."""

from collections.abc import Callable

import pytest

from core.sigv4 import Credential, Signer

Measure = Callable[..., None]
TARGET = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.claude-sonnet-5/converse"
FIELDS = {"content-type": "application/json", "host": "bedrock-runtime.us-east-1.amazonaws.com"}


@pytest.mark.parametrize("size", [1024, 102400])
@pytest.mark.parametrize("token", ["", "t" * 800], ids=["lasting key", "session"])
def test_sign(measure: Measure, token: str, size: int) -> None:
    signer = Signer("us-east-1", "bedrock")
    key = Credential("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token)
    measure(f"sign {size} bytes", signer.sign, key, "POST", TARGET, FIELDS, b"x" * size, 1_700_000_000.0)
