"""What is disturbed: commands of all kinds that change a store, each with what it must come to when it is run again."""

import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from world import BUSYBOX

DOCKERFILE = """\
FROM busybox AS one
ENV WORLD={mark}
RUN mkdir /d && cp /bin/busybox /d/ && ln /d/busybox /d/again
FROM busybox
COPY . /e/
COPY --from=one /d /d
RUN --mount=type=cache,target=/cache touch /cache/x && rm /e/f && mv /d /g
"""
BAKE = """\
[group.default]
targets = ["a", "b", "c"]
[target.a]
context = "context"
tags = ["a:1", "a:2"]
[target.b]
context = "context"
target = "one"
tags = ["b"]
[target.c]
inherits = ["a"]
tags = ["c"]
labels = { kind = "c" }
"""


def tree(folder):
    """A hash of everything in a folder."""
    folder, hashed = pathlib.Path(folder), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        hashed.update(f"{path.relative_to(folder)} {path.lstat().st_mode:o}\n".encode())
        if path.is_symlink():
            hashed.update(os.readlink(path).encode())
        elif path.is_file():
            hashed.update(path.read_bytes())
    return hashed.hexdigest()


class Scenario:
    """A command: `prepare` makes what it needs, `words` are what is disturbed, `result` does it again and says what came of it."""

    # Which folders beside store, context and out are brought back as they were.
    folders = []
    # Whether the command finds nothing to do where it was done before.
    once = False
    # Whether the store is damaged until the command has repaired it.
    damaged = False

    def stop(self):
        """Ends what was started for it."""


class Build(Scenario):
    """A build of everything, into the store."""

    words = ["build", "--no-cache", "-t", "a", "context"]

    def prepare(self, world):
        world.write("context/Dockerfile", DOCKERFILE.format(mark=world.mark))
        world.write("context/f", "x" * 10000)
        world.write("context/g/h", "y")
        world.write("warm/Dockerfile", "FROM busybox\nRUN true\n")
        world.call("build", "-t", "warm", "warm")

    def result(self, world):
        return world.digests("build", "-t", "a", "context")


class Cold(Build):
    """The same in a store that has no layer unpacked, and no lockfile."""

    once = True

    def prepare(self, world):
        super().prepare(world)
        shutil.rmtree(world.store)
        world.call("load", "-q", "-i", str(BUSYBOX))


class Bake(Build):
    """Three targets of a build file, one of them with two names."""

    words = ["bake", "--no-cache"]

    def prepare(self, world):
        super().prepare(world)
        world.write("build.toml", BAKE)

    def result(self, world):
        made = world.digests("bake")
        names = world.call("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout
        return made, sorted(set(names.splitlines()))


class Archive(Build):
    """A build into an archive."""

    words = ["build", "--no-cache", "-o", "type=oci,dest=out/a.tar", "context"]

    def result(self, world):
        made = world.digests("build", "-o", "type=oci,dest=out/a.tar", "context")
        return made, tree(world.folder / "out")


class Files(Build):
    """A build whose files are wanted."""

    words = ["build", "--no-cache", "-o", "out/files", "context"]

    def result(self, world):
        world.call("build", "-o", "out/files", "context")
        return tree(world.folder / "out")


class CacheTo(Build):
    """A build that leaves its results in a folder for others."""

    words = ["build", "--no-cache", "--cache-to", "type=local,dest=out/cache,mode=max", "context"]

    def result(self, world):
        made = world.digests("build", "--cache-to", "type=local,dest=out/cache,mode=max", "context")
        other = world.folder / "other"
        shutil.rmtree(other, ignore_errors=True)
        subprocess.run(["cp", "-a", world.folder / "fresh-store", other], check=True)
        return made, world.digests("build", "--cache-from", "type=local,src=out/cache", "context", store=other)


class Load(Scenario):
    """An archive is read."""

    words = ["load", "-i", "saved.tar"]
    once = True

    def prepare(self, world):
        Build().prepare(world)
        world.call("build", "-t", "a", "context")
        world.call("save", "-o", "saved.tar", "a", "warm")
        shutil.rmtree(world.store)
        world.call("load", "-q", "-i", str(BUSYBOX))

    def result(self, world):
        world.call("load", "-i", "saved.tar")
        return sorted(world.call("images", "--no-trunc", "--digests").stdout.split("\n"))[1:]


class Registry:
    """Debian's docker-registry on the loopback."""

    def start(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (folder / "registry").mkdir()
        (folder / "registry.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}', secret: test}}\n")
        # No child of ours: the tracer waits for all of them.
        serve = 'docker-registry serve "$0" >/dev/null 2>&1 </dev/null & echo $!'
        started = subprocess.run(["sh", "-c", serve, folder / "registry.yml"], check=True, capture_output=True, text=True)
        self.server = int(started.stdout)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return f"localhost:{self.port}"
            except OSError:
                time.sleep(0.05)

    def stop(self):
        os.kill(self.server, signal.SIGKILL)


class Push(Scenario):
    """An image goes to a registry."""

    folders = ["registry"]
    once = True

    def prepare(self, world):
        Build().prepare(world)
        self.registry = Registry()
        self.name = self.registry.start(world.folder) + "/team/a"
        self.words = ["push", self.name]
        world.call("build", "-t", self.name, "context")

    def result(self, world):
        world.call("push", self.name)
        return world.call("inspect", "--remote", "--format", "json", self.name).stdout

    def stop(self):
        self.registry.stop()


class PushBuild(Push):
    """A build that is sent, with its cache."""

    def prepare(self, world):
        super().prepare(world)
        self.words = ["build", "--no-cache", "--push", "-t", self.name, "--cache-to",
                      f"type=registry,ref={self.name}:cache,mode=max", "context"]

    def result(self, world):
        made = world.digests(*[word for word in self.words if word != "--no-cache"])
        return made, world.call("inspect", "--remote", "--format", "json", self.name).stdout


class Pull(Push):
    """An image comes from a registry."""

    def prepare(self, world):
        super().prepare(world)
        world.call("push", self.name)
        shutil.rmtree(world.store)
        world.call("load", "-q", "-i", str(BUSYBOX))
        self.words = ["pull", self.name]

    def result(self, world):
        world.call("pull", self.name)
        return sorted(world.call("images", "--no-trunc", "--digests").stdout.split("\n"))[1:]


class Prune(Build):
    """All of the cache and the cache mounts go, from a store with several images and a container."""

    words = ["prune", "-f", "--all", "cache", "mounts"]
    once = True

    def prepare(self, world):
        super().prepare(world)
        world.call("build", "-t", "a", "context")
        world.call("build", "-t", "b", "--label", "x=y", "context")
        world.call("build", "-t", "b", "context")
        world.call("run", "--name", "box", "warm", "sh", "-c", "echo x >/x")

    def result(self, world):
        made = world.digests("build", "-t", "a", "context")
        world.call("run", "--rm", "warm", "true")
        return made, world.call("diff", "box").stdout


class Remove(Prune):
    """An image is removed."""

    words = ["rmi", "-f", "a"]

    def result(self, world):
        world.call("rmi", "-f", "a", codes=(0, 1))
        return super().result(world)


class Run(Build):
    """A container is made and runs."""

    once = True

    def prepare(self, world):
        super().prepare(world)
        self.run = ["run", "--name", "box", "-e", f"WORLD={world.mark}", "warm", "sh", "-c", "echo x >/x; rm /etc/passwd"]
        self.words = self.run

    def result(self, world):
        # The name may be taken, by one that ended or never did.
        if "box" in world.call("ps", "-a", "--format", "{{.Names}}").stdout.split():
            world.call("rm", "box")
        world.call(*self.run)
        return world.call("diff", "box").stdout, world.digests("build", "-t", "a", "context")


class Commit(Run):
    """A container becomes an image."""

    def prepare(self, world):
        super().prepare(world)
        world.call(*self.run)
        self.words = ["commit", "box", "committed"]

    def result(self, world):
        world.call("commit", "box", "committed")
        return world.call("run", "--rm", "committed", "cat", "/x").stdout, world.call("diff", "box").stdout


class Verify(Build):
    """A build is done again in a store of its own within the store."""

    words = ["verify", "context"]
    once = True

    def prepare(self, world):
        super().prepare(world)
        world.call("build", "-t", "a", "context")

    def result(self, world):
        world.call("verify", "context")
        return super().result(world)


class Repair(Build):
    """A damaged store is repaired."""

    words = ["fsck", "--deep", "--repair"]
    once = True
    damaged = True

    def prepare(self, world):
        super().prepare(world)
        world.call("build", "-t", "a", "context")
        self.damage(world)

    def damage(self, world):
        for folder in sorted((world.store / "snapshots").iterdir())[-2:]:
            (folder / "toc").write_bytes(b"")
        for record in sorted((world.store / "actions").rglob("*"))[-2:]:
            if record.is_file():
                record.write_bytes(b"torn")

    def result(self, world):
        world.call("fsck", "--deep", "--repair")
        return super().result(world)



ALL = {kind.__name__.lower(): kind for kind in [
    Build, Cold, Bake, Archive, Files, CacheTo, Load, Push, PushBuild, Pull, Prune, Remove, Run, Commit, Verify, Repair]}
