#!/bin/sh
# Fuzzes every target for some seconds, one after another, and prints what came of it.
#
#     sh fuzz/run.sh [SECONDS [TARGET…]]      (default: 60 seconds, all targets)
#
# What crashes, hangs (10 seconds for one input) or takes too much memory (512 MiB at once, 1 GiB in all) is kept in
# fuzz/artifacts. Needs cargo-fuzz and a C++ compiler; no nightly toolchain, because the sanitizers are off: imgbuild's own
# code has next to nothing unsafe to watch.
set -u
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(cargo fuzz list)
# Stores and images that inputs make are not worth a disk.
[ -d /dev/shm ] && export TMPDIR=/dev/shm

[ -d fuzz/corpus ] || python3 -B fuzz/seeds.py
cargo fuzz build --sanitizer none || exit 1
status=0
for target in "$@"; do
    case $target in
        dockerfile | expand | lower) options="-dict=fuzz/dictionaries/dockerfile.dict -max_len=4096" ;;
        hcl | bakejson | compose) options="-dict=fuzz/dictionaries/bake.dict -max_len=4096" ;;
        buildfile | lockfile | settings | trust) options="-dict=fuzz/dictionaries/toml.dict -max_len=4096" ;;
        tar | unpack) options=-max_len=16384 ;;
        answers | kept | policy) options="-dict=fuzz/dictionaries/bake.dict -max_len=4096" ;;
        *) options=-max_len=4096 ;;
    esac
    log=$(mktemp)
    # shellcheck disable=SC2086 # several words are meant
    cargo fuzz run --sanitizer none "$target" -- $options -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 \
        -print_final_stats=1 >"$log" 2>&1 || status=1
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %12s executions' "$target" "${executions:-?}"
    if grep -q 'ERROR: libFuzzer' "$log"; then
        printf '  FAILED: %s' "$(grep -m1 -E 'panicked at|ERROR: libFuzzer' "$log")"
        sed -n '/panicked at/,/^stack backtrace/p' "$log" | head -8
    fi
    printf '\n'
    rm "$log"
done
exit $status
