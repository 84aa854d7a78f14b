# shellcheck shell=bash
# TimescaleDB for a PostgreSQL whose distribution has no package of it: built once from the next release's source package.
#
# Knows how to fetch (by apt, which verifies the signatures), build (Apache edition) and pack it as a package of the
# machine's own package manager, so that it can be listed and removed like any other. Does not know any archive's address:
# setup/source_entry.py derives it from the machine's configuration.

# The release whose source package is taken. 2.19.3 is the version Debian 13 ships and the one we test with.
readonly TIMESCALEDB_RELEASE=trixie
readonly TIMESCALEDB_VERSION=2.19.3
# What that version can be built for.
readonly TIMESCALEDB_POSTGRES="15 16 17"
# shellcheck disable=SC2034 # setup/system.sh installs them
readonly TIMESCALEDB_BUILD_PACKAGES=(cmake dpkg-dev gcc libc6-dev libkrb5-dev libssl-dev make)

# Kept in the cache folder, not beside the source: a fresh clone on the same machine finds it installed anyway.
timescaledb_deb() {
    local major=$1
    printf '%s/gridscada-timescaledb-%s_%s_%s.deb' "$CACHE" "$major" "$TIMESCALEDB_VERSION" "$(dpkg --print-architecture)"
}

timescaledb_is_installed() {
    local major=$1
    [[ -f /usr/share/postgresql/$major/extension/timescaledb.control && -f /usr/lib/postgresql/$major/lib/timescaledb.so ]]
}

timescaledb_fetch() {
    local work=$1 release
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources" "$work/source"
    /usr/bin/python3 "$HERE/source_entry.py" "$release" "$TIMESCALEDB_RELEASE" >"$work/apt/sources/source.sources" ||
        fail "$EXIT_UNSUPPORTED_RELEASE" "no package source of release '$release' is configured, so none can be derived for the TimescaleDB source package"
    # A private state folder: the machine's own lists and sources are neither read nor changed.
    local apt=(apt-get -o "Dir::State=$work/apt/state" -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=$work/apt/cache"
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/apt/sources" -o "APT::Sandbox::User=$(id -un)"
        -o "APT::Update::Error-Mode=any")
    quietly "$work/fetch-index.log" "${apt[@]}" update ||
        fail "$EXIT_NO_NETWORK" "the package index of release '$TIMESCALEDB_RELEASE' could not be fetched; is the network there?"
    (cd "$work/source" && quietly "$work/fetch-source.log" "${apt[@]}" --only-source source timescaledb) ||
        fail "$EXIT_TIMESCALEDB" "the source package of TimescaleDB could not be fetched or verified"
}

timescaledb_build() {
    local work=$1 major=$2 tree
    tree=$(find "$work/source" -mindepth 1 -maxdepth 1 -type d -name "timescaledb-${TIMESCALEDB_VERSION}*" | head -n 1)
    [[ -n $tree ]] || fail "$EXIT_TIMESCALEDB" "the fetched source package is not version $TIMESCALEDB_VERSION"
    (
        cd "$tree"
        # The regression suite needs the non-free parts; warnings of a newer compiler are not ours to fix.
        quietly "$work/configure.log" ./bootstrap -DAPACHE_ONLY=1 -DREGRESS_CHECKS=OFF -DTAP_CHECKS=OFF \
            -DCMAKE_BUILD_TYPE=Release -DWARNINGS_AS_ERRORS=OFF "-DPG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config"
        quietly "$work/build.log" make -C build -j2
        quietly "$work/install.log" make -C build install "DESTDIR=$work/package"
    ) || fail "$EXIT_TIMESCALEDB" "TimescaleDB could not be built"
}

timescaledb_pack() {
    local work=$1 major=$2 deb
    deb=$(timescaledb_deb "$major")
    mkdir -p "$work/package/DEBIAN"
    cat >"$work/package/DEBIAN/control" <<CONTROL
Package: gridscada-timescaledb-$major
Version: $TIMESCALEDB_VERSION
Architecture: $(dpkg --print-architecture)
Maintainer: this machine <root@localhost>
Depends: postgresql-$major
Conflicts: postgresql-$major-timescaledb
Section: database
Priority: optional
Description: TimescaleDB (Apache edition) for PostgreSQL $major, built on this machine
 Built by the set-up of gridscada from the source package of Debian $TIMESCALEDB_RELEASE.
CONTROL
    # Written beside and renamed: an interrupted build must not leave half a package in the cache.
    quietly "$work/pack.log" dpkg-deb --root-owner-group --build "$work/package" "$deb.part" ||
        fail "$EXIT_TIMESCALEDB" "TimescaleDB was built but could not be packed"
    mv "$deb.part" "$deb"
}

timescaledb_build_cached() {
    local major=$1 work
    [[ -f $(timescaledb_deb "$major") ]] && return
    [[ " $TIMESCALEDB_POSTGRES " == *" $major "* ]] ||
        fail "$EXIT_UNSUPPORTED_RELEASE" "this release has PostgreSQL $major and no TimescaleDB package for it; TimescaleDB $TIMESCALEDB_VERSION can be built for PostgreSQL $TIMESCALEDB_POSTGRES only"
    work=$CACHE/timescaledb-build
    rm -rf "$work"
    mkdir -p "$work"
    say "fetching the TimescaleDB $TIMESCALEDB_VERSION source package of Debian $TIMESCALEDB_RELEASE"
    timescaledb_fetch "$work"
    say "building TimescaleDB for PostgreSQL $major (Apache edition, about half a minute)"
    timescaledb_build "$work" "$major"
    timescaledb_pack "$work" "$major"
    rm -rf "$work"
}
