"""Builds core and plane, in the current directory, so that each line of compiled code is told to the tracer.

Cython translates with the directive `linetrace`, the C compiler without optimisation. It is a build of its own, some
ten times slower, and made in a copy of the tree.
"""

import re
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension

FOLDERS = ("core", "plane")
# Asked for here, once: the first question to `sysconfig` must not come from two threads.
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
INCLUDE = sysconfig.get_paths()["include"]
# Where a function returns a C number, Cython tells the tracer the number, by a function that it does not always define.
RETURNED = re.compile(r"(__Pyx_TraceReturnCValue\(__pyx_r, )__Pyx_Py(?:Long|Bool)_From\w+")
DIRECTIVES = {
    "language_level": 3,
    "binding": False,
    "embedsignature": False,
    "annotation_typing": False,
    "nonecheck": True,
    "linetrace": True,
}


def translated(header: Path) -> Path:
    """Return the C file of the module that has `header`."""
    return header.with_suffix(".c")


def extension(header: Path) -> Extension:
    """Describe the module that has `header`."""
    source = header.with_suffix(".pyx")
    return Extension(
        ".".join(header.with_suffix("").parts), [str(source if source.exists() else header.with_suffix(".py"))]
    )


def compiled(source: Path) -> None:
    """Compile one C file to the module beside it."""
    text = source.read_text()
    source.write_text(RETURNED.sub(r"\1PyLong_FromLong", text))
    module = source.with_suffix(SUFFIX)
    options = ["-shared", "-fPIC", "-O0", "-w", "-DNDEBUG", "-DCYTHON_TRACE=1", f"-I{INCLUDE}"]
    subprocess.run(["gcc", *options, str(source), "-o", str(module)], check=True)


def main() -> None:
    """Build every module that has a header."""
    headers = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.pxd"))
    cythonize([extension(header) for header in headers], compiler_directives=DIRECTIVES, nthreads=2, quiet=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compiled, map(translated, headers)))


if __name__ == "__main__":
    main()
