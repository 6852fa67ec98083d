#!/usr/bin/env bash
# Which lines of core and plane the tests run, those of compiled code included; fails below BAR percent. The tree is copied
# and built there with line tracing, so that the build in use stays as it is. Arguments: the tests to run, each argument in
# a process of its own, side by side.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
out=${OUT:-$root/bench/out/coverage}
bar=${BAR:-95}
# Of the tests with whole gateways, those of what only a real worker runs: its start and end, TLS, HTTP/2, the last good
# snapshot. Others run the same lines again, and a traced gateway takes seconds to start.
e2e="tests/e2e/test_worker_start.py tests/e2e/test_draining.py tests/e2e/test_streaming.py tests/e2e/test_tls.py
    tests/e2e/test_tls_upstreams.py tests/e2e/test_last_good.py"
groups=("$@")
[[ ${#groups[@]} -gt 0 ]] || groups=(tests/core "tests/plane tests/fuzz" "$e2e")
# Left out, as they do the same many times over, which takes minutes when traced.
repeated=(
    tests/core/test_sections.py::test_one_edit_changes_one_section_of_consumers_and_one_of_keys
    tests/core/test_sections.py::test_ten_thousand_keys_are_all_found_in_a_hundred_bytes_each
    tests/core/test_reaping.py::test_workers_killed_at_any_instruction_leave_nothing_in_flight
    tests/e2e/test_tls.py::test_a_new_certificate_is_taken_up_under_load_and_no_call_fails
)

tree=$(mktemp -d)
running=()
trap 'kill -INT "${running[@]}" 2>/dev/null && wait; rm -rf "$tree"' EXIT
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
export HEADGATE_TEST_PATIENCE=5
# A failure does not keep the lines from being counted, but is one of the run.
status=0
set -m # Else what runs in the background could not be interrupted.
for index in "${!groups[@]}"; do
    # shellcheck disable=SC2086 # a group is several words.
    "$python" -m coverage run --rcfile="$here/coveragerc" -m pytest -q -p no:cacheprovider \
        "${repeated[@]/#/--deselect=}" ${groups[index]} >"$out/tests.$index.txt" 2>&1 &
    running[index]=$!
done
for index in "${!groups[@]}"; do
    wait "${running[index]}" || status=$?
    unset "running[index]"
    cat "$out/tests.$index.txt"
done

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
