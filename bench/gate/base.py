"""The commit that a change is compared with: its tree, built by this environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.gate.count import ROOT
from bench.process import BenchError

__all__ = ["built", "default_base"]


def git(*arguments: str) -> str:
    """Return what git says; "" where it cannot say anything."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def default_base() -> str:
    """Return the commit to compare with: where the merge request or this branch left main.

    On main itself that is what main was before the push, else the commit before; where the tree has changes, main as it
    is committed.
    """
    given = os.environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    head = git("rev-parse", "HEAD")
    fork = given or git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main")
    if fork and fork != head:
        return fork
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "core", "plane")
    pushed = git("rev-parse", "--verify", os.environ.get("CI_COMMIT_BEFORE_SHA", "") + "^{commit}")
    return head if changed else pushed or git("rev-parse", "HEAD~1")


def built(ref: str, folder: Path) -> Path:
    """Return a built tree of `ref` below `folder`, made unless it is there from before.

    Raises BenchError where `ref` is no commit or does not build.
    """
    commit = git("rev-parse", "--verify", f"{ref}^{{commit}}")
    if not commit:
        raise BenchError(f"{ref!r} is no commit here; in CI, clone with its history (GIT_DEPTH: 0)")
    tree = folder / f"base-{commit[:12]}"
    if (tree / "built").exists():
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "-j2"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(build, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{commit[:12]} does not build:\n{(done.stderr or done.stdout)[-2000:]}")
    (tree / "built").touch()
    return tree
