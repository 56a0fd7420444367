#!/bin/sh
# Builds the static release binary, lets it build an image of itself, and shows what it made.
# Needs Rust, a C compiler and a kernel that permits namespaces; no registry, no root file system to download.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
here=$target/quickstart
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show cargo static
# A folder of its own, so that the build's context is one file and not all that cargo left beside it.
mkdir -p "$here/bin"
cp "$target/release/imgbuild" "$here/bin/imgbuild"

PATH=$(cd "$here/bin" && pwd):$PATH
IMGBUILD_ROOT=$(cd "$here" && pwd)/store
export PATH IMGBUILD_ROOT

build() {
    show imgbuild build -f examples/quickstart/Dockerfile --build-context bin="$here/bin" --build-arg VERSION="$version" \
        -t imgbuild:quickstart -o type=image -o type=oci,dest="$here/imgbuild.oci.tar" .
}

build
# Nothing has changed: no step runs.
build

show imgbuild images
show imgbuild history imgbuild:quickstart
show imgbuild inspect imgbuild:quickstart
show cat examples/quickstart/Dockerfile.lock
show ls -l "$here/imgbuild.oci.tar"
