#!/usr/bin/env python3
"""How long `imgbuild plan` takes for a build file with many targets, everything being cached.

    cargo static && python3 benches/many/many.py [--targets 500] [--program target/release/imgbuild]

Each target has a folder and a Dockerfile of its own on one base image. All are built once; then the best of twenty runs of
`plan` is printed, and of `bake` when there is nothing to do. Half as many targets should take half as long.
"""

import argparse
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = 'FROM busybox\nWORKDIR /app\nCOPY file /app/\nENV N={n}\nENTRYPOINT ["cat", "/app/file"]\n'


def write(folder, targets):
    """The build file, and a folder for each target."""
    names = ", ".join(f'"t{n}"' for n in range(targets))
    text = f"[group]\ndefault = [{names}]\n"
    for n in range(targets):
        text += f'\n[target.t{n}]\ncontext = "services/{n}"\n'
        service = folder / "services" / str(n)
        service.mkdir(parents=True)
        (service / "file").write_text(f"{n}\n")
        (service / "Dockerfile").write_text(DOCKERFILE.format(n=n))
    (folder / "build.toml").write_text(text)


def best(command, folder, runs=20):
    """The shortest time of several runs, in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=500)
    parser.add_argument("--program", default=ROOT / "target/release/imgbuild", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as work:
        store, program = f"{work}/store", str(args.program.resolve())
        base = [program, "--root", store]
        busybox = ROOT / "tests/conformance/busybox.oci.tar"
        subprocess.run([*base, "load", "--quiet", "-i", busybox], check=True, stdout=subprocess.DEVNULL)
        for targets in (args.targets // 2, args.targets):
            folder = pathlib.Path(work, str(targets))
            folder.mkdir()
            write(folder, targets)
            subprocess.run([*base, "bake", "--progress", "quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            plan = best([*base, "plan"], folder)
            bake = best([*base, "bake", "--progress", "quiet"], folder, runs=3)
            print(f"{targets:5} targets: plan {plan:7.1f} ms, bake with nothing to do {bake:8.1f} ms")


if __name__ == "__main__":
    main()
