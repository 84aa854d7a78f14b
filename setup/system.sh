# shellcheck shell=bash
# The packages of the distribution: PostgreSQL with TimescaleDB, Mosquitto, Python's venv.
#
# Knows apt and which packages are missing, and keeps the distribution from starting servers of its own while they are
# installed. Never touches an existing cluster or a broker that was there before.

readonly CREATECLUSTER_DROPIN=/etc/postgresql-common/createcluster.d/gridscada.conf
readonly POLICY_RC=/usr/sbin/policy-rc.d
readonly OUR_MARK="gridscada set-up, temporary"

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

missing_of() {
    local package
    for package in "$@"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

require_apt() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        fail "$EXIT_NO_APT" "this machine has no apt; the set-up knows Debian 12 and later. Name external servers in config.toml and install requirements.lock by hand, see docs/setup.md"
    fi
}

require_root() {
    ((EUID == 0)) && return
    command -v sudo >/dev/null ||
        fail "$EXIT_NO_ROOT" "packages must be installed ($*) and this is neither root nor is there sudo"
    # Without a terminal sudo cannot ask, so a password prompt would hang an unattended run.
    if [[ -t 0 ]]; then sudo -v; else sudo -n true 2>/dev/null; fi ||
        fail "$EXIT_NO_ROOT" "packages must be installed ($*) and sudo was refused"
}

candidate_of() {
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# The newest installed server that already has the extension, or nothing.
ready_postgres() {
    local folder major
    for folder in $(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -rV); do
        major=${folder##*/}
        if [[ -x $folder/bin/postgres ]] && timescaledb_is_installed "$major"; then
            printf '%s' "$major"
            return
        fi
    done
}

# The newest server for which the release packages TimescaleDB, or nothing.
packaged_postgres() {
    local package major
    for package in $(apt-cache --names-only search '^postgresql-[0-9]+-timescaledb$' | awk '{ print $1 }' | sort -rV); do
        major=${package#postgresql-}
        major=${major%-timescaledb}
        if [[ -n $(candidate_of "$package") && -n $(candidate_of "postgresql-$major") ]]; then
            printf '%s' "$major"
            return
        fi
    done
}

# The server the release's own metapackage stands for, or nothing.
default_postgres() {
    apt-cache depends postgresql 2>/dev/null |
        awk '$1 == "Depends:" && match($2, /^postgresql-[0-9]+$/) { print substr($2, 12); exit }'
}

apt_update() {
    say "fetching the package index"
    as_root apt-get -o APT::Update::Error-Mode=any update >"$LOGS/apt-update.log" 2>&1 && return
    # One broken third-party source must not stop us as long as the packages we need are known.
    [[ -n $(candidate_of postgresql) && -n $(candidate_of mosquitto) ]] && return
    tail -n 10 "$LOGS/apt-update.log" | sed 's/^/    /' >&2
    fail "$EXIT_NO_NETWORK" "the package index could not be fetched; is the network there?"
}

# The distribution starts what it installs: a cluster on 5432, a broker on 1883. Ours are private ones, so that must not happen.
hold_back_system_servers() {
    trap release_system_servers EXIT
    if [[ ! -e $POLICY_RC ]]; then
        printf '#!/bin/sh\n# %s\nexit 101\n' "$OUR_MARK" | as_root tee "$POLICY_RC" >/dev/null
        as_root chmod 755 "$POLICY_RC"
    fi
    if [[ ! -e $CREATECLUSTER_DROPIN ]]; then
        as_root mkdir -p "${CREATECLUSTER_DROPIN%/*}"
        printf '# %s\ncreate_main_cluster = false\n' "$OUR_MARK" | as_root tee "$CREATECLUSTER_DROPIN" >/dev/null
    fi
}

release_system_servers() {
    local file
    for file in "$POLICY_RC" "$CREATECLUSTER_DROPIN"; do
        # By its mark, not by memory: one left by a killed run goes too, one of the machine's own stays.
        if [[ -f $file ]] && grep -q "$OUR_MARK" "$file"; then as_root rm -f "$file"; fi
    done
}

disable_system_broker() {
    if command -v systemctl; then
        as_root systemctl disable mosquitto.service
    elif command -v update-rc.d && [[ -e /etc/init.d/mosquitto ]]; then
        as_root update-rc.d mosquitto disable
    fi
}

apt_install() {
    local status=0 new_broker=no
    is_installed mosquitto || new_broker=yes
    say "installing $*"
    hold_back_system_servers
    quietly "$LOGS/apt-install.log" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@" || status=$?
    release_system_servers
    if ((status != 0)); then
        if grep -qE 'Failed to fetch|Unable to fetch|Could not resolve|Could not connect' "$LOGS/apt-install.log"; then
            fail "$EXIT_NO_NETWORK" "packages could not be fetched; is the network there?"
        fi
        fail "$EXIT_PACKAGES" "apt could not install $*"
    fi
    # Not started now, and not at the next boot either; a broker that was there before us is left as it is.
    if [[ $new_broker == yes ]] && is_installed mosquitto; then
        disable_system_broker >/dev/null 2>&1 ||
            say "note: the system's own mosquitto stays enabled and will start at the next boot"
    fi
}

require_debian_to_build() {
    local id
    # shellcheck source=/dev/null
    id=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
    [[ $id == debian ]] ||
        fail "$EXIT_UNSUPPORTED_RELEASE" "release '$id' has no TimescaleDB package and building it is known for Debian only; name an external server in config.toml"
}

install_built_timescaledb() {
    local major=$1 build
    require_debian_to_build
    mapfile -t build < <(missing_of "${TIMESCALEDB_BUILD_PACKAGES[@]}" "postgresql-server-dev-$major")
    if [[ ! -f $(timescaledb_deb "$major") ]] && ((${#build[@]} > 0)); then apt_install "${build[@]}"; fi
    timescaledb_build_cached "$major"
    say "installing TimescaleDB for PostgreSQL $major"
    quietly "$LOGS/timescaledb-install.log" as_root dpkg -i "$(timescaledb_deb "$major")" ||
        fail "$EXIT_TIMESCALEDB" "the built TimescaleDB package could not be installed"
    timescaledb_is_installed "$major" || fail "$EXIT_TIMESCALEDB" "the TimescaleDB package is installed but its files are not there"
}

install_postgres() {
    local major wanted
    major=$(packaged_postgres)
    if [[ -n $major ]]; then
        mapfile -t wanted < <(missing_of "postgresql-$major" "postgresql-$major-timescaledb" "$@")
        apt_install "${wanted[@]}"
        return
    fi
    major=$(default_postgres)
    [[ -n $major ]] || fail "$EXIT_UNSUPPORTED_RELEASE" "this release offers no PostgreSQL server"
    [[ " $TIMESCALEDB_POSTGRES " == *" $major "* ]] ||
        fail "$EXIT_UNSUPPORTED_RELEASE" "this release has PostgreSQL $major and no TimescaleDB for it; $TIMESCALEDB_VERSION can be built for PostgreSQL $TIMESCALEDB_POSTGRES"
    mapfile -t wanted < <(missing_of "postgresql-$major" "$@")
    if ((${#wanted[@]} > 0)); then apt_install "${wanted[@]}"; fi
    install_built_timescaledb "$major"
}

system_step() {
    local missing=() postgres
    postgres=$(ready_postgres)
    mapfile -t missing < <(missing_of mosquitto)
    # Another Python may be chosen later; the distribution's needs this package to make an environment.
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    # For the tests: another implementation of Modbus, of PDF signatures and of X.509 judge ours from outside; SoftHSM is
    # a token (PKCS#11) without the hardware; shellcheck judges these scripts.
    mapfile -t -O "${#missing[@]}" missing < <(missing_of libmodbus5 poppler-utils openssl softhsm2 shellcheck)
    if [[ -n $postgres ]] && ((${#missing[@]} == 0)); then
        say "system packages: PostgreSQL $postgres with TimescaleDB, Mosquitto: there"
        return
    fi
    require_apt
    require_root "PostgreSQL with TimescaleDB, Mosquitto, Python"
    apt_update
    if [[ -n $postgres ]]; then apt_install "${missing[@]}"; else install_postgres "${missing[@]}"; fi
}
