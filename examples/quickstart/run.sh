#!/bin/sh
# Builds the static release binary, lets it build an image of itself, and shows what it made.
# Needs Rust, a C compiler and a kernel that permits namespaces; no registry, no root file system to download.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
here=$target/quickstart
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

# Says why, and shows the command.
say() {
    printf '\n# %s\n' "$1"
    shift
    printf '%s ' '$' "$@" | fold -s -w 110 | sed '$!s/$/\\/; 2,$s/^/    /; $s/ $//'
    printf '\n'
}

# The same, and runs it.
show() {
    say "$@"
    shift
    "$@"
}

show "The release binary is static: it runs in an empty root file system." cargo static
# A folder of its own, so that the build's context is one file and not all that cargo left beside it.
mkdir -p "$here/bin"
cp "$target/release/imgbuild" "$here/bin/imgbuild"
PATH=$(cd "$here/bin" && pwd):$PATH
IMGBUILD_ROOT=$(cd "$here" && pwd)/store
export PATH IMGBUILD_ROOT

# Builds the image into the store and into an archive; further arguments are flags.
build() {
    why=$1 archive=$2
    shift 2
    show "$why" imgbuild build -f examples/quickstart/Dockerfile --build-arg=VERSION="$version" \
        --build-context=bin="$here/bin" -t imgbuild:quickstart --output=type=image --output=type=oci,dest="$archive" "$@" .
}

build "It builds an image of itself, in which it builds another image to see whether it works." "$here/imgbuild.oci.tar"
build "Again, and nothing has changed: no step runs, and the lockfile is as it was." "$here/imgbuild.oci.tar" --locked
(
    IMGBUILD_ROOT=$(mktemp -d "$PWD/$here/elsewhere.XXXXXX")
    trap 'rm -rf "$IMGBUILD_ROOT"' EXIT
    umask 077
    TZ=Asia/Tokyo build "From nothing, in another store, time zone and umask, one step at a time: the same image." \
        "$here/again.oci.tar" --jobs 1 --progress quiet --no-lock
)
show "… to the last bit." cmp "$here/imgbuild.oci.tar" "$here/again.oci.tar"

show "What is in the store." imgbuild images
show "How it came to be." imgbuild history imgbuild:quickstart
say "What another tool is told about it (the beginning)." imgbuild inspect imgbuild:quickstart "| head -n 25"
imgbuild inspect imgbuild:quickstart | head -n 25
show "What it took from outside: nothing, so there is nothing to pin." cat examples/quickstart/Dockerfile.lock
show "The archive, for skopeo, podman load and docker load." ls -l "$here/imgbuild.oci.tar"
