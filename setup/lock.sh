#!/usr/bin/env bash
# Write requirements.lock anew from pyproject.toml: every version and hash, no addresses; one version of each package for every
# Python from 3.11 on, so that Debian 12 and 13 run and check the same thing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=$(command -v .venv/bin/uv || command -v uv) || {
    echo "lock: the command uv is needed: .venv/bin/pip install uv" >&2
    exit 1
}

# setup/build.in: what builds the project itself. The set-up installs without build isolation, so it is pinned like the rest.
"$uv" pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --extra dev --output-file requirements.lock pyproject.toml setup/build.in

if grep -nE '://|^--|@ ' requirements.lock; then
    echo "lock: the lines above name an address" >&2
    exit 1
fi
