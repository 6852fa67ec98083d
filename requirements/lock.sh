#!/usr/bin/env bash
# Writes requirements/*.txt from *.in: every version pinned, every file by hash. Versions stay as they are where they still
# fit; `make lock` takes the newest with LOCK_OPTIONS=--upgrade, or one package's with LOCK_OPTIONS="--upgrade-package NAME".
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

# The resolver is pinned, and lives beside the environment: what it needs must not end up in what it locks.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --target "$tools" uv==0.13.9

for name in build base dev bench; do
    echo "locking requirements/$name.txt"
    # Where packages come from is the machine's setting and no part of a lock file.
    # shellcheck disable=SC2086  # options are words
    "$tools/bin/uv" pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
        --python-version 3.11 ${LOCK_OPTIONS:-} --output-file "requirements/$name.txt" "requirements/$name.in"
done

if grep -nE '^ *(-i|--(extra-)?index-url|--find-links|--trusted-host)' -- requirements/*.txt; then
    echo "a lock file names where packages come from" >&2
    exit 1
fi
