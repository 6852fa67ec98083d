#!/usr/bin/env bash
# Which lines of core and plane the tests run, those of compiled code included; fails below BAR percent. The tree is copied
# and built there with line tracing, so that the build in use stays as it is. Arguments: the tests to run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
out=${OUT:-$root/bench/out/coverage}
bar=${BAR:-95}
tests=("$@")
[[ ${#tests[@]} -gt 0 ]] || tests=(tests/core tests/plane tests/fuzz tests/e2e)

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$out" "$tree/data"
# What git knows or would know: no builds, no environments.
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null) |
    tar -x -C "$tree"
cd "$tree"
here=tests/coverage
unset PYTHONPATH

echo "building with line tracing"
"$python" "$here/trace.py"
export COVERAGE_TREE=$tree
export PYTHONPATH=$tree:$tree/$here
# A failure does not keep the lines from being counted, but is one of the run.
status=0
"$python" -m coverage run --rcfile="$here/coveragerc" -m pytest -q -p no:cacheprovider "${tests[@]}" || status=$?

counted() {
    "$python" -m coverage "$1" --rcfile="$here/coveragerc" "${@:2}"
}
counted combine --quiet
counted xml -q -o "$out/coverage.xml"
counted report --sort=cover --show-missing | tee "$out/coverage.txt"
# A file that no test imports is in no data, and would be missing from the figure.
for file in $(git -C "$root" ls-files 'core/*.py' 'plane/*.py' 'core/*.pyx' 'plane/*.pyx'); do
    [[ ! -s $file ]] || grep -q "^$file " "$out/coverage.txt" || { echo "no test imports $file" >&2; status=1; }
done
counted report --fail-under="$bar" --format=total >/dev/null || { echo "coverage is below $bar %" >&2; status=1; }
exit "$status"
