#!/usr/bin/env bash
# Installs the foreign peers for the tests: a Python implementation into .venv, and a Node implementation and the
# browser driver into node_modules, both beside this script. requirements.txt and package-lock.json pin the versions.
# Builds the peer in C into .native. Installs the C library, the proxies and the browser with the system's package manager. Skips
# everything that is already installed.
set -euo pipefail
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null || { echo "tests/setup.sh: $1 is not installed" >&2; exit 1; }
}

# installed FOLDER PINS: succeeds if FOLDER was installed from the present PINS
installed() {
    cmp -s "$2" "$1/.installed-from"
}

# from_system PACKAGE NEEDED: installs a package of the system, which NEEDED is part of
from_system() {
    command -v apt-get >/dev/null || { echo "tests/setup.sh: $2 is needed and not installed" >&2; exit 1; }
    local as_root
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

need python3
if ! installed .venv requirements.txt; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt .venv/.installed-from
fi

need node
need npm
if ! installed node_modules package-lock.json; then
    npm ci --silent --no-audit --no-fund
    cp package-lock.json node_modules/.installed-from
fi

need cc
if ! installed .native peers/judge.c; then
    cc -E -include wslay/wslay.h -x c - </dev/null >/dev/null 2>&1 || from_system libwslay-dev wslay/wslay.h
    rm -rf .native
    mkdir .native
    cc -std=gnu11 -O1 -Wall -Wextra -o .native/judge peers/judge.c -lwslay
    cp peers/judge.c .native/.installed-from
fi

command -v haproxy >/dev/null || from_system haproxy haproxy
command -v nginx >/dev/null || from_system nginx-light nginx
command -v "${CHROMIUM:-chromium}" >/dev/null || from_system chromium chromium
