"""In whose words an error is told where no route was found."""

import pytest

import plane.dialects
from core.registry import scan
from plane.services import Voices

KINDS = scan(plane.dialects)
WORDS = ("openai", *sorted(KINDS.keys() - {"openai"}))
VOICES = Voices({word: made for word in WORDS if (made := KINDS[word].build(KINDS[word].options())).prefixes})


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (b"", "openai"),
        (b"/", "openai"),
        (b"/nowhere", "openai"),
        (b"/v1/chat/completions", "openai"),
        (b"/v1/models", "openai"),
        (b"/v1/messages", "anthropic"),
        (b"/v1/messages/count_tokens", "anthropic"),
        (b"/v1/messagesque", "openai"),
        (b"/anthropic/v1/nowhere", "anthropic"),
        (b"/v1beta/models/gemini-2.5-pro:generateContent", "gemini"),
        (b"/v1/models/gemini-2.5-pro:generateContent", "gemini"),
        (b"/mistral/v1/nowhere", "mistral"),
        (b"/ollama/api/chat", "ollama"),
    ],
    ids=str,
)
def test_an_error_without_a_route_is_told_as_the_callers_of_its_path_read_it(path: bytes, word: str) -> None:
    assert VOICES.at(path).name == word
