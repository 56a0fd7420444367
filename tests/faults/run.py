#!/usr/bin/env python3
"""Lets real builds fail, or die, at every call that changes something, and looks whether the store survives it.

    tests/faults/run.py PROGRAM                       each call fails with EIO, then with ENOSPC, then kills the builder
    tests/faults/run.py PROGRAM --every 10 --kinds EIO
    tests/faults/run.py PROGRAM --cold --every 30     the base is not unpacked yet: many calls, nearly all alike
    tests/faults/run.py PROGRAM --random 1000         kill -9 at random moments instead, nothing traced

Needs root, and x86-64 for all but `--random`. Each build begins in a copy of one store, which holds a base image and
what a build of nothing else made of it. After each fault: no process and no mount may be left; the builder ended with one of its exit codes and,
if it failed, said why; the next build must succeed with the digest of an undisturbed one, and leave no temporary file;
`fsck --deep` must find nothing. Prints counts, and exits with 1 if there was a finding.
"""

import argparse
import collections
import errno
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import tracer

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = HERE.parent / "conformance" / "busybox.oci.tar"
DOCKERFILE = """\
FROM busybox AS one
ENV WORLD={mark}
RUN mkdir /d && cp /bin/busybox /d/ && ln /d/busybox /d/again
FROM busybox
COPY f /e/
COPY --from=one /d /d
RUN --mount=type=cache,target=/cache touch /cache/x && rm /e/f && mv /d /g
"""
TIMEOUT = 120


class World:
    """A folder with a context, a store to copy, and the store of the build under test."""

    def __init__(self, program, folder, cold):
        self.folder = pathlib.Path(folder)
        self.mark = self.folder.name
        # Its path tells its processes from all others.
        self.program = self.folder / "imgbuild"
        shutil.copy(program, self.program)
        (self.folder / "context").mkdir()
        (self.folder / "context" / "Dockerfile").write_text(DOCKERFILE.format(mark=self.mark))
        (self.folder / "context" / "f").write_text("x" * 10000)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        self.call("load", "-q", "-i", str(BUSYBOX))
        if not cold:
            (self.folder / "warm").mkdir()
            (self.folder / "warm" / "Dockerfile").write_text("FROM busybox\nRUN true\n")
            self.call("build", "-t", "warm", "warm")
        self.store.rename(self.folder / "fresh")
        self.renew()
        started = time.monotonic()
        self.digest = self.build()
        self.duration = time.monotonic() - started

    @property
    def store(self):
        return self.folder / "store"

    def arguments(self, *words):
        return [str(self.program), "--root", str(self.store), *words]

    def call(self, *words):
        done = subprocess.run(self.arguments(*words), cwd=self.folder, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise Finding(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
        return done

    def build(self):
        done = self.call("build", "-t", "a", "--progress", "json", "context")
        last = [line for line in done.stderr.splitlines() if '"event":"summary"' in line][-1]
        return json.loads(last)["images"][0]["digest"]

    def renew(self):
        shutil.rmtree(self.store, ignore_errors=True)
        subprocess.run(["cp", "-a", self.folder / "fresh", self.store], check=True)

    def processes(self):
        """Processes of the program and of its steps."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                own = os.readlink(f"/proc/{name}/exe") == str(self.program)
                own = own or f"WORLD={self.mark}".encode() in pathlib.Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            found += [name] if own else []
        return found

    def survives(self):
        """Looks whether all is well after a fault; raises a Finding if not."""
        until = time.monotonic() + TIMEOUT
        while self.processes():
            if time.monotonic() > until:
                raise Finding(f"processes are left: {self.processes()}")
            time.sleep(0.005)
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        if str(self.folder) in mounts:
            raise Finding("a mount is left")
        digest = self.build()
        if digest != self.digest:
            raise Finding(f"the next build made {digest}, not {self.digest}")
        left = sorted(set(os.listdir(self.store / "tmp")) - {"locks"}) + os.listdir(self.store / "tmp" / "locks")
        if left:
            raise Finding(f"temporary files are left: {left}")
        self.call("fsck", "--deep")


class Finding(Exception):
    """Something that must not be."""


def told(code, error, log):
    """Checks how a build ended whose call failed with `error`."""
    if code is None:
        raise Finding("it did not end")
    if code not in (0, 1, 3):
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
            arguments = world.arguments("build", "-t", "a", "context")
            code, point = tracer.run(arguments, number, error, log, TIMEOUT, cwd=world.folder, env=world.env)
            if point.hit is None:
                # Threads: this time there were fewer calls.
                count = number if count is None else count
                continue
            text = log.read_text(errors="replace")
            report(number, kind, point.hit, "died" if error is None else f"code {code}", world, text, lambda: (
                told(code, error, text) if error else None, world.survives()))
        number += options.every


def kills(world, options, report):
    chance = random.Random(options.seed)
    for number in range(options.random):
        if number % 4 == 0:
            world.renew()
        moment = chance.random() * world.duration * 1.3
        log = world.folder / "log"
        with open(log, "w") as output:
            arguments = world.arguments("build", "-t", "a", "--no-cache", "context")
            build = subprocess.Popen(arguments, cwd=world.folder, env=world.env, stdout=output, stderr=output)
            try:
                build.wait(moment)
            except subprocess.TimeoutExpired:
                build.kill()
            code = build.wait()
        report(number, "random", "kill", "died" if code == -9 else f"code {code}", world, log.read_text(), world.survives)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["EIO", "ENOSPC", "KILL"])
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="leave points out")
    parser.add_argument("--cold", action="store_true", help="begin with a base that is not unpacked")
    parser.add_argument("--random", type=int, default=0, help="how many times to kill at random instead")
    parser.add_argument("--seed", type=int, default=1)
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
            world.renew()

    with tempfile.TemporaryDirectory(prefix="imgbuild-faults-") as folder:
        world = World(options.program, folder, options.cold)
        try:
            (kills if options.random else faults)(world, options, report)
        finally:
            points = sum(tally.values())
            print("calls:", ", ".join(f"{name} {count}" for name, count in sorted(calls.items())))
            print("ended:", ", ".join(f"{kind} {how} {count}" for (kind, how), count in sorted(tally.items())))
            print(f"{points} tried, {points - len(found)} survived", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
