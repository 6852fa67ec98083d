"""What runs is what was compiled from these sources, and what is shipped is that and no more."""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
COMPILED = ("core", "plane")
HEADERS = sorted(path.relative_to(ROOT) for folder in COMPILED for path in (ROOT / folder).rglob("*.pxd"))
PT_NOTE = 4
NT_GNU_BUILD_ID = 3


def build_id(library: Path) -> str:
    """Return the build id the linker put into a 64-bit little-endian ELF file."""
    data = library.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01", f"{library} is not ELF"
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for entry in range(table, table + size * count, size):
        (kind,) = struct.unpack_from("<I", data, entry)
        if kind == PT_NOTE:
            start, length = struct.unpack_from("<Q", data, entry + 8)[0], struct.unpack_from("<Q", data, entry + 32)[0]
            for name, note_type, value in notes(data[start : start + length]):
                if (name, note_type) == (b"GNU\0", NT_GNU_BUILD_ID):
                    return value.hex()
    raise AssertionError(f"{library} has no build id")


def notes(segment: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield (name, type, value) of an ELF note segment; each part is padded to four bytes."""
    at = 0
    while at < len(segment):
        name_size, value_size, note_type = struct.unpack_from("<III", segment, at)
        name_at = at + 12
        value_at = name_at + (name_size + 3 & ~3)
        yield segment[name_at : name_at + name_size], note_type, segment[value_at : value_at + value_size]
        at = value_at + (value_size + 3 & ~3)


def source_of(header: Path) -> Path:
    """Return the source a header belongs to."""
    return header.with_suffix(".pyx") if (ROOT / header.with_suffix(".pyx")).exists() else header.with_suffix(".py")


def suffix() -> str:
    """Return what the name of a compiled module ends with."""
    return importlib.machinery.EXTENSION_SUFFIXES[0]


@pytest.fixture(scope="module")
def setup_py() -> ModuleType:
    """Return setup.py as a module."""
    spec = importlib.util.spec_from_file_location("headgate_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_compiled_modules() -> None:
    assert HEADERS


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_header_has_a_compiled_module_and_that_is_what_is_imported(header: Path) -> None:
    module = importlib.import_module(".".join(header.with_suffix("").parts))
    assert module.__file__ is not None
    assert Path(module.__file__) == (ROOT / header).with_suffix(suffix()), "run `make build`"


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_compiled_module_carries_the_hash_of_its_present_sources(
    header: Path, setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    library = header.with_suffix(suffix())
    assert build_id(library) == setup_py.source_hash(source_of(header)), f"{library} is stale; run `make build`"


def test_a_hash_changes_with_a_header_that_is_used_from_afar(
    tmp_path: Path, setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "core").mkdir()
    Path("core/far.pxd").write_text("cdef class Far:\n    pass\n")
    Path("core/near.pxd").write_text("from core.far cimport Far\n")
    Path("core/module.pxd").write_text("from core.near cimport Far\n")
    Path("core/module.py").write_text("A = 1\n")
    before = setup_py.source_hash(Path("core/module.py"))
    Path("core/far.pxd").write_text("cdef class Far:\n    cdef int field\n")
    assert setup_py.source_hash(Path("core/module.py")) != before


def test_no_compiled_module_is_left_of_a_source_that_is_gone() -> None:
    libraries = {path.relative_to(ROOT) for folder in COMPILED for path in (ROOT / folder).rglob("*.so")}
    assert libraries - {header.with_suffix(suffix()) for header in HEADERS} == set(), "remove these"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built as an installer builds it, from a copy of the tree.

    The copy takes along what `make build` has generated and compiled; setuptools compiles again what is older than its
    sources, and the tests above say that nothing is.
    """
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for package in ("core", "plane", "control"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for source in (ROOT / "setup.py", ROOT / "pyproject.toml", *ROOT.glob("README.md")):
        shutil.copy2(source, tree / source.name)
    for header in HEADERS:
        built = next((ROOT / "build").glob(f"lib*/{header.with_suffix(suffix())}"), None)
        if built is not None:
            kept = tree / built.relative_to(ROOT)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, kept)
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    """Return the names in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_source_and_every_compiled_module(content: set[str]) -> None:
    sources = {
        str(path.relative_to(ROOT)) for folder in ("core", "plane", "control") for path in (ROOT / folder).rglob("*.py")
    }
    compiled = {str(header.with_suffix(suffix())) for header in HEADERS}
    assert (sources | compiled) - content == set()


def test_the_wheel_holds_nothing_else(content: set[str]) -> None:
    tops = {name.partition("/")[0] for name in content}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"core", "plane", "control"}
    strange = {name for name in content if re.search(r"\.(c|pth|pyc|html)$|(^|/)(tests?|conftest)\b", name)}
    assert strange == set()


def test_the_installed_wheel_runs_by_itself(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (entries,) = tmp_path.glob("*.dist-info/entry_points.txt")
    assert entries.read_text().split() == ["[console_scripts]", "headgate", "=", "control.cli:main"]
    program = "import sys, control.cli; print(control.cli.__file__); control.cli.main(['--version'])"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file, version = done.stdout.splitlines()
    assert Path(file) == tmp_path / "control" / "cli.py"
    assert version.startswith("headgate ")
