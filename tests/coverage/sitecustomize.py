"""Counts lines in every process of a coverage run. Workers see no variable but PYTHON*: PYTHONPATH leads here."""

import os
import sys
from pathlib import Path

import coverage

TREE = Path(__file__).parents[2]

if "coverage" not in sys.orig_argv[1:4]:  # That process counts already.
    os.environ["COVERAGE_TREE"] = str(TREE)
    os.environ["COVERAGE_PROCESS_START"] = str(TREE / "tests" / "coverage" / "coveragerc")
    coverage.process_startup()
