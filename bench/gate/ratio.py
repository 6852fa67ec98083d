"""CPU per request in multiples of nginx in the same run: the budget's bars, with an allowance for short windows."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.gate.count import ROOT
from bench.gate.verdict import FAILED, PASSED, Line
from bench.process import BenchError
from bench.servers import missing_tools

__all__ = ["judged", "ratio"]


def ratio(allowed: Mapping[str, float], root: Path = ROOT) -> list[Line]:
    """Measure chat and streams of the tree at `root` for a short time and judge their ratios."""
    if missing := missing_tools():
        raise BenchError("; ".join(missing))
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "--quick", "--only", "chat", "--only", "stream", "--json", out.name],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        text = Path(out.name).read_text()
    if not text:
        raise BenchError(f"python -m bench ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return judged(json.loads(text), allowed)


def judged(found: Mapping[str, Any], allowed: Mapping[str, float]) -> list[Line]:
    """Judge the raw figures of a run; wrong answers, and figures that are not there, fail."""
    lines = []
    for key, bar in allowed.items():
        if key == "allowance":
            continue
        threshold = f"<= {bar:g} + {allowed['allowance']:g} %"
        figure = found["figures"].get(key)
        if figure is None:
            why = str(found["failed"] or "the run has no such figure")
            lines.append(Line("ratio", key, None, None, threshold, FAILED, why[:300]))
            continue
        wrong = figure["note"].startswith("void") or figure["value"] > bar * (1 + allowed["allowance"] / 100)
        note = f"{figure['low']:.2f}..{figure['high']:.2f} {figure['note']}".strip()
        lines.append(Line("ratio", key, figure["value"], None, threshold, FAILED if wrong else PASSED, note))
    if found["failed"] and not any(line.failed for line in lines):
        lines.append(Line("ratio", "the run", None, None, "no problem", FAILED, str(found["failed"])[:300]))
    return lines
