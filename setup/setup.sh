#!/usr/bin/env bash
# Everything a fresh Debian 12 or 13 needs to run this project: see docs/setup.md. Safe to run again at any time.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
CACHE=${GRIDSCADA_CACHE:-$ROOT/var/cache}
# shellcheck disable=SC2034 # setup/python.sh fills it
VENV=${GRIDSCADA_VENV:-$ROOT/.venv}
LOGS=$CACHE/logs

# shellcheck source=setup/messages.sh
. "$HERE/messages.sh"
# shellcheck source=setup/timescaledb.sh
. "$HERE/timescaledb.sh"
# shellcheck source=setup/system.sh
. "$HERE/system.sh"
# shellcheck source=setup/python.sh
. "$HERE/python.sh"

# Sorting and messages that are searched for must not depend on the caller's language.
export LC_ALL=C.UTF-8

# With a trap bash waits for the running command before it ends: half an apt must not go on alone, without what holds back
# the system's servers.
trap 'exit 130' INT
trap 'exit 143' TERM

# Two runs at once (a demo and a test, say) would install into the same folders.
one_at_a_time() {
    mkdir -p "$LOGS" 2>/dev/null || fail "$EXIT_NOT_WRITABLE" "the folder $CACHE cannot be written"
    exec 9>"$CACHE/setup.lock" || fail "$EXIT_NOT_WRITABLE" "the folder $CACHE cannot be written"
    if ! flock -n 9; then
        say "waiting for another set-up to finish"
        flock 9
    fi
}

main() {
    one_at_a_time
    system_step
    python_step
    say "done"
}

main "$@"
