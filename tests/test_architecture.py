"""The rules of the folders, held by reading every source: who may import whom, and what a file may not do.

Each rule is a function from a source tree to the places that break it, so that a broken tree can prove that it looks.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Rule = Callable[[Path], list[str]]
# Folder -> what it may import of ours. Control may also see how a snapshot is compiled, to prove one.
ARROWS = {"core": {"core"}, "plane": {"core", "plane"}, "control": {"core", "control"}}
PROOF = "plane.compile"
# The ends of the program: they import, and are imported by nothing.
ENDS = {"main", "cli", "app", "__main__"}
# What does I/O, starts something, or reads the machine: core gets values and buffers handed in.
IMPURE = {
    "aiohttp", "asyncio", "ctypes", "fcntl", "glob", "granian", "http", "httptools", "io", "litestar",
    "logging", "mmap", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "urllib.request",
    "uvloop",
}  # fmt: skip
# The tables that processes share, and the ring of a worker's usage events.
C_MEMORY = {"core/cells.pyx", "core/ring.pyx"}
LONGEST = 600
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s|c?import\s+([\w.]+))", re.MULTILINE)


class Source:
    """One Python file of a package: its dotted name, its tree, and its lines."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path
        parts = path.relative_to(root).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.package = parts[0]
        text = path.read_text()
        self.lines = text.splitlines()
        self.tree = ast.parse(text)

    def imports(self, modules: set[str]) -> Iterator[tuple[int, str]]:
        """Yield (line, module) for every import; a name that is a module counts as that module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import; write the whole name"
                assert node.module is not None
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield node.lineno, whole if whole in modules else node.module


def sources(root: Path) -> list[Source]:
    """Return the Python files of the three packages."""
    return [Source(root, path) for package in ARROWS for path in sorted((root / package).rglob("*.py"))]


def allowed(package: str, module: str) -> bool:
    """Tell whether code of `package` may import `module`, which may be anybody's."""
    top = module.partition(".")[0]
    if top not in {*ARROWS, "tests", "bench", "examples"}:
        return True
    return top in ARROWS[package] or (package == "control" and module == PROOF)


def wrong_arrows(root: Path) -> list[str]:
    """Return the imports against the direction core <- plane <- control, those of Cython's headers too."""
    found = sources(root)
    modules = {source.name for source in found}
    wrong = [
        f"{source.name}:{line} imports {module}"
        for source in found
        for line, module in source.imports(modules)
        if not allowed(source.package, module)
    ]
    for package in ARROWS:
        for path in sorted([*(root / package).rglob("*.pxd"), *(root / package).rglob("*.pyx")]):
            for match in CIMPORT.finditer(path.read_text()):
                module = match[1] or match[2]
                if not allowed(package, module):
                    wrong.append(f"{path.relative_to(root)} imports {module}")
    return wrong


def cycles(root: Path) -> list[str]:
    """Return the modules that import each other in a circle, wherever in a file they do so."""
    found = sources(root)
    modules = {source.name for source in found}
    graph = {source.name: {module for _, module in source.imports(modules)} & modules for source in found}
    # Leaves first, again and again: what remains imports itself.
    while free := {name for name, wanted in graph.items() if not wanted}:
        graph = {name: wanted - free for name, wanted in graph.items() if name not in free}
    # And what merely imports a circle is no part of it.
    while unused := graph.keys() - {module for wanted in graph.values() for module in wanted}:
        graph = {name: wanted for name, wanted in graph.items() if name not in unused}
    return sorted(graph)


def hidden_imports(root: Path) -> list[str]:
    """Return the imports inside functions that do not say why on their line."""
    wrong = []
    for source in sources(root):
        functions = [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        hidden = {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        for line in sorted(hidden):
            reason = re.sub(r"noqa(: ?[A-Z]+[0-9]+,?)*", "", source.lines[line - 1].partition("#")[2])
            if len(reason.split()) < 3:
                wrong.append(f"{source.name}:{line}")
    return wrong


def imported_ends(root: Path) -> list[str]:
    """Return the imports of a main, a cli or an app; ``python -m PACKAGE`` may run the main of its package."""
    found = sources(root)
    modules = {source.name for source in found}
    return [
        f"{source.name}:{line} imports {module}"
        for source in found
        for line, module in source.imports(modules)
        if module in modules and module.rpartition(".")[2] in ENDS
        if source.name != f"{source.package}.__main__" or module != f"{source.package}.main"
    ]


def rebound_globals(root: Path) -> list[str]:
    """Return the `global` statements: state is made in a main and handed down."""
    wrong = [
        f"{source.name}:{node.lineno}"
        for source in sources(root)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Global)
    ]
    for package in ARROWS:
        for path in sorted((root / package).rglob("*.pyx")):
            if re.search(r"^\s+global ", path.read_text(), re.MULTILINE):
                wrong.append(str(path.relative_to(root)))
    return wrong


def long_files(root: Path) -> list[str]:
    """Return the files above LONGEST lines whose first lines hold no "Longer than ... because"."""
    wrong = []
    for folder in (*ARROWS, "bench", "tests", "examples"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".py", ".pyx", ".pxd", ".pyi"):
                continue
            lines = path.read_text().splitlines()
            if len(lines) > LONGEST and not re.search(r"Longer than .* because", "\n".join(lines[:10])):
                wrong.append(f"{path.relative_to(root)}: {len(lines)} lines")
    return wrong


def impurities(root: Path) -> list[str]:
    """Return where core imports what does I/O, or opens a file."""
    found = sources(root)
    modules = {source.name for source in found}
    wrong = []
    for source in found:
        if source.package != "core":
            continue
        for line, module in source.imports(modules):
            if module in IMPURE or module.partition(".")[0] in IMPURE:
                wrong.append(f"{source.name}:{line} imports {module}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                wrong.append(f"{source.name}:{node.lineno} opens a file")
    return wrong


def stray_c_memory(root: Path) -> list[str]:
    """Return the files that touch C memory beside those two that may."""
    return sorted(
        str(path.relative_to(root))
        for package in ARROWS
        for path in (root / package).rglob("*.pyx")
        if str(path.relative_to(root)) not in C_MEMORY
    )


RULES = [wrong_arrows, cycles, hidden_imports, imported_ends, rebound_globals, long_files, impurities, stray_c_memory]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_source_breaks_the_rule(rule: Rule) -> None:
    assert len(sources(ROOT)) > 3
    assert rule(ROOT) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a source tree that keeps every rule."""
    for package in ARROWS:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "core" / "errors.py").write_text("from typing import Literal\n")
    (tmp_path / "plane" / "compile.py").write_text("from core import errors\n")
    (tmp_path / "control" / "prove.py").write_text("from plane.compile import errors\n")
    return tmp_path


BROKEN = [
    (wrong_arrows, "core/a.py", "import plane.compile\n"),
    (wrong_arrows, "plane/a.py", "from control.prove import errors\n"),
    (wrong_arrows, "plane/a.py", "def f():\n    from control import prove\n"),
    (wrong_arrows, "control/a.py", "from plane import timers\n"),
    (wrong_arrows, "plane/a.py", "import bench\n"),
    (wrong_arrows, "core/a.pxd", "from plane.exchange cimport Exchange\n"),
    (wrong_arrows, "core/a.pyx", "cimport plane.exchange\n"),
    (cycles, "core/errors.py", "import plane.compile\n"),
    (hidden_imports, "control/a.py", "def f():\n    import json\n"),
    (hidden_imports, "control/a.py", "def f():\n    import json  # noqa: PLC0415\n"),
    (imported_ends, "control/cli.py", "from control import main\n"),
    (rebound_globals, "plane/a.py", "A = 0\ndef f():\n    global A\n    A = 1\n"),
    (stray_c_memory, "plane/a.pyx", "A = 0\n"),
    (rebound_globals, "core/a.pyx", "def f():\n    global A\n    A = 1\n"),
    (long_files, "core/a.py", "A = 0\n" * 601),
    (impurities, "core/a.py", "import os.path\n"),
    (impurities, "core/a.py", "from asyncio import sleep\n"),
    (impurities, "core/a.py", "def f(p):\n    return open(p)\n"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tree_that_keeps_the_rules_passes(rule: Rule, tree: Path) -> None:
    assert rule(tree) == []


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_rule_is_found(rule: Rule, path: str, text: str, tree: Path) -> None:
    (tree / "control" / "main.py").write_text("")
    (tree / path).write_text(text)
    assert rule(tree) != []


def test_a_reason_on_the_line_permits_an_import_in_a_function(tree: Path) -> None:
    text = "def f():\n    import json  # noqa: PLC0415 only this command needs it\n"
    (tree / "control" / "a.py").write_text(text)
    assert hidden_imports(tree) == []


def test_what_imports_a_circle_is_not_called_part_of_it(tree: Path) -> None:
    (tree / "core" / "a.py").write_text("import core.b\n")
    (tree / "core" / "b.py").write_text("import core.a\n")
    (tree / "core" / "c.py").write_text("import core.a\n")
    assert cycles(tree) == ["core.a", "core.b"]
