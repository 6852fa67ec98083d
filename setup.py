"""Build the compiled modules: a header (``x.pxd``) beside ``x.py`` or ``x.pyx`` is the decision to compile it."""

import hashlib
import os
import re
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

Options.warning_errors = True
CIMPORT = re.compile(r"^\s*from ((?:core|plane)[\w.]*) cimport", re.MULTILINE)


def headers_of(header: Path) -> set[Path]:
    """Return `header` and every header of ours that it cimports, directly or not."""
    found, todo = set(), [header]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [Path(name.replace(".", "/") + ".pxd") for name in CIMPORT.findall(path.read_text())]
    return found


def source_hash(source: Path) -> str:
    """Return the SHA-1 of a module's source and all headers it is compiled against."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path in [source, *sorted(headers_of(source.with_suffix(".pxd")))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def extension(header: Path) -> Extension:
    """Describe one compiled module; its ELF build id is the hash of its sources, which a test compares."""
    source = header.with_suffix(".pyx")
    if not source.exists():
        source = header.with_suffix(".py")
    return Extension(
        ".".join(header.with_suffix("").parts),
        [str(source)],
        # Without debug information the compiler takes a third less time; symbols for profilers stay.
        extra_compile_args=["-O2", "-g0", "-fno-plt", "-fvisibility=hidden", "-Wno-unreachable-code"],
        extra_link_args=[f"-Wl,--build-id=0x{source_hash(source)}"],
    )


if __name__ == "__main__":
    # An editable install runs the tree, into which `build_ext --inplace` has compiled: no need to compile it again.
    folders = () if "editable_wheel" in sys.argv else ("core", "plane")
    headers = sorted(path for folder in folders for path in Path(folder).rglob("*.pxd"))
    setup(
        ext_modules=cythonize(
            [extension(header) for header in headers],
            compiler_directives={
                "language_level": 3,
                "binding": False,
                "embedsignature": False,
                "annotation_typing": False,
                "nonecheck": True,
            },
            nthreads=os.cpu_count() or 1,
            show_all_warnings=False,
        )
    )
