"""Hot spots of the worker under load, by `perf` (sampling by the CPU clock: works in virtual machines too).

Stacks are unwound from saved stack memory, as compiled modules keep no frame pointers: few samples, but whole stacks. A
function of ours can so be charged with what it makes Python, libc and the kernel do.
"""

import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.load import Load
from bench.process import BenchError
from bench.servers import Arm

__all__ = ["Frame", "demangled", "hot_spots", "shares", "stacks"]

Frame = tuple[str, str]  # function, library

# What Cython makes of a module's path and a function's name, with its classes.
CYTHON = re.compile(r"^__pyx_(?:f|pw|pf|tp_\w+?|getprop|setprop)_(\d\w*)$")
# What the C compiler adds where it splits or clones a function.
CLONE = re.compile(r"(\.(part|isra|constprop|cold)(\.\d+)?)+$")
FRAME = re.compile(r"^\s*[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$")


def hot_spots(arm: Arm, load: Load, case: str, folder: Path, seconds: int, lines: int = 60) -> str:
    """Return where the worker's time goes under a load; the samples stay in `folder` for a closer look.

    case: ``chat`` is calls at c = 64; else the pace of streams.
    """
    if shutil.which("perf") is None:
        raise BenchError("perf is missing; get it with: apt-get install linux-perf")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "perf.data"

    def call(length: float) -> None:
        chat = case == "chat"
        cell = load.chat(case, arm, 0, 64, length) if chat else load.stream(case, arm, 0, length)
        if cell.problem:
            raise BenchError(cell.problem)

    call(2)
    caller = threading.Thread(target=call, args=(seconds + 2,))
    caller.start()
    try:
        pids = ",".join(map(str, arm.workers))
        sampling = ["-q", "-e", "cpu-clock", "-F", "499", "--call-graph", "dwarf,16384", "-o", str(data), "-p", pids]
        command = ["perf", "record", *sampling, "--", "sleep", str(seconds)]
        subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
    finally:
        caller.join()
    show = ["perf", "script", "-i", str(data), "-F", "ip,sym,dso", "--no-inline"]
    done = subprocess.run(show, check=True, capture_output=True, text=True, timeout=300)
    found = stacks(done.stdout)
    parts = {
        "by library, its own time": shares(([stack[0][1]] for stack in found), 12),
        "by function, its own time": shares(([f"{stack[0][1]:14} {stack[0][0]}"] for stack in found), lines // 3),
        "by function of Cython modules, with all it calls": shares(
            ({name for name, _ in stack if "." in name} for stack in found), lines
        ),
    }
    texts = [f"{title} ({len(found)} samples)\n{table}" for title, table in parts.items()]
    return "\n\n".join([*texts, f"more: perf report --stdio -i {data}"])


def stacks(script: str) -> list[list[Frame]]:
    """Return the stacks of `perf script`, innermost frame first."""
    found = []
    for block in script.split("\n\n"):
        matches = [match for match in map(FRAME.match, block.splitlines()) if match]
        frames = [(demangled(match[1]), _short(match[2])) for match in matches]
        if frames:
            found.append(frames)
    return found


def shares(names: Iterable[Iterable[str]], lines: int) -> str:
    """Return a table of the share of samples that have each name, the largest first."""
    counted: Counter[str] = Counter()
    samples = 0
    for each in names:
        samples += 1
        counted.update(set(each))
    return "\n".join(f"{count / samples:7.1%}  {name}".rstrip() for name, count in counted.most_common(lines))


def demangled(name: str) -> str:
    """Return a symbol, written as in the source where Cython or the C compiler changed it."""
    name = CLONE.sub("", name)
    match = CYTHON.match(name)
    if match is None:
        return name
    rest, parts = match[1], []
    # Each part is its length and its text; the function comes last, bare or behind a number that is no length.
    while counted := re.match(r"(\d+)(\w+)", rest):
        length, text = int(counted[1]), counted[2]
        if text[length:] and not text[length:].startswith("_"):
            rest = text
            break
        parts.append(text[:length])
        rest = text[length:].removeprefix("_")
    return ".".join([*parts, rest] if rest else parts)


def _short(library: str) -> str:
    """Return a library's name without folder, version and platform."""
    return library.rpartition("/")[2].strip("[]").partition(".")[0]
