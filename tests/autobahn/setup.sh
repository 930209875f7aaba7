#!/usr/bin/env bash
# Installs the Autobahn testsuite into the folder $1, and does nothing if it is there in this version.
#
# The suite runs on Python 2.7 alone. One that the machine has is used, or the one that AUTOBAHN_PYTHON27
# names; otherwise 2.7 is taken from the last Debian release that had it, unpacked into the same folder. Needs
# python3 with its venv module and, for the last resort, apt with sources for Debian.
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
home=$1
mkdir -p "$home"
home=$(cd "$home" && pwd)

version=$(cat "$source/setup.sh" "$source/requirements.txt" | cksum)
if [ "$(cat "$home/installed" 2>/dev/null)" = "$version" ]; then
    exit 0
fi
say() { echo "autobahn/setup.sh: $*" >&2; }

is_python27() {
    "$1" -c 'import ctypes, ssl, sys, zlib; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null
}

# Unpacks Debian's packages below $home/debian. The system's own apt is asked and not changed: it gets lists,
# a cache and sources of its own, in which the release is another.
unpack_python27() {
    local apt=$home/apt root=$home/debian release file
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$release" ] && command -v apt-get dpkg >/dev/null || { say "there is no apt"; return 1; }
    rm -rf "$apt" "$root"
    mkdir -p "$apt"/{sources,lists/partial,archives/partial} "$root"
    touch "$apt/no-file"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if grep -qs "\b$release\b" "$file"; then
            sed "s/\b$release\b/bullseye/g" "$file" >"$apt/sources/${file##*/}"
        fi
    done
    local ask=(
        apt-get -qq
        -o "Dir::Etc::SourceList=$apt/no-file" -o "Dir::Etc::SourceParts=$apt/sources"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o "Dir::Cache::Archives=$apt/archives"
        -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none
    )
    "${ask[@]}" update >&2 || return 1
    (cd "$apt/archives" && "${ask[@]}" download python2.7 python2.7-minimal libpython2.7-stdlib \
        libpython2.7-minimal libpython2.7-dev libssl1.1 libffi7 >&2) || return 1
    for file in "$apt"/archives/*.deb; do
        dpkg-deb --extract "$file" "$root" || return 1
    done
    rm -rf "$apt"
    local libraries includes
    libraries=$(dirname "$(find "$root" -name libssl.so.1.1)")
    includes=$(find "$root" -name pyconfig.h -printf '%h:')$root/usr/include/python2.7:$root/usr/include
    {
        echo '#!/bin/sh'
        echo "LD_LIBRARY_PATH='$libraries' C_INCLUDE_PATH='$includes' exec '$root/usr/bin/python2.7' \"\$@\""
    } >"$home/python2.7"
    chmod +x "$home/python2.7"
}

find_python27() {
    local candidate
    if [ "${AUTOBAHN_PYTHON27:-}" = debian ]; then
        unpack_python27
        return
    fi
    for candidate in "${AUTOBAHN_PYTHON27:-}" "$HOME"/.pyenv/versions/2.7*/bin/python2.7 \
        "$(command -v python2.7 || true)" "$home/python2.7"; do
        if [ -x "$candidate" ] && is_python27 "$candidate"; then
            [ "$candidate" -ef "$home/python2.7" ] || ln -sf "$candidate" "$home/python2.7"
            return
        fi
    done
    say "this machine has no Python 2.7: taking it from Debian"
    unpack_python27
}

rm -rf "$home/installed" "$home/pip" "$home/wheels" "$home/site"
find_python27 && is_python27 "$home/python2.7" || { say "no Python 2.7"; exit 1; }

# Python 3's pip fetches the last pip for 2.7, which may not come with it, and that installs the rest.
mkdir -p "$home/wheels"
python3 -m venv "$home/pip"
"$home/pip/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$home/wheels" \
    --python-version 2.7 --implementation py --only-binary :all: pip==20.3.4 setuptools==44.0.0 wheel==0.37.1
for wheel in "$home"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$home/wheels/unpacked"
done
install() {
    env -u PYTHONHOME PYTHONNOUSERSITE=1 PYTHONPATH="$home/wheels/unpacked" "$home/python2.7" -W ignore -m pip \
        --no-python-version-warning --disable-pip-version-check install --quiet --no-warn-script-location \
        --no-build-isolation --no-deps --target "$home/site" "$@"
}
install --requirement "$source/requirements.txt"
# Masks and validates in C. The verdicts are the same without.
install wsaccel==0.6.2 2>"$home/wsaccel.log" || say "no wsaccel (see wsaccel.log): the suite will be slower"

rm -rf "$home/pip" "$home/wheels"
echo "$version" >"$home/installed"
say "installed"
