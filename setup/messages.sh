# shellcheck shell=bash
# What every step of the set-up shares: one line per step, and how a step fails.
#
# Knows the exit codes and how to speak. Does not know any step.

# shellcheck disable=SC2034 # the steps use them

# One number per cause, so that a caller (or an operator's runbook) can tell them apart. 1 and 2 are left to bash itself.
readonly EXIT_NO_APT=10
readonly EXIT_NO_ROOT=11
readonly EXIT_NO_NETWORK=12
readonly EXIT_UNSUPPORTED_RELEASE=13
readonly EXIT_PYTHON_TOO_OLD=14
readonly EXIT_PACKAGES=15
readonly EXIT_TIMESCALEDB=16
readonly EXIT_PYTHON_PACKAGES=17
readonly EXIT_NOT_WRITABLE=18
readonly EXIT_NODE_PACKAGES=19

say() {
    printf 'setup: %s\n' "$*"
}

fail() {
    local code=$1
    shift
    printf 'setup: FAILED: %s (exit code %d)\n' "$*" "$code" >&2
    exit "$code"
}

# Runs a command with its output in a log; the log is shown only when the command fails.
# Returns the command's own status, so the caller decides what the failure means.
quietly() {
    local log=$1 status=0
    shift
    "$@" >"$log" 2>&1 || status=$?
    if ((status != 0)); then
        tail -n 25 "$log" | sed 's/^/    /' >&2
        printf '    (whole log: %s)\n' "$log" >&2
    fi
    return "$status"
}
