"""What botocore knows of Converse: its model of the service, which checks requests and reads answers and streams."""

import re
from collections.abc import Iterator
from typing import Any

from botocore.eventstream import EventStream
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.validate import ParamValidator

SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
CONVERSE = SERVICE.operation_model("Converse")
STREAM = SERVICE.operation_model("ConverseStream").output_shape.members["stream"]


def problems(body: dict[str, Any]) -> str:
    """Return what botocore finds wrong with a request, and with its names, whose patterns it does not look at."""
    found = ParamValidator().validate({"modelId": "m", **body}, CONVERSE.input_shape)
    wrong = [found.generate_report()] if found.has_errors() else []
    wrong += [f"name {name!r}" for name in words(body, "name") if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)]
    wrong += [f"id {word!r}" for word in words(body, "toolUseId") if not re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", word)]
    return "\n".join(wrong)


def words(value: Any, key: str) -> Iterator[str]:
    """Yield the texts that stand under `key` in tools and calls; documents and schemas have names of their own."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, str):
                yield inner
            elif name not in ("document", "input", "json", "jsonSchema"):
                yield from words(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner, key)


def parsed(body: bytes) -> dict[str, Any]:
    """Return an answer as botocore reads it."""
    answer = {"status_code": 200, "headers": {}, "body": body}
    made: dict[str, Any] = create_parser("rest-json").parse(answer, CONVERSE.output_shape)
    return made


class Bytes:
    """A stream whose bytes are there."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        """Yield them all at once."""
        yield self.data


def events(data: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream as botocore reads them; EventStreamError where it ends in an exception."""
    return list(EventStream(Bytes(data), STREAM, EventStreamJSONParser(), "ConverseStream"))
