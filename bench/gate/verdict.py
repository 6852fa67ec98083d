"""Figures against their thresholds, as a table, as JUnit cases and as OpenMetrics."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

__all__ = [
    "FAILED",
    "NOT_RUN",
    "NO_BASE",
    "PASSED",
    "Line",
    "compared",
    "junit",
    "limited",
    "metrics",
    "not_run",
    "table",
    "thresholds",
]

PASSED, FAILED, NOT_RUN, NO_BASE = "pass", "FAIL", "not run", "no base"


@dataclass(frozen=True)
class Line:
    """One figure of a gate.

    threshold: in words. note: why it is not run or has no base, else what a person may want to know.
    """

    gate: str
    case: str
    measured: float | None
    base: float | None
    threshold: str
    verdict: str
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether this line fails the run."""
        return self.verdict == FAILED


def thresholds() -> dict[str, dict[str, float]]:
    """Return thresholds.toml: gate -> case -> figure, the one of all other cases as ``default``."""
    return tomllib.loads(Path(__file__).with_name("thresholds.toml").read_text())


def compared(
    gate: str, measured: Mapping[str, float], base: Mapping[str, float], allowed: Mapping[str, float]
) -> list[Line]:
    """Judge figures by how much larger they are than those of the base, in percent."""
    lines = []
    for case, figure in measured.items():
        percent = allowed.get(case, allowed["default"])
        before = base.get(case)
        if before is None:
            verdict, note = NO_BASE, "the base has no such figure"
        else:
            change = (figure - before) / before * 100 if before else (0.0 if figure == 0 else float("inf"))
            verdict, note = (FAILED if change > percent else PASSED), f"{change:+.2f} %"
        lines.append(Line(gate, case, figure, before, f"+{percent:g} %", verdict, note))
    return lines


def limited(gate: str, measured: Mapping[str, float], allowed: Mapping[str, float], unit: str = "") -> list[Line]:
    """Judge figures by fixed limits."""
    lines = []
    for case, figure in measured.items():
        limit = allowed.get(case, allowed["default"])
        lines.append(Line(gate, case, figure, None, f"<= {limit:g}{unit}", FAILED if figure > limit else PASSED))
    return lines


def not_run(gate: str, why: str, *, allowed: bool) -> Line:
    """Say that a gate has not run: a failure, unless that is allowed."""
    return Line(gate, "-", None, None, "-", NOT_RUN if allowed else FAILED, f"not run: {why}")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a table for a terminal."""
    rows = [("gate", "case", "measured", "base", "threshold", "verdict", "")]
    rows += [
        (line.gate, line.case, _number(line.measured), _number(line.base), line.threshold, line.verdict, line.note)
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    out = []
    for row in rows:
        cells = [
            text.rjust(width) if column in (2, 3) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, [*widths, 0], strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def junit(lines: Iterable[Line]) -> str:
    """Return the lines as JUnit cases."""
    lines = list(lines)
    suite = Xml.Element("testsuite", name="gates", tests=str(len(lines)))
    suite.set("failures", str(sum(line.verdict == FAILED for line in lines)))
    suite.set("skipped", str(sum(line.verdict in (NOT_RUN, NO_BASE) for line in lines)))
    for line in lines:
        case = Xml.SubElement(suite, "testcase", classname=f"gate.{line.gate}", name=line.case)
        text = f"measured {_number(line.measured)}, base {_number(line.base)}, threshold {line.threshold} {line.note}"
        if line.verdict == FAILED:
            Xml.SubElement(case, "failure", message=text)
        elif line.verdict != PASSED:
            Xml.SubElement(case, "skipped", message=f"{line.verdict}: {line.note}")
        else:
            Xml.SubElement(case, "system-out").text = text
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def metrics(lines: Iterable[Line]) -> str:
    """Return the measured figures as OpenMetrics, which a merge request shows beside those of its target branch."""
    out, seen = [], set()
    for line in sorted(lines, key=lambda line: line.gate):
        if line.measured is None:
            continue
        name = "gate_" + line.gate.replace("-", "_").replace(" ", "_")
        if name not in seen:
            seen.add(name)
            out.append(f"# TYPE {name} gauge")
        out.append(f'{name}{{case="{line.case}"}} {line.measured:.6g}')
    return "\n".join([*out, "# EOF"]) + "\n"


def as_json(lines: Iterable[Line]) -> str:
    """Return the lines as JSON."""
    return json.dumps([asdict(line) for line in lines], indent=1) + "\n"
