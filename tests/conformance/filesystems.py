#!/usr/bin/env python3
"""Build conformance cases with the store on several file systems, and compare the images bit for bit.

    filesystems.py [--imgbuild PATH] [--jobs N] [--every N] [--only ext4,xfs,btrfs,tmpfs] [CASE_OR_FOLDER ...]

Needs root, loop devices and mkfs (packages e2fsprogs, xfsprogs, btrfs-progs); what is missing is left out, and said.  All mounts are in a
namespace of their own and go with it.  Cases that must fail, or whose result may depend on the moment, are skipped.  Exits 0 when all agree.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import cases
import reproduce

SIZE = 2 << 30
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q"],
    "tmpfs": None,
}


def mounted(kind, folder):
    """Make a file system and mount it; return where, or nothing if this machine cannot."""
    place = folder / kind
    place.mkdir()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    if MAKE[kind] is None:
        command = ["mount", "-t", kind, "-o", f"size={SIZE}", kind, place]
    else:
        if not shutil.which(MAKE[kind][0]):
            print(f"skipped {kind}: {MAKE[kind][0]} is missing")
            return None
        disk = folder / f"{kind}.disk"
        with open(disk, "wb") as file:
            file.truncate(SIZE)
        subprocess.run([*MAKE[kind], disk], check=True, **quiet)
        command = ["mount", "-t", kind, "-o", "loop", disk, place]
    done = subprocess.run(command, **quiet)
    if done.returncode != 0:
        print(f"skipped {kind}: {done.stderr.strip()}")
        return None
    return place


def compare(imgbuild, places, case):
    try:
        made = {kind: reproduce.build(imgbuild, place / "store", case, False) for kind, place in places.items()}
    except Exception as error:
        detail = getattr(error, "stdout", b"") or b""
        return case, f"{type(error).__name__}: {error} {detail.decode(errors='replace')[-300:]}"
    return case, None if len(set(made.values())) == 1 else str(made)


def main():
    if not os.environ.get("IMGBUILD_TEST_NAMESPACE"):
        os.environ["IMGBUILD_TEST_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imgbuild", default="target/release/imgbuild")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="leave cases out")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MAKE))
    parser.add_argument("cases", nargs="*", default=[cases.HERE / "cases"])
    options = parser.parse_args()
    imgbuild = str(pathlib.Path(options.imgbuild).resolve())
    found = [c for c in cases.find(options.cases) if "error" not in json.loads((c.folder / "expected.json").read_text())]
    found = found[::options.every]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="filesystems-") as folder:
        places = {kind: mounted(kind, pathlib.Path(folder)) for kind in options.only}
        places = {kind: place for kind, place in places.items() if place}
        for place in places.values():
            subprocess.run([imgbuild, "--root", str(place / "store"), "load", "-i", str(cases.BASE)], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for case, problem in pool.map(lambda c: compare(imgbuild, places, c), found):
                failed += problem is not None
                if problem:
                    print(f"FAIL {case.name}: {problem}")
        for kind, place in places.items():
            checked = subprocess.run([imgbuild, "--root", str(place / "store"), "fsck", "--deep"], capture_output=True, text=True)
            print(f"{kind}: {checked.stdout.splitlines()[-1]}")
            failed += checked.returncode != 0
            subprocess.run(["umount", place], check=True)
    print(f"on {', '.join(places)}: {len(found) - failed} passed, {failed} failed")
    sys.exit(1 if failed or len(places) < 2 else 0)


if __name__ == "__main__":
    main()
