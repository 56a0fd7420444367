#!/usr/bin/env python3
"""How cost grows with size: of contexts (files), of build files (targets), of the store (gigabytes).

    scaling.py [--imgbuild PATH] [--runs 3] [--most 1] [--only files|targets|store] [--plot docs/scaling.svg]

Prints a Markdown table for each and draws all of them into one SVG.  Times are the shortest of --runs runs of the whole
command, as what is asked is how they grow, not what else the machine does; memory is the most that the command had.
--most 0.1 leaves out the largest sizes: a million files, 100 GB.

The gigabytes of the store are layers of 10 MiB that are one hole each, as none of these commands reads them; their
images are real ones.  All of it needs 10 GB of disk and half an hour.  Needs root.
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path += [str(HERE.parent / "compare"), str(HERE.parent / "many")]
import compare  # noqa: E402
import many  # noqa: E402

LAYER = 10 << 20
LAYERS_OF_AN_IMAGE = 10


class Bench:
    def __init__(self, scratch, options):
        self.scratch, self.runs = scratch, options.runs
        self.program = pathlib.Path(options.imgbuild).resolve()
        self.store = scratch / "store"

    def reset(self):
        shutil.rmtree(self.store, ignore_errors=True)
        self.run("load", "-i", compare.BASE)

    def run(self, *arguments, folder=None):
        command = [self.program, "--root", self.store, *arguments]
        here = pathlib.Path.cwd()
        try:
            if folder:
                os.chdir(folder)
            return compare.run(command)
        finally:
            os.chdir(here)

    def best(self, *arguments, before=lambda: None, folder=None, runs=None):
        """The shortest time in seconds, and the most memory in MiB."""
        figures = []
        for _ in range(runs or self.runs):
            before()
            figures.append(self.run(*arguments, folder=folder))
        return min(seconds for seconds, _ in figures), max(memory for _, memory in figures)

    def build(self, context, before=lambda: None):
        how = ("build", "--progress", "plain", "--no-lock", "-o", "type=cacheonly", context)
        return self.best(*how, before=before)


def files(bench, count):
    """A COPY of `count` small files: for the first time, again, and with one of them changed."""
    context = bench.scratch / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    compare.many_files(count, 1)(context, 1)
    cold, memory = bench.build(context, bench.reset)
    again, _ = bench.build(context)
    changed, _ = bench.build(context, lambda: compare.change_one(context))
    shutil.rmtree(context)
    return {"cold": cold, "nothing changed": again, "one file changed": changed, "memory, cold": memory}


def targets(bench, count):
    """A build file with `count` targets, each with a folder and a Dockerfile of its own."""
    folder = bench.scratch / "targets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    many.write(folder, count)
    bake = ("bake", "--progress", "quiet")
    cold, memory = bench.best(*bake, before=bench.reset, folder=folder, runs=1)
    again, _ = bench.best(*bake, folder=folder)
    plan, _ = bench.best("plan", folder=folder)
    resolved, _ = bench.best("bake", "--print", folder=folder)
    return {"cold": cold, "nothing changed": again, "plan": plan, "--print": resolved, "memory, cold": memory}


def fill(store, gigabytes):
    """Adds images of so many gigabytes to a store: an image layout, so that anybody can write one."""
    blobs = store / "blobs/sha256"

    def put(document):
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    index = json.loads((store / "index.json").read_text())
    layers = round(gigabytes * 1e9 / LAYER)
    for start in range(0, layers, LAYERS_OF_AN_IMAGE):
        names = [hashlib.sha256(f"layer {number}".encode()).hexdigest()
                 for number in range(start, min(layers, start + LAYERS_OF_AN_IMAGE))]
        for name in names:
            with open(blobs / name, "wb") as file:
                os.truncate(file.fileno(), LAYER)
        config = put({"architecture": "amd64", "os": "linux", "config": {},
                      "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name}" for name in names]}})
        manifest = put({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{name}", "size": LAYER}
                       for name in names]})
        name = f"docker.io/library/image-{start}:latest"
        index["manifests"].append({"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
                                   "annotations": {"io.containerd.image.name": name}})
    (store / "index.json").write_text(json.dumps(index))


def store(bench, gigabytes):
    """A store in which so many gigabytes lie."""
    context = bench.scratch / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    compare.two_stages(context, 1)
    bench.reset()
    bench.build(context)
    fill(bench.store, gigabytes)
    again, _ = bench.build(context)
    images, _ = bench.best("images")
    df, _ = bench.best("df")
    prune, memory = bench.best("prune", "--dry-run")
    shutil.rmtree(bench.store)
    return {"nothing changed": again, "images": images, "df": df, "prune --dry-run": prune, "memory, prune": memory}


SUBJECTS = {
    "files": ("files in the context", files, [1000, 10_000, 100_000, 1_000_000]),
    "targets": ("targets in the build file", targets, [10, 100, 1000]),
    "store": ("GB in the store", store, [1, 10, 100]),
}


def table(title, results):
    """Markdown: a row for each size."""
    columns = list(next(iter(results.values())))
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for size, figures in results.items():
        cells = [f"{figures[name]:.0f} MB" if "memory" in name else f"{figures[name]:.3f}" for name in columns]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


COLOURS = ["#2563eb", "#d97706", "#059669", "#9333ea"]
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 260, 60, 40, 90


def panel(number, title, results):
    """One plot, both axes logarithmic; a dashed line of what is linear."""
    left = LEFT + number * (WIDTH + GAP)
    sizes = list(results)
    names = [name for name in next(iter(results.values())) if "memory" not in name]
    x_of = lambda size: left + WIDTH * math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
    low, high = 1e-3, 1e2
    y_of = lambda seconds: TOP + HEIGHT * (1 - math.log(max(seconds, low) / low) / math.log(high / low))
    out = [f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{title}</text>']
    for power in range(-3, 3):
        y, label = y_of(10.0 ** power), f"{10.0 ** power:g} s"
        out.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#8884"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for size in sizes:
        out.append(f'<text x="{x_of(size):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{size:,}</text>')
    start = results[sizes[-1]][names[0]]
    first = max(start * sizes[0] / sizes[-1], low)
    out.append(f'<path d="M{x_of(sizes[-1] * first / start):.1f} {y_of(first):.1f}L{x_of(sizes[-1]):.1f} {y_of(start):.1f}" stroke="#888" stroke-dasharray="4 4"/>')
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(f"{x_of(size):.1f},{y_of(results[size][name]):.1f}" for size in sizes)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x_of(size):.1f}" cy="{y_of(results[size][name]):.1f}" r="3" fill="{colour}"/>' for size in sizes]
        y = TOP + HEIGHT + 40 + 16 * place
        out.append(f'<path d="M{left} {y - 4}h20" stroke="{colour}" stroke-width="2"/><text x="{left + 28}" y="{y}">{name}</text>')
    return "\n".join(out)


def plot(everything):
    width, height = LEFT + len(everything) * (WIDTH + GAP), TOP + HEIGHT + 110
    body = "\n".join(panel(number, SUBJECTS[name][0], results) for number, (name, results) in enumerate(everything.items()))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#666">\n'
            f'<title>Seconds against size; dashed: linear</title>\n{body}\n</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imgbuild", default=ROOT / "target/release/imgbuild", metavar="PATH")
    parser.add_argument("--runs", type=int, default=3, help="of each command at each size (default: 3)")
    parser.add_argument("--most", type=float, default=1, help="share of the largest sizes that are measured (default: 1)")
    parser.add_argument("--only", choices=list(SUBJECTS), help="only this table")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="where the SVG goes")
    parser.add_argument("--scratch", metavar="FOLDER", help="where stores and contexts go; a temporary folder")
    options = parser.parse_args()
    everything = {}
    with tempfile.TemporaryDirectory(prefix="scaling-", dir=options.scratch) as folder:
        bench = Bench(pathlib.Path(folder), options)
        for name, (title, measure, sizes) in SUBJECTS.items():
            if options.only in (None, name):
                everything[name] = {size: measure(bench, size) for size in sizes if size <= sizes[-1] * options.most}
                print(table(title, everything[name]) + "\n", flush=True)
    if options.plot:
        options.plot.write_text(plot(everything))


if __name__ == "__main__":
    main()
