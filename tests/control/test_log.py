import pytest

from control.log import line


def pairs(text: str) -> str:
    return text.split(" ", 1)[1]


def test_a_line_starts_with_its_time_in_utc() -> None:
    assert line("control", "ready").startswith("time=20")
    assert line("control", "ready").split(" ")[0].endswith("Z")


def test_fields_follow_in_the_order_they_were_given() -> None:
    assert pairs(line("control", "died", pid=7, child="worker-0")) == "process=control event=died pid=7 child=worker-0"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("/tmp/a_b", "/tmp/a_b"),
        ("two words", '"two words"'),
        ("a\nb=c", '"a\\nb=c"'),
        ('say "no"', '"say \\"no\\""'),
        ("", '""'),
        ("é", '"\\u00e9"'),
    ],
)
def test_a_value_that_could_break_a_line_is_quoted(value: str, written: str) -> None:
    assert pairs(line("control", "x", value=value)) == f"process=control event=x value={written}"
