"""The config reference, docs/config.md, against the Structs."""

import json
import re
from pathlib import Path

import pytest

from core import model

ROOT = Path(__file__).parents[2]
SCHEMA = model.schema()
REFERENCE = (ROOT / "docs" / "config.md").read_text()
TABLES = dict(re.findall(r"<!-- (\w+) -->\n((?:\|.*\n)+)", REFERENCE))
# What the reference says instead of a default that is not written as a value.
IN_WORDS = {
    *("none", "any", "all", "all 1", "the system's", "the rate's count", "what was not acted upon"),
    "10,000, or half of the open files there may be",
}


def documented(block: str) -> dict[str, str]:
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in TABLES[block].splitlines()[2:]]
    return {key.strip("`"): default.strip("`") for key, _, default, _ in rows}


def test_the_reference_has_a_table_for_every_block_and_no_other() -> None:
    assert set(TABLES) == set(SCHEMA["$defs"])


@pytest.mark.parametrize("block", sorted(SCHEMA["$defs"]))
def test_every_key_is_documented_with_its_default(block: str) -> None:
    found = SCHEMA["$defs"][block]
    table = documented(block)
    assert list(table) == list(found["properties"])
    for key, default in table.items():
        if key in found.get("required", ()):
            assert default == "required"
        elif default not in IN_WORDS:
            value = found["properties"][key]["default"]
            assert default == (value if isinstance(value, str) else json.dumps(value).replace('"', "")), key
        else:
            assert found["properties"][key].get("default", []) == [], key
