"""Hot spots of the worker under load, by `perf` (sampling by the CPU clock: works in virtual machines too)."""

import shutil
import subprocess
import threading
from pathlib import Path

from bench.load import Load
from bench.process import BenchError
from bench.servers import Arm

__all__ = ["hot_spots"]


def hot_spots(arm: Arm, load: Load, folder: Path, seconds: int, lines: int = 60) -> str:
    """Return the worker's top symbols under calls at c = 64; the samples stay in `folder` for a closer look."""
    if shutil.which("perf") is None:
        raise BenchError("perf is missing; get it with: apt-get install linux-perf")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "perf.data"
    load.chat("warm", arm, 0, 64, 2)
    caller = threading.Thread(target=load.chat, args=("profile", arm, 0, 64, seconds + 2))
    caller.start()
    try:
        pids = ",".join(map(str, arm.workers))
        record = [
            "perf",
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            "1999",
            "-g",
            "-o",
            str(data),
            "-p",
            pids,
            "--",
            "sleep",
            str(seconds),
        ]
        subprocess.run(record, check=True, capture_output=True, timeout=seconds + 60)
    finally:
        caller.join()
    show = [
        "perf",
        "report",
        "-q",
        "--stdio",
        "--no-children",
        "-g",
        "none",
        "--percent-limit",
        "0.3",
        "-i",
        str(data),
        "--sort",
        "dso,symbol",
    ]
    done = subprocess.run(show, check=True, capture_output=True, text=True, timeout=120)
    found = [line.rstrip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join([*found[:lines], f"call graphs: perf report --stdio -i {data}"])
