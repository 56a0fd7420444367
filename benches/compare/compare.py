#!/usr/bin/env python3
"""Time imgbuild next to buildah and BuildKit, and check that they make the same images.

    compare.py [--scale 0.05] [--runs 3] [--imgbuild PATH] [--builders imgbuild,buildah,buildkit] [--only WORD] [--isolation …]

Prints a Markdown table: seconds for the whole command (the median of --runs runs), the ratio to imgbuild's, the peak
memory of the command itself, and whether the images agree.  --scale 1 has the sizes that docs/performance.md is about:
20,000 files, 100,000 files, a file of 1 GiB.  Builders take turns within each line, so that what else the machine does
hits all of them; still, only ratios from one run mean something.

buildah is Debian's, with a store of its own.  BuildKit is the one in Debian's docker.io: its dockerd is started on a
private socket with a data folder of its own, and stopped at the end.  Nothing is installed; who is missing is left out.
Needs root, skopeo, and space for three times the contexts.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/conformance"))
import image_facts  # noqa: E402

BASE = ROOT / "tests/conformance/busybox.oci.tar"


class Failed(Exception):
    """A command failed; the text is its output."""


# Starts the command from a small process: what a process had before it became the command counts as the command's.
STARTER = """
import os, sys, time
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.monotonic() - start
os.write(int(sys.argv[1]), f"{seconds} {usage.ru_maxrss / 1024}".encode())
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


def run(command, env=None):
    """Run a command; return its seconds and the most memory that it had, in MiB."""
    command = list(map(str, command))
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as log, open(reading, "rb") as result:
        done = subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, str(writing), *command], env=env,
                              pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(writing)
        if done.returncode:
            log.seek(0)
            text = log.read().decode(errors="replace")[-1500:]
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}\n{text}")
        seconds, memory = map(float, result.read().split())
        return seconds, memory


class Imgbuild:
    name = "imgbuild"

    def __init__(self, scratch, options):
        self.program = pathlib.Path(options.imgbuild).resolve()
        if not self.program.exists():
            raise Failed(f"{self.program} does not exist: cargo static")
        self.store = scratch / "imgbuild"

    def reset(self):
        shutil.rmtree(self.store, ignore_errors=True)
        run([self.program, "--root", self.store, "load", "-i", BASE])

    def build(self, context, archive, compression):
        output = "type=cacheonly"
        if archive:
            output = f"type=oci,dest={archive},compression={compression}"
        return run([self.program, "--root", self.store, "build", "--progress", "plain", "--no-lock", "-o", output, context])

    def facts(self, archive):
        return image_facts.image_facts(archive)

    def close(self):
        pass


class Buildah:
    name = "buildah"

    def __init__(self, scratch, options):
        if not shutil.which("buildah"):
            raise Failed("the program is missing: apt-get install buildah")
        self.store = scratch / "buildah"
        driver = ["--storage-driver", options.storage_driver] if options.storage_driver else []
        self.command = ["buildah", "--root", self.store / "root", "--runroot", self.store / "run", *driver]
        self.how = ["--isolation", "chroot"] if options.isolation == "chroot" else ["--runtime", shutil.which("runc") or "runc"]

    def reset(self):
        if self.store.exists():
            run([*self.command, "rmi", "--all", "--force"])
            shutil.rmtree(self.store, ignore_errors=True)
        self.store.mkdir()
        run([*self.command, "pull", f"oci-archive:{BASE}"])
        listed = subprocess.run([*map(str, self.command), "images", "--quiet"], check=True, capture_output=True, text=True)
        run([*self.command, "tag", listed.stdout.split()[0], "docker.io/library/busybox:latest"])

    def build(self, context, archive, compression):
        build = [*self.command, "build", "--layers", "--pull-never", *self.how, "-t", "localhost/compared", context]
        seconds, memory = run(build)
        if archive:
            push = [*self.command, "push", "--compression-format", compression, "localhost/compared", f"oci-archive:{archive}"]
            more, other = run(push)
            seconds, memory = seconds + more, max(memory, other)
        return seconds, memory

    def facts(self, archive):
        return image_facts.image_facts(archive)

    def close(self):
        if self.store.exists():
            with contextlib.suppress(Failed):
                run([*self.command, "rmi", "--all", "--force"])


class Buildkit:
    """The archive is that of `docker save`: this dockerd cannot write OCI archives, nor compress."""
    name = "buildkit"

    def __init__(self, scratch, options):
        self.folder = scratch / "docker"
        self.folder.mkdir()
        programs = {name: shutil.which(name, path=options.docker_path) for name in ("dockerd", "docker", "containerd", "runc")}
        missing = [name for name, path in programs.items() if not path]
        if missing:
            raise Failed(f"{', '.join(missing)} missing: apt-get install docker.io")
        self.environment = {**os.environ, "PATH": options.docker_path, "DOCKER_BUILDKIT": "1", "HOME": str(self.folder)}
        socket = f"unix://{self.folder}/docker.sock"
        self.command = [programs["docker"], "-H", socket]
        self.log = open(self.folder / "log", "wb")
        self.daemon = subprocess.Popen(
            [programs["dockerd"], "-H", socket, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
             "--pidfile", self.folder / "pid", "--bridge=none", "--iptables=false", "--ip6tables=false"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        for _ in range(300):
            if self.daemon.poll() is not None:
                break
            with contextlib.suppress(Failed):
                self.docker("version")
                break
            time.sleep(0.1)
        try:
            self.docker("version")
            image = self.folder / "base.tar"
            run(["skopeo", "copy", f"oci-archive:{BASE}", f"docker-archive:{image}:docker.io/library/busybox:latest"])
            self.docker("load", "-i", image)
        except (Failed, OSError) as error:
            self.close()
            tail = (self.folder / "log").read_text(errors="replace")[-600:]
            raise Failed(f"its daemon does not start: {error}\n{tail}") from None

    def docker(self, *arguments):
        return run([*self.command, *arguments], env=self.environment)

    def reset(self):
        with contextlib.suppress(Failed):
            self.docker("rmi", "--force", "compared")
        self.docker("builder", "prune", "--all", "--force")

    def build(self, context, archive, compression):
        seconds, memory = self.docker("build", "--network=none", "-t", "compared", context)
        if archive:
            more, other = self.docker("save", "-o", archive, "compared")
            seconds, memory = seconds + more, max(memory, other)
        return seconds, memory

    def facts(self, archive):
        converted = archive.with_suffix(".oci")
        run(["skopeo", "copy", f"docker-archive:{archive}", f"oci-archive:{converted}"])
        return image_facts.image_facts(converted)

    def close(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        self.log.close()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def noise(generator, size):
    """Bytes of which about a half can be compressed away, as with programs."""
    text = b"some text of a program " * 22 + b"......"
    return b"".join(generator.randbytes(512) + text for _ in range(max(1, size // 1024)))


def two_stages(folder, scale):
    write(folder / "Dockerfile", """FROM busybox AS build
ARG VERSION=1
ENV A=a B=b
WORKDIR /src
COPY main.c Makefile ./
RUN mkdir /out && cat main.c Makefile > /out/app && chmod 755 /out/app
FROM busybox
LABEL a=b
ENV PATH=/app:$PATH
WORKDIR /app
COPY --from=build /out/app /app/app
COPY etc/ /etc/app/
RUN echo built > /app/built
CMD ["/app/app"]
""")
    write(folder / "main.c", "int main() { return 0; }\n")
    write(folder / "Makefile", "all:\n")
    write(folder / "etc/app.conf", "a = b\n")


def thirty_runs(folder, scale):
    runs = "".join(f"RUN echo {number} > /file-{number}\n" for number in range(max(3, round(30 * scale))))
    write(folder / "Dockerfile", "FROM busybox\n" + runs)


def sleeping_stages(folder, scale):
    names = [f"stage{number}" for number in range(16)]
    stages = "".join(f"FROM busybox AS {name}\nRUN sleep {max(scale, 0.05):.2f} && echo {name} > /{name}\n" for name in names)
    write(folder / "Dockerfile", stages + "FROM busybox\n" + "".join(f"COPY --from={name} /{name} /\n" for name in names))


def many_files(count, size):
    def generate(folder, scale):
        generator = random.Random(1)
        pool = noise(generator, 4 << 20)
        for number in range(max(10, round(count * scale))):
            path = folder / f"files/d{number // 1000}/s{number // 100 % 10}/file-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            length = generator.randrange(size // 2, size * 3 // 2) if size > 1 else generator.randrange(10, 200)
            start = generator.randrange(len(pool) - length)
            path.write_bytes(f"{number}\n".encode() + pool[start:start + length])
        write(folder / "Dockerfile", "FROM busybox\nCOPY files /files\n")
    return generate


def large_file(folder, scale):
    generator = random.Random(2)
    with open(folder / "large", "wb") as out:
        for _ in range(max(1, round(1024 * scale))):
            out.write(noise(generator, 1 << 20))
    write(folder / "Dockerfile", "FROM busybox\nCOPY large /large\n")


def writing_run(folder, scale):
    count = max(10, round(20_000 * scale))
    script = f"mkdir /made && cd /made && i=0; while [ $i -lt {count} ]; do echo $i > f$i; i=$((i+1)); done"
    write(folder / "Dockerfile", f"FROM busybox\nRUN {script}\n")


def change_one(folder):
    path = sorted(path for path in (folder / "files").rglob("file-*"))[7]
    path.write_bytes(path.read_bytes() + time.time_ns().to_bytes(8, "little"))


# (what, context, archive or not, compression, before it: cold | warm | changed)
TWENTY = many_files(20_000, 25_000)
HUNDRED = many_files(100_000, 1)
LINES = [
    ("14 instructions in two stages, cold, OCI archive", two_stages, True, "gzip", "cold"),
    ("the same, nothing changed, no output", two_stages, False, "gzip", "warm"),
    ("the same, nothing changed, OCI archive", two_stages, True, "gzip", "warm"),
    ("30 RUN steps one after another, cold", thirty_runs, False, "gzip", "cold"),
    ("16 independent stages of RUN sleep 1, cold", sleeping_stages, False, "gzip", "cold"),
    ("COPY of 20,000 files / 0.5 GB, cold, OCI archive, gzip", TWENTY, True, "gzip", "cold"),
    ("the same, zstd", TWENTY, True, "zstd", "cold"),
    ("nothing changed", TWENTY, False, "gzip", "warm"),
    ("one of the 20,000 files changed, no output", TWENTY, False, "gzip", "changed"),
    ("COPY of 100,000 small files, cold, no output", HUNDRED, False, "gzip", "cold"),
    ("nothing changed", HUNDRED, False, "gzip", "warm"),
    ("COPY of one 1 GiB file, cold, OCI archive, gzip", large_file, True, "gzip", "cold"),
    ("RUN that writes 20,000 files, cold, OCI archive", writing_run, True, "gzip", "cold"),
]

# What runtimes and other builders leave in an image although no instruction asks for it.
STUBS = {"/dev", "/proc", "/sys", "/run", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/mtab", "/tmp", "/etc"}
CONFIG = ["Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels"]


def disagreement(one, other):
    """The first difference between two images, or an empty string."""
    for path in sorted({*one["files"], *other["files"]}):
        if path in STUBS or path.startswith(("/dev/", "/proc/", "/sys/", "/run/")):
            continue
        if one["files"].get(path) != other["files"].get(path):
            return f"{path}: {one['files'].get(path)} or {other['files'].get(path)}"
    for key in CONFIG:
        ours, theirs = one["config"].get(key), other["config"].get(key)
        if key == "Labels":
            drop = {"io.buildah.version"}
            ours, theirs = ({k: v for k, v in (side or {}).items() if k not in drop} for side in (ours, theirs))
        if key == "WorkingDir":
            ours, theirs = ours or "/", theirs or "/"
        if ours != theirs:
            return f"{key}: {ours} or {theirs}"
    return ""


def measure(line, builders, scratch, options):
    what, generate, with_archive, compression, state = line
    context = scratch / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    generate(context, options.scale)
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", str(context)], check=True)
    figures = {builder.name: [] for builder in builders}
    failures, facts = {}, {}
    for turn in range(options.runs):
        if state == "changed":
            change_one(context)
        for builder in builders if turn % 2 == 0 else builders[::-1]:
            if builder.name in failures:
                continue
            archive = scratch / f"{builder.name}.tar" if with_archive else None
            try:
                if state == "cold" or turn == 0:
                    builder.reset()
                if state != "cold" and turn == 0:
                    builder.build(context, archive, compression)
                    if state == "changed":
                        change_one(context)
                if archive:
                    archive.unlink(missing_ok=True)
                figures[builder.name].append(builder.build(context, archive, compression))
                if archive and turn == 0:
                    facts[builder.name] = builder.facts(archive)
            except Failed as error:
                failures[builder.name] = str(error)
                print(f"{builder.name}: {error}", file=sys.stderr)
    ours = facts.get("imgbuild")
    wrong = [f"{name}: {disagreement(ours, theirs)}" for name, theirs in facts.items() if ours and disagreement(ours, theirs)]
    return figures, wrong if len(facts) > 1 else None


def row(line, figures, wrong, builders):
    median = {name: statistics.median(seconds for seconds, _ in runs) for name, runs in figures.items() if runs}
    memory = {name: max(memory for _, memory in runs) for name, runs in figures.items() if runs}
    cells = [line[0]]
    for builder in builders:
        if builder.name not in median:
            cells.append("–")
            continue
        cell = f"{median[builder.name]:.3f} ({memory[builder.name]:.0f} MB)"
        if builder.name != "imgbuild" and "imgbuild" in median:
            cell += f" {median[builder.name] / median['imgbuild']:.1f}×"
        cells.append(cell)
    cells.append("" if wrong is None else "no" if wrong else "yes")
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="of the sizes in the names of the lines (default: 0.05)")
    parser.add_argument("--runs", type=int, default=3, help="of each builder in each line (default: 3)")
    parser.add_argument("--imgbuild", default=ROOT / "target/release/imgbuild", metavar="PATH")
    parser.add_argument("--builders", default="imgbuild,buildah,buildkit", metavar="NAMES")
    parser.add_argument("--only", default="", metavar="WORD", help="only lines with this in them")
    parser.add_argument("--isolation", choices=["chroot", "runc"], default="runc", help="of buildah (default: runc)")
    parser.add_argument("--storage-driver", default="", metavar="NAME", help="of buildah")
    parser.add_argument("--docker-path", default=os.environ.get("PATH", "") + ":/usr/sbin:/sbin", metavar="PATH",
                        help="folders with dockerd, docker, containerd and runc, separated by colons")
    parser.add_argument("--scratch", metavar="FOLDER", help="where stores and contexts go; a temporary folder")
    options = parser.parse_args()
    kinds = [kind for kind in (Imgbuild, Buildah, Buildkit) if kind.name in options.builders.split(",")]
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.scratch) as folder, contextlib.ExitStack() as stack:
        scratch = pathlib.Path(folder)
        builders = []
        for kind in kinds:
            try:
                builders.append(kind(scratch, options))
                stack.callback(builders[-1].close)
            except Failed as error:
                print(f"{kind.name} is left out: {error}", file=sys.stderr)
        if not builders:
            sys.exit("there is nothing to compare")
        names = [builder.name for builder in builders]
        print(f"Scale {options.scale:g}, median of {options.runs} runs, seconds (peak memory of the command).\n")
        print("| work | " + " | ".join(names) + " | same image |")
        print("|---" * (len(names) + 2) + "|", flush=True)
        notes = []
        for line in (line for line in LINES if options.only in line[0]):
            figures, wrong = measure(line, builders, scratch, options)
            print(row(line, figures, wrong, builders), flush=True)
            notes += [f"- {line[0]}: {text}" for text in wrong or []]
        if notes:
            print("\nWhere images differ:\n\n" + "\n".join(notes))
        sys.exit(1 if notes else 0)


if __name__ == "__main__":
    main()
