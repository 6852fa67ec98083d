#!/usr/bin/env bash
# Which lines of core and plane the tests run, those of compiled code included; fails below BAR percent. The tree is copied
# and built there with line tracing, so that the build in use stays as it is. Arguments: the tests to run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
out=${OUT:-$root/bench/out/coverage}
bar=${BAR:-95}
tests=("$@")
[[ ${#tests[@]} -gt 0 ]] || tests=(tests/core tests/plane tests/fuzz)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$out" "$folder/tree" "$folder/data"
# What git knows or would: no builds, no environments.
git -C "$root" ls-files -z --cached --others --exclude-standard | (cd "$root" && xargs -0 cp --parents -t "$folder/tree" 2>/dev/null) || true
cd "$folder/tree"
here=tests/coverage

export COVERAGE_DATA=$folder/data/.coverage
export PYTHONPATH=$folder/tree
echo "building with line tracing in $folder"
"$python" "$here/trace.py"

# Some ten times slower: what a test's own patience does not cover is told by the other runs of the same tests.
status=0
PYTHONPATH=$folder/tree:$folder/tree/$here "$python" -m coverage run --rcfile="$here/coveragerc" \
    -m pytest -q -p no:cacheprovider "${tests[@]}" || status=$?

"$python" -m coverage combine --rcfile="$here/coveragerc" --quiet "$folder/data"
"$python" -m coverage xml --rcfile="$here/coveragerc" -q -o "$out/coverage.xml"
"$python" -m coverage report --rcfile="$here/coveragerc" --sort=cover --show-missing | tee "$out/coverage.txt"
"$python" -m coverage report --rcfile="$here/coveragerc" --fail-under="$bar" --format=total >/dev/null || {
    echo "coverage is below $bar %" >&2
    exit 1
}
exit "$status"
