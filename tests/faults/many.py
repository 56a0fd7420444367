#!/usr/bin/env python3
"""Hundreds of cheap builds in one store, a batch of them at a time, while somebody prunes the cache.

    tests/faults/many.py PROGRAM [--builds 500] [--batch 25] [--kills 50]

Needs root. Builds share steps by tens. With `--kills`, so many of them are killed while they run or wait for each other, and are done again.
Builds of the same definition must have the same digest, all images must be listed at the end, and `fsck --deep` must find nothing. Exits
with 1 if something is amiss.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

BUSYBOX = pathlib.Path(__file__).resolve().parent.parent / "conformance" / "busybox.oci.tar"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--builds", type=int, default=500)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imgbuild-many-") as folder:
        folder = pathlib.Path(folder)
        program = options.program.resolve()

        def call(*words):
            return subprocess.run([program, "--root", folder / "store", *words], cwd=folder, capture_output=True, text=True)

        loaded = call("load", "-q", "-i", str(BUSYBOX))
        if loaded.returncode != 0:
            sys.exit(loaded.stderr)
        # Every definition is built twice, at moments far from each other.
        kinds = max(options.builds // 2, 1)
        for kind in range(kinds):
            context = folder / f"context-{kind}"
            context.mkdir()
            (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo {kind // 10} >/shared\nCOPY f /f\n")
            (context / "f").write_text(str(kind))

        chance = random.Random(1)
        doomed = set(chance.sample(range(options.builds), min(options.kills, options.builds)))
        killed = collections.Counter()

        def build(number):
            kind = number % kinds
            words = ["build", "--progress", "json", "-t", f"image-{kind}", f"context-{kind}"]
            if number in doomed:
                quiet = subprocess.DEVNULL
                child = subprocess.Popen([program, "--root", folder / "store", *words], cwd=folder, stdout=quiet, stderr=quiet)
                try:
                    child.wait(chance.random() / 2)
                except subprocess.TimeoutExpired:
                    child.kill()
                killed[child.wait() != 0] += 1
            done = call(*words)
            if done.returncode != 0:
                return kind, None, done.stderr[-600:]
            last = [line for line in done.stderr.splitlines() if '"event":"summary"' in line][-1]
            return kind, json.loads(last)["images"][0]["digest"], None

        over, pruned, wrong = threading.Event(), collections.Counter(), []

        def prune():
            while not over.is_set():
                done = call("prune", "-f", "--wait", "--all", "cache")
                pruned[done.returncode] += 1

        pruner = threading.Thread(target=prune)
        pruner.start()
        digests = collections.defaultdict(set)
        with concurrent.futures.ThreadPoolExecutor(options.batch) as pool:
            for kind, digest, error in pool.map(build, range(options.builds)):
                digests[kind].add(digest)
                wrong += [f"{kind}: {error}"] if error else []
        over.set()
        pruner.join()
        wrong += [f"{kind}: {found}" for kind, found in digests.items() if len(found) != 1]
        listed = call("images").stdout
        wrong += [f"image-{kind} is not listed" for kind in range(kinds) if f"image-{kind} " not in listed]
        checked = call("fsck", "--deep")
        wrong += [checked.stdout] if checked.returncode != 0 else []
        wrong += [f"prune ended with {code}, {count} times" for code, count in pruned.items() if code != 0]
        print(*wrong, sep="\n")
        print(f"{options.builds} builds of {kinds} definitions, {killed[True]} killed and done again, {pruned[0]} times pruned, "
              f"{len(wrong)} problems")
        print(checked.stdout, end="")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
