# shellcheck shell=bash
# The virtual environment: exactly what requirements.lock says, and this project itself in editable form.
#
# Knows which Python is new enough and when an existing environment is still the right one.

readonly PYTHON_SUITABLE='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

find_python() {
    local python
    # The distribution's first: a version manager's Python may vanish with a user's settings.
    for python in /usr/bin/python3 python3; do
        if command -v "$python" >/dev/null && "$python" -c "$PYTHON_SUITABLE" 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    fail "$EXIT_PYTHON_TOO_OLD" "Python 3.11 or later with its venv module is needed; found: $(python3 --version 2>&1 | head -n 1)"
}

venv_works() {
    [[ -x $VENV/bin/python ]] && "$VENV/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# What the environment was made from. The folder is part of it: an environment does not survive being moved.
venv_inputs() {
    { printf '%s\n' "$ROOT" "$VENV" && "$VENV/bin/python" --version && cat "$ROOT/requirements.lock" "$ROOT/pyproject.toml"; } |
        sha256sum | cut -d ' ' -f 1
}

venv_is_current() {
    # The stamp says what was installed; the command's presence and the import say that it is still there.
    venv_works && [[ -f $VENV/.made-from && $(cat "$VENV/.made-from") == "$(venv_inputs)" ]] &&
        [[ -x $VENV/bin/scada ]] && "$VENV/bin/python" -c 'import numpy, psycopg, scada' 2>/dev/null
}

pip_install() {
    local log=$1
    shift
    quietly "$log" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "$@" && return
    if grep -qE 'ConnectionError|NewConnectionError|Temporary failure|Network is unreachable|Max retries|ReadTimeout' "$log"; then
        fail "$EXIT_NO_NETWORK" "Python packages could not be fetched; is the network there?"
    fi
    fail "$EXIT_PYTHON_PACKAGES" "Python packages could not be installed"
}

python_step() {
    local python
    if venv_is_current; then
        say "virtual environment: current"
        return
    fi
    if ! venv_works; then
        python=$(find_python)
        say "making the virtual environment with $("$python" --version)"
        quietly "$LOGS/venv.log" "$python" -m venv --clear "$VENV" ||
            fail "$EXIT_PYTHON_PACKAGES" "the virtual environment could not be made"
    fi
    rm -f "$VENV/.made-from"
    say "installing Python packages from requirements.lock"
    pip_install "$LOGS/pip-lock.log" --require-hashes -r "$ROOT/requirements.lock"
    # Without isolation: setuptools comes from the lock too, so nothing unpinned takes part.
    pip_install "$LOGS/pip-project.log" --no-deps --no-build-isolation --editable "$ROOT"
    [[ -x $VENV/bin/scada ]] || fail "$EXIT_PYTHON_PACKAGES" "the project was installed but its command 'scada' is not there"
    venv_inputs >"$VENV/.made-from"
}
