#!/usr/bin/env python3
"""Kills real commands at random moments, without any chance to tidy up, and looks whether the store survives it.

    tests/faults/kills.py PROGRAM                           a thousand kills, of all kinds of commands in turn
    tests/faults/kills.py PROGRAM --kills 100 --only build,prune
    tests/faults/kills.py PROGRAM --seed 2                  other moments

Needs root; `docker-registry` for what pushes and pulls, which is left out where it is missing. The moments are spread evenly over
the time that a command takes. One kill in five hits another of its processes than the first. After each: no process, no mount and
no control group may be left; `fsck` finds nothing but what the dead left behind; the command succeeds when it is run again, with the result
of an undisturbed one; then nothing at all is left, and `fsck` (every tenth time `--deep`) finds nothing. Prints counts, and exits with 1
if there was a finding.
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import scenarios
from world import Finding, World, own_group


def kill_once(world, moment, other, log):
    """Runs the command and kills it; says how that ended."""
    with open(log, "w") as output:
        command = subprocess.Popen(world.arguments(*world.scenario.words), cwd=world.folder, env=world.env,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            command.wait(moment)
        except subprocess.TimeoutExpired:
            others = [process for process in world.processes() if process != command.pid] if other else []
            try:
                os.kill(others[-1] if others else command.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        code = command.wait()
    text = pathlib.Path(log).read_text(errors="replace")
    if code not in (0, 1, 3, 125, 137, -signal.SIGKILL) or "panicked" in text:
        raise Finding(f"it ended with {code}")
    return "died" if code == -signal.SIGKILL else f"code {code}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(scenarios.ALL))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    names = options.only
    if not shutil.which("docker-registry"):
        left_out = [name for name in names if issubclass(scenarios.ALL[name], scenarios.Push)]
        names = [name for name in names if name not in left_out]
        print("left out without docker-registry:", ", ".join(left_out))
    tally, found, number = collections.Counter(), [], 0
    with own_group() as group:
        for place, name in enumerate(names):
            share = options.kills * (place + 1) // len(names) - options.kills * place // len(names)
            scenario = scenarios.ALL[name]()
            with tempfile.TemporaryDirectory(prefix="imgbuild-kills-") as folder:
                try:
                    world = World(options.program, folder, scenario, group)
                    for turn in range(share):
                        number += 1
                        if turn % 4 == 0 or scenario.once:
                            world.renew()
                        moment, other = chance.random() * world.duration * 1.1, chance.random() < 0.2
                        log = world.folder / "log"
                        try:
                            tally[name, kill_once(world, moment, other, log)] += 1
                            world.survives(deep=number % 10 == 0)
                        except Finding as finding:
                            found.append(f"{name} {turn}, after {moment * 1000:.1f} ms: {finding}")
                            print(found[-1], log.read_text(errors="replace")[-600:], sep="\n", flush=True)
                            world.renew()
                finally:
                    scenario.stop()
            ended = ", ".join(f"{how} {count}" for (kind, how), count in sorted(tally.items()) if kind == name)
            print(f"{name} ({world.duration * 1000:.0f} ms): {ended}", flush=True)
    died = sum(count for (_, how), count in tally.items() if how != "code 0")
    print(f"{number} kills tried, of which {died} ended the command, {number - len(found)} survived")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
