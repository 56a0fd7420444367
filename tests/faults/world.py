"""A store, a build context and a copy of the program, and what must be true of them after any fault."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

BUSYBOX = pathlib.Path(__file__).resolve().parent.parent / "conformance" / "busybox.oci.tar"
# How long something may take that takes a moment, in seconds.
TIMEOUT = 120
# What is written under another name first, with the number of the process that does.
UNFINISHED = re.compile(r"\.(part|new)$")


class Finding(Exception):
    """Something that must not be."""


class World:
    """A folder with all of it, in the state that a scenario prepares; `renew` brings that state back."""

    def __init__(self, program, folder, scenario, group=None):
        self.folder = pathlib.Path(folder)
        self.group = group
        self.scenario = scenario
        self.mark = self.folder.name
        # Its path tells its processes from all others.
        self.program = self.folder / "imgbuild"
        shutil.copy(program, self.program)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        for name in ["context", "out"]:
            (self.folder / name).mkdir()
        self.call("load", "-q", "-i", str(BUSYBOX))
        scenario.prepare(self)
        self.kept = ["store", "context", "out", *scenario.folders]
        for name in self.kept:
            subprocess.run(["cp", "-a", self.folder / name, self.folder / f"fresh-{name}"], check=True)
        self.duration = min(self.measured() for _ in range(3))
        self.wanted = scenario.result(self)
        self.renew()

    @property
    def store(self):
        return self.folder / "store"

    def measured(self):
        """How long the command takes in the state that was prepared, in seconds."""
        self.renew()
        started = time.monotonic()
        self.call(*self.scenario.words)
        return time.monotonic() - started

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def arguments(self, *words):
        return [str(self.program), "--root", str(self.store), *words]

    def call(self, *words, codes=(0,), store=None):
        """Runs the program; it must end with one of these codes."""
        arguments = [str(self.program), "--root", str(store or self.store), *words]
        done = subprocess.run(arguments, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode not in codes:
            raise Finding(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
        return done

    def digests(self, *words, store=None):
        """Runs a build, and says what it made."""
        done = self.call(*words, "--progress", "json", store=store)
        last = [line for line in done.stderr.splitlines() if '"event":"summary"' in line][-1]
        return [image["digest"] for image in json.loads(last)["images"]]

    def renew(self):
        for name in self.kept:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            subprocess.run(["cp", "-a", self.folder / f"fresh-{name}", self.folder / name], check=True)

    def processes(self):
        """Processes of the program and of its steps."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                own = os.readlink(f"/proc/{name}/exe") == str(self.program)
                own = own or f"WORLD={self.mark}".encode() in pathlib.Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            found += [int(name)] if own else []
        return found

    def survives(self, deep=True):
        """Looks whether all is well after a fault; raises a Finding if not."""
        until = time.monotonic() + TIMEOUT
        while self.processes():
            if time.monotonic() > until:
                raise Finding(f"processes are left: {self.processes()}")
            time.sleep(0.002)
        if str(self.folder) in pathlib.Path("/proc/self/mountinfo").read_text():
            raise Finding("a mount is left")
        if not self.scenario.damaged:
            self.whole(deep, left=True)
        made = self.scenario.result(self)
        if made != self.wanted:
            raise Finding(f"the next time made {made}, not {self.wanted}")
        # Where the next time needed no folder of its own, or ran no step, what is left goes with the next one that does.
        if self.temporary() or self.has_group():
            self.call("build", "--no-cache", "warm")
        if self.temporary():
            raise Finding(f"temporary files are left: {self.temporary()}")
        if self.has_group():
            raise Finding("a control group is left")
        places = ["context", "out", "store", "store/contexts", "store/builds", "store/builds/objects"]
        unfinished = [f"{place}/{name}" for place in places if (self.folder / place).is_dir()
                      for name in os.listdir(self.folder / place) if UNFINISHED.search(name)]
        if unfinished:
            raise Finding(f"unfinished files are left: {unfinished}")
        self.whole(deep, left=False)

    def temporary(self):
        """What is in `tmp/`, where nothing runs."""
        names = [name for name in os.listdir(self.store / "tmp") if name != "locks"]
        return sorted(names) + os.listdir(self.store / "tmp" / "locks")

    def has_group(self):
        """Whether there is the control group of steps, where none runs."""
        return self.group is not None and (self.group / "imgbuild-steps").exists()

    def whole(self, deep, left):
        """Nothing is wrong with the store; only just after a fault, things may be left behind."""
        done = self.call("fsck", "--format", "json", *(["--deep"] if deep else []), codes=(0, 1))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        wrong = [line for line in lines if not left or line["Kind"] != "leftover"]
        if wrong or (done.returncode == 0) == bool(lines):
            raise Finding(f"fsck ends with {done.returncode} and finds {wrong}")


@contextlib.contextmanager
def own_group():
    """Moves this process to a control group of its own for a while, so that those of other builds are not in its sight.

    Gives the group's folder; nothing where there is no cgroup v2 to make one in.
    """
    mounts = [line.split() for line in open("/proc/self/mounts")]
    home = next((pathlib.Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    before = next((line[3:].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")), None)
    group = None
    try:
        if home and before:
            group = home / before.lstrip("/") / f"imgbuild-faults-{os.getpid()}"
            group.mkdir()
            (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        group = None
    try:
        yield group
    finally:
        if group:
            (home / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
            group.rmdir()
