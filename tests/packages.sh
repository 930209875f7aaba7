#!/usr/bin/env bash
# Builds each published crate, with its examples and tests, from the package that `cargo package` creates for it. The
# packages are extracted outside the workspace, so a file that a package lacks is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(ws-core ws-transport ws-sessions ws-std ws-smol)
target=${CARGO_TARGET_DIR:-$PWD/target}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cargo package --allow-dirty --no-verify "${packages[@]/#/-p}"
for package in "${packages[@]}"; do
    archive=("$target/package/$package"-[0-9]*.crate)
    mkdir "$folder/$package"
    tar xzf "${archive[0]}" -C "$folder/$package" --strip-components 1
    test -s "$folder/$package/LICENSE-MIT"
    test -s "$folder/$package/LICENSE-APACHE"
done
# Each package depends only on earlier ones of the list, which are not in the registry yet.
patches=()
for package in "${packages[@]}"; do
    echo "== $package"
    (cd "$folder/$package" && CARGO_TARGET_DIR="$target/packages" cargo check --all-targets --all-features "${patches[@]}")
    patches+=(--config "patch.crates-io.$package.path='$folder/$package'")
done
