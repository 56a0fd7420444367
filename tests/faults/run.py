#!/usr/bin/env python3
"""Lets real commands fail, or die, at every call that changes something, and looks whether the store survives it.

    tests/faults/run.py PROGRAM                       each call fails with EIO, then with ENOSPC, then kills the builder
    tests/faults/run.py PROGRAM --every 10 --kinds EIO
    tests/faults/run.py PROGRAM --only prune,push     other commands than `build` (scenarios.py)
    tests/faults/run.py PROGRAM --only cold --every 30     the base is not unpacked yet: many calls, nearly all alike

Needs root and x86-64. Each command begins in a copy of one store. After each fault: no process and no mount may be left; the program
ended with one of its exit codes and, if it failed, said why; `fsck --deep` finds nothing but what the dead left; the command must succeed
when it is run again, with the result of an undisturbed one, and leave no temporary file; then `fsck --deep` must find nothing at all. Prints
counts, and exits with 1 if there was a finding.
"""

import argparse
import collections
import errno
import os
import sys
import tempfile

import scenarios
import tracer
from world import TIMEOUT, Finding, World


def told(code, error, log):
    """Checks how a build ended whose call failed with `error`."""
    if code is None:
        raise Finding("it did not end")
    if code not in (0, 1, 3, 125):
        raise Finding(f"it ended with {code}")
    if "panicked" in log or "a bug in imgbuild" in log:
        raise Finding("it panicked")
    if code != 0 and os.strerror(error) not in log:
        raise Finding(f"it does not say why (code {code})")


def faults(world, options, report):
    number = options.start
    count = None
    while count is None or number <= count:
        for kind in options.kinds:
            error = None if kind == "KILL" else getattr(errno, kind)
            world.renew()
            log = world.folder / "log"
            arguments = world.arguments(*world.scenario.words)
            code, point = tracer.run(arguments, number, error, log, TIMEOUT, cwd=world.folder, env=world.env)
            if point.hit is None:
                # Threads: this time there were fewer calls.
                count = number if count is None else count
                continue
            text = log.read_text(errors="replace")
            report(number, kind, point.hit, "died" if error is None else f"code {code}", world, text, lambda: (
                told(code, error, text) if error else None, world.survives()))
        number += options.every


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["EIO", "ENOSPC", "KILL"])
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="leave points out")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["build"], help=", ".join(scenarios.ALL))
    options = parser.parse_args()
    tally, calls, found = collections.Counter(), collections.Counter(), []

    def report(number, kind, call, ended, world, log, check):
        tally[kind, ended] += 1
        calls[call] += 1
        try:
            check()
        except Finding as finding:
            found.append(f"{number} {kind} {call}: {finding}")
            print(found[-1], log[-600:], sep="\n", flush=True)

    for name in options.only:
        before, scenario = sum(tally.values()), scenarios.ALL[name]()
        with tempfile.TemporaryDirectory(prefix="imgbuild-faults-") as folder:
            try:
                faults(World(options.program, folder, scenario), options, report)
            finally:
                scenario.stop()
        print(f"{name}: {sum(tally.values()) - before} points", flush=True)
    points = sum(tally.values())
    print("calls:", ", ".join(f"{name} {count}" for name, count in sorted(calls.items())))
    print("ended:", ", ".join(f"{kind} {how} {count}" for (kind, how), count in sorted(tally.items())))
    print(f"{points} tried, {points - len(found)} survived")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
