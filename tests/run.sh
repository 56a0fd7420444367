#!/bin/sh
# Runs all tests: the formatting, cargo's, the quickstart, and the conformance cases in both directions.
#
# As root on Debian it installs the packages that tests need; otherwise it says what is missing and stops.
# A part that fails does not keep the others from running. The last line counts all of them.
set -eu
cd "$(dirname "$0")/.."
# Debian keeps runc where the PATH of ordinary users does not look.
PATH=$PATH:/usr/sbin:/sbin
export PATH

# Property tests have the same inputs in every run, so that what fails fails again; CONTRIBUTING.md says how to try others.
PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED-1}
export PROPTEST_RNG_SEED

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust as https://rustup.rs says" >&2
    exit 1
fi

# What must be there, and the Debian package that has it.
missing=
for need in cc:gcc git:git openssl:openssl python3:python3 mmdebstrap:mmdebstrap skopeo:skopeo umoci:umoci podman:podman \
    buildah:buildah docker-registry:docker-registry htpasswd:apache2-utils runc:runc ssh:openssh-client sshd:openssh-server \
    newuidmap:uidmap qemu-aarch64-static:qemu-user-static faketime:faketime /bin/busybox:busybox-static xz:xz-utils zstd:zstd bzip2:bzip2 \
    ip:iproute2 pasta:passt slirp4netns:slirp4netns chromium:chromium rpmbuild:rpm db5.3_load:db5.3-util; do
    command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
# The package is for the system's Python, which need not be the first in the PATH.
for python in python3 /usr/bin/python3; do
    "$python" -c 'import jsonschema' 2>/dev/null && break
done || missing="$missing python3-jsonschema"
[ "$(id -u)" != 0 ] || python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing:$missing" >&2
        echo "install these packages, or run this as root on Debian, where it does so itself" >&2
        exit 1
    fi
    echo "installing$missing" >&2
    apt-get update
    # Nothing that comes with them is to be started, such as the ssh server.
    # shellcheck disable=SC2086 # several words are meant
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi

# A server of buckets, which is no Debian package. Without it, the tests of caches in buckets say that they are skipped.
if [ -z "${IMGBUILD_MOTO-}" ] && ! command -v moto_server >/dev/null; then
    moto=${CARGO_TARGET_DIR:-target}/moto
    if [ ! -x "$moto/bin/moto_server" ]; then
        echo "installing moto_server in $moto" >&2
        { python3 -m venv "$moto" && "$moto/bin/pip" install --quiet 'moto[server]>=5,<6'; } >&2 ||
            echo "moto_server cannot be installed: caches in buckets are not tested" >&2
    fi
    IMGBUILD_MOTO=$(realpath -m "$moto")/bin/moto_server
    export IMGBUILD_MOTO
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
: >"$scratch/log"
failed_parts=

# Runs one part, shows its output, and keeps it for the count.
part() {
    title=$1
    shift
    printf '\n== %s\n' "$title"
    { "$@" 2>&1 && : >"$scratch/fine" || :; } | tee -a "$scratch/log"
    if [ -e "$scratch/fine" ]; then rm "$scratch/fine"; else failed_parts="$failed_parts, $title"; fi
}

# The cases that files name, one a line.
named() {
    cat "$@" | grep -v '^#' | grep . || :
}

# Does something up to three times, and shows the last try.
racing() {
    for try in 1 2 3; do
        "$@" >"$scratch/try" 2>&1 && break
    done
    result=$?
    cat "$scratch/try"
    return $result
}

# The conformance cases that are known to fail.
known() {
    named tests/known-failures.txt
}

# Those in which programs race.
races() {
    named tests/racing-cases.txt | sed 's|^|tests/conformance/cases/|'
}

# All others, but for those that these files name.
cases() {
    find tests/conformance/cases -mindepth 3 -maxdepth 3 -name expected.json |
        sed 's|^tests/conformance/cases/||; s|/expected\.json$||' | sort >"$scratch/all"
    named tests/known-failures.txt tests/racing-cases.txt "$@" | sort >"$scratch/known"
    comm -23 "$scratch/all" "$scratch/known" | sed 's|^|tests/conformance/cases/|'
}

# The conformance cases as a user without root, which the integration tests have made. Its files are nobody's but its own, so
# all of it is in a place that it can reach, and in a user namespace that can remove them.
rootless() {
    place=$(mktemp -d /var/tmp/imgbuild-rootless.XXXXXX)
    cp -r "$binary" tests/conformance "$place"
    # shellcheck disable=SC2046 # one word for each case is meant
    (cd "$place" && chown -R imgbuild-test-mapped . && mkdir tmp && chmod 1777 tmp &&
        TMPDIR=$place/tmp runuser -u imgbuild-test-mapped -- unshare --user --mount --map-auto --map-root-user \
            python3 -B conformance/check.py --imgbuild "$place/imgbuild" \
            $(cd "$OLDPWD" && cases tests/known-failures-rootless.txt | sed 's|^tests/||'))
    result=$?
    rm -rf "$place"
    return $result
}

# The quickstart, whose lockfile must not change: it says what the Dockerfile defines, and that is committed.
quickstart() {
    cp examples/quickstart/Dockerfile.lock "$scratch/lock"
    sh examples/quickstart/run.sh || return
    cmp "$scratch/lock" examples/quickstart/Dockerfile.lock && return
    echo "the quickstart's lockfile is stale; commit the new one"
    return 1
}

if cargo fmt --version >/dev/null 2>&1; then
    part formatting cargo fmt --check
fi
# Without it, a test looks at the same but for what `cargo deny` alone knows.
if cargo deny --version >/dev/null 2>&1; then
    part "cargo deny" cargo deny check bans licenses sources
fi
part "cargo test" cargo test --locked --no-fail-fast
part quickstart quickstart
binary=${CARGO_TARGET_DIR:-target}/release/imgbuild
# shellcheck disable=SC2046 # one word for each case is meant
part conformance python3 -B tests/conformance/check.py --imgbuild "$binary" $(cases)
# shellcheck disable=SC2046
part "conformance, races" racing python3 -B tests/conformance/check.py --imgbuild "$binary" $(races)
# shellcheck disable=SC2046
part reproducibility python3 -B tests/conformance/reproduce.py --imgbuild "$binary" $(cases)
if [ "$(id -u)" = 0 ]; then
    part "conformance without root" rootless
fi

printf '\n'
if [ -n "$(known)" ]; then
    echo "left out: $(known | wc -l) conformance cases that are known to fail (tests/known-failures.txt)"
fi
if [ -n "$failed_parts" ]; then
    echo "FAILED: ${failed_parts#, }"
fi
# cargo says "test result: ok. 3 passed; 0 failed; …", the conformance checks "3 passed, 0 failed".
awk '
    match($0, /[0-9]+ passed[;,] [0-9]+ failed/) {
        split(substr($0, RSTART, RLENGTH), words, " ")
        passed += words[1]
        failed += words[3]
    }
    END { printf "%d passed, %d failed\n", passed, failed }
' "$scratch/log"
[ -z "$failed_parts" ]
