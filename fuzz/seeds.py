#!/usr/bin/env python3
"""Make the first inputs of all fuzz targets from the conformance cases and other tests.

    python3 fuzz/seeds.py [CORPUS]      (default: fuzz/corpus)

Names are the digests of the bytes, as libFuzzer has them, so this can be run again at any time.
"""
import base64
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import sqlite3
import struct
import sys
import tarfile
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ROOT / "tests/conformance/cases"
DIGESTS = ["sha256:" + c * 64 for c in "0123456789abcdef"]

# Of a key pair of which nobody has the other half.
PUBLIC_KEY = [b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAe4AGAtv4VeDrG0nEiOGSg/2AL2c", b"OsubvKaUSOLIVV5ST5PIXOOGHs+z3SIGVHuyn1Jog0v4ukk/vmSCSy0CDQ=="]


def files(pattern):
    return [path.read_bytes() for path in sorted(CASES.glob(pattern)) if path.is_file()]


def words(dockerfiles):
    """What follows the keyword on lines with a variable: inputs for the expander."""
    for text in dockerfiles:
        for line in text.splitlines():
            if b"$" in line and b" " in line.strip():
                yield line.strip().split(b" ", 1)[1]


def ignore_files():
    paths = b"\0a\na/b/c\nsrc/main.rs\n.git/config\ndir/sub/file.txt\nx.log\nnode_modules/x/y"
    for text in files("*/*/**/*dockerignore*") + files("*/*/*dockerignore*"):
        yield text + paths
    yield b"*\n!**/*.md\nd[a-c]?\n\\*x\nd/**/x*\n" + paths


def globs():
    for pattern in ["*", "*.txt", "lib*-*.so.?", "[a-c]1", "[^a]", "[\\]x]", "a\\*", "x?y", "*a*a*a"]:
        yield pattern.encode() + b"\0notes.txt\nlibfoo-1.2.so.3\nb1\nx\xc3\xb6y\nbanana\n"


def lockfiles():
    yield f"""version = 1

[[image]]
reference = "redis:7"
platform = "linux/arm64"
index = "{DIGESTS[1]}"
manifest = "{DIGESTS[2]}"
config = "{DIGESTS[3]}"

[[http]]
url = "https://example.org/\\"x\\"\\u0001"
sha256 = "{'a' * 64}"
size = 1
last-modified = 1980-01-01T00:00:00Z

[[git]]
url = "https://example.org/a.git"
ref = "main"
commit = "{'a' * 40}"

[[target]]
name = ""
platform = "linux/amd64"
definition = "key:{'9' * 64}"

[[output]]
target = ""
platform = "linux/amd64"
manifest = "{DIGESTS[4]}"
layers = [
    "{DIGESTS[5]}",
]
""".encode()


def documents():
    config = {"architecture": "amd64", "os": "linux", "created": "1980-01-01T00:00:00Z",
              "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"},
                         "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000}, "Shell": ["/bin/sh", "-c"]},
              "rootfs": {"type": "layers", "diff_ids": [DIGESTS[1]]}, "history": [{"created_by": "RUN x"}]}
    link = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGESTS[2], "size": 7,
            "annotations": {"a": "b"}, "x": 1.5}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": link,
                "layers": [link], "annotations": {}}
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["x"]}
    index = {"schemaVersion": 2, "manifests": [{**link, "platform": platform}]}
    for document in (config, manifest, index):
        yield json.dumps(document).encode()
    for facts in sorted(CASES.glob("*/*/expected.json"))[::20]:
        document = json.loads(facts.read_bytes())
        yield json.dumps({**config, "config": document.get("config") or {}}).encode()


def tars():
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
            for name, type_, link, data in [
                    ("d", tarfile.DIRTYPE, "", b""), ("d/file", tarfile.REGTYPE, "", b"content"),
                    ("d/hard", tarfile.LNKTYPE, "d/file", b""), ("d/.wh.gone", tarfile.REGTYPE, "", b""),
                    ("d/.wh..wh..opq", tarfile.REGTYPE, "", b""), ("null", tarfile.CHRTYPE, "", b""),
                    ("l" * (90 if kind == tarfile.USTAR_FORMAT else 200), tarfile.SYMTYPE, "/x", b"")]:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname, entry.size, entry.mtime = type_, link, len(data), 1.5 if link else 7
                entry.pax_headers = {"SCHILY.xattr.user.a": "b"} if kind == tarfile.PAX_FORMAT else {}
                tar.addfile(entry, io.BytesIO(data))
        yield out.getvalue().rstrip(b"\0") + bytes(1024)
    for records in ([("GNU.sparse.size", "4096"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "512,5")],
                    [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "real"),
                     ("GNU.sparse.realsize", "4096")]):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            data = b"hello" if len(records) == 3 else b"1\n512\n5\n".ljust(512, b"\0") + b"hello"
            entry = tarfile.TarInfo("sparse")
            entry.size, entry.pax_headers = len(data), dict(records)
            tar.addfile(entry, io.BytesIO(data))
        yield out.getvalue()[:4096]


def archives():
    """The language of the target `archive`: see `fuzz/src/archive.rs`."""
    empty_tar = b"x"
    config = b'b{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["@0"]}}'
    kinds = [b"application/vnd.oci.image." + kind for kind in (b"config.v1+json", b"layer.v1.tar", b"manifest.v1+json")]

    def link(kind, number, more=b""):
        return b'{"mediaType":"%s","digest":"@%d","size":#%d%s}' % (kind, number, number, more)
    manifest = b'b{"schemaVersion":2,"config":%s,"layers":[%s]}' % (link(kinds[0], 1), link(kinds[1], 0))
    name = b',"annotations":{"org.opencontainers.image.ref.name":"v1","io.containerd.image.name":"docker.io/library/a:v1"}'
    index = b'i{"schemaVersion":2,"manifests":[%s]}' % link(kinds[2], 2, name)
    yield b"\0".join([b"b" + empty_tar, config, manifest, index, b'o{"imageLayoutVersion":"1.0.0"}'])
    # With signatures: their payload, their manifest, and the index of them that the image's entry names.
    payload = b'b{"critical": {"identity": {"docker-reference": "a"}, "image": {"docker-manifest-digest": "@2"}, "type": "x"}}'
    signature = b',"annotations":{"dev.cosignproject.cosign/signature":"QQ=="}'
    attachment = b'b{"schemaVersion":2,"artifactType":"application/vnd.dev.cosign.artifact.sig.v1+json","config":%s,"layers":[%s]}' % (
        link(kinds[0], 1), link(b"application/vnd.dev.cosign.simplesigning.v1+json", 3, signature))
    tag = b',"annotations":{"org.opencontainers.image.ref.name":"sha256-%s.sig"}' % (b"0" * 64)
    signed = name[:-1] + b',"vnd.imgbuild.signatures":"@5"}'
    yield b"\0".join([b"b" + empty_tar, config, manifest, payload, attachment, b'b{"schemaVersion":2,"manifests":[%s]}' % link(kinds[2], 4, tag),
                      b'i{"schemaVersion":2,"manifests":[%s]}' % link(kinds[2], 2, signed), b'o{"imageLayoutVersion":"1.0.0"}'])
    nested = b'b{"schemaVersion":2,"manifests":[%s]}' % link(kinds[2], 2)
    outer = b'i{"schemaVersion":2,"manifests":[%s]}' % link(b"application/vnd.oci.image.index.v1+json", 3, name)
    yield b"\0".join([b"b" + empty_tar, config, manifest, nested, outer, b'o{"imageLayoutVersion":"1.0.0"}'])
    docker = b'm[{"Config":"config.json","RepoTags":["a:v1"],"Layers":["layer/layer.tar"]}]'
    yield b"\0".join([b"l" + empty_tar, b"c" + config[1:], docker])
    yield b"\0".join([b"b" + empty_tar, config, b'm[{"Config":"blobs/sha256/%1","RepoTags":["a:v1"],"Layers":["blobs/sha256/%0"]}]'])
    yield b"\0".join([b"l" + empty_tar, b"c" + config[1:], docker, b'r{"a":{"v1":"layer"}}', b"v1.0"])


def layers():
    """Two tars behind the number of blocks of the first: see `fuzz/src/intake.rs`."""
    all_tars = list(tars())
    for lower in all_tars:
        for upper in all_tars:
            yield bytes([len(lower) // 512]) + lower + upper


def streams():
    """One tar in each compression, and two streams behind one another."""
    tar = next(tars())
    for packer in (gzip.compress, bz2.compress, lzma.compress, bytes):
        yield packer(tar)
        yield packer(tar[:512]) + packer(tar[512:])
    yield gzip.compress(bytes(1 << 21))
    yield bytes.fromhex("28b52ffd0458090000") + b"abc"
    yield bytes.fromhex("28b52ffd2403190000616263")


def caches():
    """A manifest and a configuration as `src/remote_cache/format.rs` writes them."""
    blob = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": DIGESTS[1], "size": 5}
    toc = {"mediaType": "application/vnd.imgbuild.layer.toc.v1+zstd", "digest": DIGESTS[2], "size": 3}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": "application/vnd.imgbuild.cache.v1", "layers": [blob, toc],
                "config": {"mediaType": "application/vnd.imgbuild.cache.config.v1+json", "digest": DIGESTS[3], "size": 9}}
    layers = [{"id": "chain-" + "1" * 64},
              {"id": "tree-" + "2" * 64, "blob": DIGESTS[1], "diffId": DIGESTS[4], "profile": "tar-1/gzip", "toc": DIGESTS[2]}]
    config = {"version": 1, "layers": layers, "results": [{"keys": ["key:" + "4" * 64], "layers": [0, 1]}],
              "mounts": [{"id": "go-build", "blob": DIGESTS[1]}]}
    yield json.dumps(manifest).encode() + b"\0" + json.dumps(config).encode()
    yield json.dumps(manifest).encode() + b"\0" + json.dumps({**config, "layers": [], "results": []}).encode()


def addresses():
    yield b"https://user:pa%20ss@Example.org:8080/a/../b?c=d#e\n../x?y"
    yield b"http://[::1]:80/\nhttps://other/\n"
    yield b"https://example.org\n//elsewhere/x"


def users():
    yield b"app:web\0web\0root:x:0:0::/root:/bin/sh\napp:x:10:20::/:\n\0root:x:0:\nweb:x:30:app\n"
    yield b"1000:1000\0\0\0"
    yield b"u=rwx,g+X,o-w\0\0\0"


def policies():
    rule = {"action": "CONVERT", "selector": {"identifier": "docker-image://docker.io/library/redis:7", "matchType": "EXACT"},
            "updates": {"identifier": "docker-image://docker.io/library/redis:7@" + DIGESTS[1]}}
    yield json.dumps({"rules": [rule, {"action": "DENY", "selector": {"identifier": "https://*", "matchType": "WILDCARD"}}]}).encode()


def tables():
    """The encoding in `src/fstree/toc.rs`."""
    def bytes_(data):
        return len(data).to_bytes(4, "little") + data

    def entry(path, kind, xattrs=()):
        meta = b"".join(n.to_bytes(4, "little") for n in (0o644, 1, 2)) + (7).to_bytes(8, "little")
        meta += len(xattrs).to_bytes(4, "little") + b"".join(bytes_(n) + bytes_(v) for n, v in xattrs)
        return bytes_(path) + meta + kind
    entries = [entry(b"a", b"d\0"), entry(b"a/f", b"f" + (3).to_bytes(8, "little") + bytes(32), [(b"user.a", b"b")]),
               entry(b"a/h", b"h" + bytes_(b"a/f")), entry(b"a.x", b"l" + bytes_(b"../y")),
               entry(b"c", b"c" + bytes(8)), entry(b"p", b"p"), entry(b"w", b"w")]
    for count in range(len(entries) + 1):
        yield b"imgtoc\0\x01" + count.to_bytes(8, "little") + b"".join(entries[:count])


def rpm_header(name, version="1.0", epoch=None, more=0):
    """A package as rpm's databases have it: an index of tags, and their values."""
    index, values = b"", b""
    texts = [(1000, name), (1001, version), (1002, "1.fc40"), (1004, "x" * more), (1011, "Somebody"), (1014, "MIT"), (1022, "noarch"),
             (1044, name + ".src.rpm")]
    tags = [(tag, 6, text.encode() + b"\0") for tag, text in texts]
    if epoch is not None:
        tags.insert(0, (1003, 4, struct.pack(">I", epoch)))
    for tag, kind, value in tags:
        index += struct.pack(">IIII", tag, kind, len(values), 1)
        values += value
    return struct.pack(">II", len(index) // 16, len(values)) + index + values


def rpm_headers():
    return [rpm_header("small"), rpm_header("large", "2~rc1", 4, more=900), rpm_header("gpg-pubkey")]


def rpm_sqlite():
    """The real thing, with pages as small as may be."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rpmdb.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA page_size = 512")
            database.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
            database.executemany("INSERT INTO Packages(blob) VALUES(?)", [(header,) for header in rpm_headers()])
            database.commit()
        return path.read_bytes()


def rpm_ndb():
    slots, blobs = b"", b""
    for number, header in enumerate(rpm_headers(), 1):
        block = (4096 + len(blobs)) // 16
        blobs += struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header
        blobs += bytes(-(len(blobs) + 12) % 16) + struct.pack("<II4s", 0, len(header), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, block, (4096 + len(blobs)) // 16 - block)
    head = struct.pack("<4sIIIIIII", b"RpmP", 0, 1, 1, 9, 0, 0, 0) + slots
    return head + struct.pack("<4sIII", b"Slot", 0, 0, 0) * ((4096 - len(head)) // 16) + blobs


def rpm_berkeley(order):
    """A hash with one bucket, in the order of bytes of one machine or another."""
    size, bucket, offsets, pages = 512, b"", [], []

    def page(number, following, items, free, kind):
        return struct.pack(order + "8xIIIHHBB", number, 0, following, items, free, 0, kind)
    for number, header in enumerate(rpm_headers()):
        item = b"\1" + header
        if len(header) > 300:
            parts = [header[at:at + size - 26] for at in range(0, len(header), size - 26)]
            first = 2 + len(pages)
            for at, part in enumerate(parts, 1):
                following = first + at if at < len(parts) else 0
                pages.append((page(first + at - 1, following, 1, len(part), 7) + part).ljust(size, b"\0"))
            item = struct.pack(order + "B3xII", 3, first, len(header))
        for part in (struct.pack(order + "BI", 1, number), item):
            bucket = part + bucket
            offsets.append(size - len(bucket))
    head = page(1, 0, len(offsets), size - len(bucket), 13) + struct.pack(f"{order}{len(offsets)}H", *offsets)
    meta = struct.pack(order + "12xIII48xI20xI", 0x61561, 9, size, 0, 1)
    return meta.ljust(size, b"\0") + head + bytes(size - len(head) - len(bucket)) + bucket + b"".join(pages)


def elf(section, data, wide=True, order="<"):
    """A program with one section with a name, and a segment of the same bytes."""
    word, start = ("Q", 64 + 56) if wide else ("I", 52 + 32)
    names = b"\0" + section + b"\0.shstrtab\0"
    head = b"\x7fELF" + bytes([1 + wide, 1 + (order == ">"), 1]).ljust(12, b"\0")
    head += struct.pack(f"{order}HHI{word}{word}{word}IHHHHHH", 2, 62, 1, 0, 64 if wide else 52, start + len(data) + len(names), 0,
                        64 if wide else 52, 56 if wide else 32, 1, 64 if wide else 40, 3, 2)
    place, size = start, len(data)
    if wide:
        head += struct.pack(order + "IIQQQQQQ", 1, 6, place, place, place, size, size, 8)
    else:
        head += struct.pack(order + "IIIIIIII", 1, place, place, place, size, size, 6, 8)

    def entry(name, kind, place, size):
        return struct.pack(f"{order}II{word}{word}{word}{word}", name, kind, 0, 0, place, size).ljust(64 if wide else 40, b"\0")
    return head + data + names + entry(0, 0, 0, 0) + entry(1, 1, place, size) + entry(2 + len(section), 3, place + size, len(names))


def programs():
    """What the linkers of Go before and since 1.18 write, and cargo-auditable."""
    text = b"<" * 16 + b"path\ta/cmd\nmod\ta\t(devel)\t\ndep\tb\tv1.0.0\n=>\tc\tv1.0.1\th1:x=\nbuild\tvcs.revision=12\n" + b">" * 16
    yield elf(b".go.buildinfo", (b"\xff Go buildinf:\x08\x02").ljust(32, b"\0") + b"\x08go1.22.0" + bytes([len(text)]) + text)
    for wide, order in ((True, "<"), (False, ">")):
        word, size, start = ("Q", 8, 64 + 56) if wide else ("I", 4, 52 + 32)
        strings = start + 32
        data = (b"\xff Go buildinf:" + bytes([size, order == ">"]) + struct.pack(order + 2 * word, strings, strings + 2 * size)).ljust(32, b"\0")
        data += struct.pack(order + 4 * word, strings + 4 * size, 6, strings + 4 * size + 6, len(text)) + b"go1.17" + text
        yield elf(b".go.buildinfo", data, wide, order)
    crates = {"packages": [{"name": "own", "version": "0.1.0", "source": "local", "root": True},
                           {"name": "serde", "version": "1.0.0", "source": "crates.io"},
                           {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"}]}
    yield elf(b".dep-v0", zlib.compress(json.dumps(crates).encode()))


def packages():
    """A file of each kind, after the byte that `fuzz/src/packages.rs` knows the kind by."""
    yield b"\0ID=debian\nVERSION_ID=\"12\"\n"
    status = b"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3+b1\nDescription: x\n .\n\n"
    yield b"\1" + status + status.replace(b"a\n", b"b\n", 1)
    yield b"\2" + status
    yield b"\3C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\n\nP:b\nV:1\n"
    yield b"\4" + (ROOT / "Cargo.lock").read_bytes()[:4000]
    yield b'\5{"packages": {"node_modules/@a/b": {"version": "1.0.0", "license": "MIT", "dependencies": {"c": "^5"}}}}'
    yield b'\5{"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}'
    yield b'\6{"name": "@a/b", "version": "1.0.0", "license": {"type": "MIT"}}'
    yield b"\7Metadata-Version: 2.1\nName: Py_YAML\nVersion: 6.0\nLicense-Expression: MIT\n\nText\n"
    yield b"\10flask[async] == 3.0.0 ; python_version > '3'\nurllib3==2.0 --hash=x\n"
    yield b"\11module a\nrequire (\n\tb/c v1.0.0 // indirect\n\td v1.0.0\n)\nreplace b/c => e v1.1.0\nreplace d v1.0.0 => ./d\n"
    yield b"\12" + rpm_sqlite()
    yield b"\13" + rpm_ndb()
    for order in "<>":
        yield b"\14" + rpm_berkeley(order)
    for program in programs():
        yield b"\15" + program


def answers():
    yield b'Bearer realm="https://h/token",service="h",scope="repository:a/b:pull,push", Basic realm="x"'
    yield b'{"token": "abc", "expires_in": 300, "issued_at": "2020-01-01T00:00:00Z"}'
    yield b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no"}], "details": "x"}'
    yield b"<?xml?><Error><Code>NoSuchKey</Code><Message>It&apos;s not there</Message></Error>"
    yield b'</v2/a/tags/list?last=x&n=1>; rel="next"'
    yield b'{"code": "already_exists", "msg": "there is one"}'
    claims = json.dumps({"ac": json.dumps([{"Scope": "refs/heads/main", "Permission": 3}]), "exp": 1600000000})
    yield b"e30." + base64.urlsafe_b64encode(claims.encode()).rstrip(b"=") + b".c2ln"
    for date in (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994", b"120"):
        yield date


def kept():
    """As `src/store/{index,containers,scenes}`, `src/ops/record` and `src/solve/record.rs` write them."""
    layers = ["chain-" + "1" * 64, "tree-" + "2" * 64]
    name = {"org.opencontainers.image.ref.name": "docker.io/library/a:v1"}
    image = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGESTS[1], "size": 3, "annotations": name}
    yield json.dumps({"schemaVersion": 2, "manifests": [image, {"x": 1}]}).encode()
    config = {"Env": ["A=b"], "Cmd": ["sh"], "WorkingDir": "/"}
    yield json.dumps({"version": 1, "id": "a" * 64, "name": "n", "kind": "container", "image": "a", "image_id": DIGESTS[1],
                      "manifest": DIGESTS[2], "layers": layers, "config": config, "args": ["sh"], "hostname": "h",
                      "mounts": [["/a", "/b"]], "created": 7}).encode()
    step = {"name": "RUN x", "stage": "s", "origin": ["Dockerfile", 3], "key": "4" * 64, "outcome": "exit code 1"}
    yield json.dumps({"version": 1, "kind": "failure", "step": step, "made": 5, "layers": layers, "args": ["sh"],
                      "env": [["A", "b"]], "cwd": "/", "user": "", "hostname": "h", "hosts": [], "network": True,
                      "privileged": False, "mounts": []}).encode()
    yield b"\1" + b"".join(kind + bytes([number]) * 32 for kind, number in ((b"i", 1), (b"m", 2)))
    # A folder with one file that is known, as `src/source/statcache` has it.
    entry = (1).to_bytes(2, "little") + b"f" + bytes(77)
    numbers = b"".join(n.to_bytes(4, "little") for n in (1, len(entry)))
    yield b"imgstat\2" + (1).to_bytes(4, "little") + b"a" + numbers + entry
    # A row of a log, and a file of a list.
    yield b"\1" + (258).to_bytes(8, "little") + (2).to_bytes(8, "little") + bytes(8) + (2).to_bytes(4, "little") + b"ab"
    yield bytes(2) + (1).to_bytes(2, "little") + b"a" + bytes(37)
    key = "key:" + "4" * 64
    summary = {"version": 1, "definition": "/a/Dockerfile.lock", "started": 5, "elapsed": 7, "ended": "done", "error": None,
               "images": [{"target": "", "digest": DIGESTS[1], "tags": ["a:1"]}], "cached": 1, "warnings": ["w"],
               "steps": [{"step": 0, "ended": "done", "error": None, "started": 0, "elapsed": 1, "reason": "r"}],
               "snapshot": key, "lists": [key], "log": None, "program": "1", "command": ["build", "."]}
    yield json.dumps(summary).encode()
    facts = {"name": "RUN x", "stage": "s", "origin": ["Dockerfile", 3], "kind": "run", "source": "x", "platform": "linux/amd64",
             "key": key, "no_cache": False, "inputs": [], "facts": [["env", "A", "b"]]}
    yield json.dumps({"version": 1, "key_version": 1, "roots": [{"target": "", "platform": "linux/amd64", "step": 1}],
                      "steps": [facts, {**facts, "inputs": [[0, key]]}]}).encode()


def settings():
    yield b'[network]\ntimeout = 5.5\ntries = 3\n[registry."h:5000"]\ninsecure = true\nmirrors = ["m:1"]\n'
    yield b'[store]\nroot = "x"\n[explore]\nmin-efficiency = 0.9\nmax-wasted = "10m"\n[prune]\nkeep-storage = "20g"\nuntil = "48h"\n'
    yield b'{"auths": {"https://index.docker.io/v1/": {"auth": "dTpwOnc="}, "h:5000": {"identitytoken": "t"}}, "credHelpers": {"h": "x"}}'
    yield from (b"table {{.ID}}\\t{{json .A.B}}", b'type=local,"dest=a,b"', b"20g", b"label=a=b", b"2024-03-01T12:00:00Z", b"1h30m")


def trust():
    yield b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % b"\n".join(PUBLIC_KEY)
    payload = {"critical": {"identity": {"docker-reference": "h.x/a:1"}, "image": {"docker-manifest-digest": DIGESTS[1]},
                            "type": "cosign container image signature"}, "optional": None}
    yield json.dumps(payload).encode()
    layer = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": DIGESTS[1], "size": 9,
             "annotations": {"dev.cosignproject.cosign/signature": "QQ=="}}
    yield json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer]}).encode()
    yield b'allow = ["debian", "h.x/**"]\ndeny = ["h.x/*b"]\nrequire-digest = true\n[require-signature]\n"*" = ["a.pub"]\n'
    yield b'[policy.require-signature]\n"h.x/a/*" = { keys = ["a.pub"], signed-as = "debian" }\n'


def main():
    corpus = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "fuzz/corpus"
    dockerfiles = [text for text in files("*/*/Dockerfile*") + files("*/*/context/*ockerfile*") if b"\0" not in text]
    references = [b"redis", b"host:5000/a/b:c@" + DIGESTS[1].encode(), b"[::1]:80/a", b"linux/arm64/v8", b"x86_64"]
    example = (ROOT / "build.toml.example").read_bytes()
    bakes = {kind: [path.read_bytes() for path in sorted((ROOT / "tests/bake-files").glob(f"*/*.{kind}"))]
             for kind in ("hcl", "json", "y*ml")}
    seeds = {"archive": archives(), "bakejson": bakes["json"], "compose": bakes["y*ml"], "hcl": bakes["hcl"], "buildfile": [example, *example.split(b"\n\n")], "dockerfile": dockerfiles,
             "expand": words(dockerfiles), "glob": globs(), "ignore": ignore_files(), "lockfile": lockfiles(),
             "lower": dockerfiles, "address": addresses(), "cache": caches(), "compressed": streams(), "passwd": users(),
             "policy": policies(), "unpack": layers(), "oci": documents(), "packages": packages(), "reference": references, "tar": tars(), "toc": tables(),
             "trust": trust(), "answers": answers(), "kept": kept(), "settings": settings()}
    for target, inputs in seeds.items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        unique = {hashlib.sha1(data).hexdigest(): data for data in inputs}
        for name, data in unique.items():
            (folder / name).write_bytes(data)
        print(f"{target}: {len(unique)} seeds")


if __name__ == "__main__":
    main()
