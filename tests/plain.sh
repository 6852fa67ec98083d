#!/usr/bin/env bash
# Runs the tests of core on an uncompiled copy: as plain Python, integers do not wrap and types are not coerced, so what
# only the compiled build passes fails here. What has no plain form, as it is C memory, stays compiled: cells and ring.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
[[ -x $python ]] || { echo "no $python; run: make build" >&2; exit 1; }
compgen -G "$root/core/cells.*.so" >/dev/null || { echo "the cells are not compiled; run: make build" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/tests/soak"
cp -R "$root/core" "$root/docs" "$root/pyproject.toml" "$folder"
cp -R "$root/tests/core" "$folder/tests"
cp "$root/tests/usage_events.py" "$folder/tests"
cp "$root/tests/soak/counts.py" "$folder/tests/soak"
find "$folder/core" \( -name '*.so' -o -name '*.c' -o -name '*.pxd' \) -not -name 'cells.*' -not -name 'ring.*' -delete

cd "$folder"
unset PYTHONPATH
"$python" - <<'CHECK'
import importlib
import sys
from pathlib import Path

sys.path.insert(0, "")
for path in sorted(Path("core").rglob("*.py")):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    found = importlib.import_module(name).__file__
    assert found == str(path.resolve()), f"{name} came from {found}"
CHECK
"$python" -m pytest -p no:cacheprovider -q tests/core "$@"
