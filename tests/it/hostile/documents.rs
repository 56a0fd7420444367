//! Manifests, indexes and configurations that lie, name each other without end, or are more than any image needs.

use imgbuild::digest::Digest;
use serde_json::{Value, json};

use super::doors::{Layout, World, config, docker_archive};
use super::tar::Tar;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer of one file.
fn layer() -> Vec<u8> {
    Tar::new().file("f", "x").end()
}

/// A layout whose manifest is what `change` makes of a good one.
fn manifest(change: impl FnOnce(&mut Value)) -> Layout {
    let mut layout = Layout::new(&[&layer()], "");
    let blob = layout.blob(LAYER, layer());
    let config = layout.blob(CONFIG, config(&[&layer()]).to_string().into_bytes());
    let mut document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [blob] });
    change(&mut document);
    let entry = layout.blob(MANIFEST, document.to_string().into_bytes());
    layout.list(entry);
    layout
}

/// A layout whose index is this text.
fn index(text: &str) -> Layout {
    let mut layout = manifest(|_| {});
    layout.files.insert("index.json".into(), text.as_bytes().to_vec());
    layout
}

/// Loads it as an archive, and builds on it as a folder. `Some(true)` if both must do, `Some(false)` if neither may.
fn check(world: &World, what: &str, layout: &Layout, fine: Option<bool>) {
    let folder = world.path("layout");
    let _ = std::fs::remove_dir_all(&folder);
    layout.write(&folder);
    let loaded = world.run(&["load", "-q"], &layout.archive());
    let loaded = if loaded.code == 0 { world.build("FROM evil\n", &[]) } else { Err(loaded) };
    let base = format!("base=oci-layout://{}", folder.display());
    let built = world.build("FROM base\n", &["--build-context", &base]);
    let from = format!("oci:{}", folder.display());
    world.run(&["copy", &from, "store:copied"], b"");
    if let Some(fine) = fine {
        assert_eq!(loaded.is_ok(), fine, "{what}: {loaded:?}");
        assert_eq!(built.is_ok(), fine, "{what}: {built:?}");
    }
    world.is_untouched(what);
}

#[test]
fn of_layouts() {
    let world = World::new();
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let digest = Digest::of(b"other").to_string();
    let many = |count: usize| {
        move |document: &mut Value| {
            let blob = document["layers"][0].clone();
            document["layers"] = vec![blob; count].into();
        }
    };
    let mut cases = vec![
        ("a good one", manifest(|_| {}), Some(true)),
        ("a wrong size", manifest(|document| document["layers"][0]["size"] = 1.into()), Some(false)),
        ("a size of eight exabytes", manifest(|document| document["layers"][0]["size"] = u64::MAX.into()), Some(false)),
        ("a negative size", manifest(|document| document["layers"][0]["size"] = (-1).into()), Some(false)),
        ("another digest", manifest(|document| document["layers"][0]["digest"] = digest.clone().into()), Some(false)),
        (
            "a digest that leads out",
            manifest(|document| document["layers"][0]["digest"] = "sha256:../../../../canary/file".into()),
            Some(false),
        ),
        (
            "a digest of another kind",
            manifest(|document| document["layers"][0]["digest"] = "md5:0".into()),
            Some(false),
        ),
        (
            "a layer said to be compressed",
            manifest(|document| document["layers"][0]["mediaType"] = format!("{LAYER}+gzip").into()),
            None,
        ),
        (
            "a layer said to be a picture",
            manifest(|document| document["layers"][0]["mediaType"] = "image/png".into()),
            None,
        ),
        (
            "a layer said to be elsewhere",
            manifest(|document| {
                document["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
                document["layers"][0]["urls"] = json!(["file:///etc/passwd"]);
            }),
            None,
        ),
        (
            "a configuration that is the layer",
            manifest(|document| document["config"] = document["layers"][0].clone()),
            Some(false),
        ),
        ("a layer too many", manifest(many(2)), Some(false)),
        ("20000 layers, of which one has a diff ID", manifest(many(20_000)), Some(false)),
        ("no layers", manifest(many(0)), Some(false)),
        ("two things at once", manifest(|document| document["manifests"] = json!([])), Some(false)),
        ("an index that is none", index("[]"), Some(false)),
        ("an empty index", index(""), Some(false)),
        ("deep brackets", index(&deep("[", "]")), Some(false)),
        ("deep objects", index(&(deep("{\"a\":", "}"))), Some(false)),
        (
            "deep brackets in the right place",
            index(&format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", deep("[", "]"))),
            Some(false),
        ),
        ("one key twice", index("{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}"), Some(false)),
        (
            "a digest of zero bytes",
            index("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:\\u0000\",\"size\":1}]}"),
            Some(false),
        ),
        (
            "six megabytes",
            index(&format!("{{\"schemaVersion\":2,\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(6 << 20))),
            Some(false),
        ),
        (
            "no UTF-8",
            {
                let mut layout = manifest(|_| {});
                layout.files.insert("index.json".into(), b"{\"schemaVersion\":2,\"x\":\"\xff\"}".to_vec());
                layout
            },
            Some(false),
        ),
    ];
    // A blob that is not what its name says.
    let mut lying = manifest(|_| {});
    let name = format!("blobs/sha256/{}", Digest::of(&layer()).hex());
    lying.files.insert(name.clone(), b"something else".to_vec());
    cases.push(("a blob of other bytes", lying, Some(false)));
    let mut missing = manifest(|_| {});
    missing.files.remove(&name);
    // The store may have it.
    cases.push(("a blob that is missing", missing, None));
    let (mut crowd, bytes) = (manifest(|_| {}), layer());
    let (blob, crowded) = (crowd.blob(LAYER, layer()), config(&vec![&bytes[..]; 20_000]));
    crowd.image(&crowded, &vec![blob; 20_000]);
    cases.push(("20000 layers", crowd, Some(false)));
    let configurations = [
        ("a configuration that is none", b"[]".to_vec(), Some(false)),
        ("other diff IDs", config(&[b"other"]).to_string().into_bytes(), None),
        ("no diff IDs", config(&[]).to_string().into_bytes(), Some(false)),
        ("a deep configuration", format!("{{\"config\":{}}}", deep("[", "]")).into_bytes(), Some(false)),
        ("twenty megabytes", format!("{{\"a\":\"{}\"}}", "x".repeat(20 << 20)).into_bytes(), Some(false)),
    ];
    for (what, bytes, fine) in configurations {
        let mut layout = Layout::new(&[&layer()], "");
        let blob = layout.blob(LAYER, layer());
        let config = layout.blob(CONFIG, bytes);
        let document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [blob] });
        let entry = layout.blob(MANIFEST, document.to_string().into_bytes());
        layout.list(entry);
        cases.push((what, layout, fine));
    }
    for (what, layout, fine) in &cases {
        check(&world, what, layout, *fine);
    }
    println!("{} layouts, {} passes", cases.len(), 3 * cases.len());
    world.is_sound();
}

/// Indexes that name the next one thousands of times, which does so again.
#[test]
fn indexes_in_indexes() {
    let world = World::new();
    let nested = |depth: usize, names: usize, platform: bool| {
        let mut layout = manifest(|_| {});
        let index: Value = serde_json::from_slice(&layout.files["index.json"]).unwrap();
        let mut entry = index["manifests"][0].clone();
        for _ in 0..depth {
            entry["annotations"] = json!({});
            if platform {
                entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
            }
            let document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; names] });
            entry = layout.blob(INDEX, document.to_string().into_bytes());
        }
        layout.list(entry);
        layout
    };
    for platform in [false, true] {
        check(&world, "one", &nested(1, 1, platform), Some(true));
        check(&world, "one of many", &nested(1, 5000, platform), Some(true));
        check(&world, "many of many", &nested(4, 5000, platform), Some(true));
        check(&world, "too deep", &nested(9, 2, platform), Some(false));
    }
    // The digest of an index is not known before it is written, so one that names itself is a lie.
    let mut layout = manifest(|_| {});
    let promised = Digest::of(b"itself");
    let itself = json!({ "mediaType": INDEX, "digest": promised.to_string(), "size": 200 });
    let document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [itself.clone()] });
    layout.files.insert(format!("blobs/sha256/{}", promised.hex()), document.to_string().into_bytes());
    layout.list(itself);
    check(&world, "itself", &layout, Some(false));
    println!("9 layouts, 27 passes");
    world.is_sound();
}

/// What `docker save` writes, and what else could stand in its place.
#[test]
fn of_docker() {
    for world in World::each() {
        let archive = |listing: &str, more: Tar| {
            let tar = Tar::new().file("config.json", config(&[&layer()]).to_string()).file("layer.tar", layer());
            tar.then(more).file("manifest.json", listing).end()
        };
        let good = r#"[{"Config":"config.json","RepoTags":["evil:latest"],"Layers":["layer.tar"]}]"#;
        let with = |old: &str, new: &str| archive(&good.replace(old, new), Tar::new());
        let many = format!("[{}]", vec!["\"layer.tar\""; 100_000].join(","));
        let passwd = Tar::new()
            .symlink("link", "/etc/passwd")
            .symlink("circle", "circle")
            .hardlink("hard", "/etc/passwd")
            .symlink("up", "../../../../canary/file");
        let cases = [
            ("a good one", with("a", "a"), Some(true)),
            ("a name that leads out", with("layer.tar", "../../../../canary/file"), Some(false)),
            ("an absolute name", with("layer.tar", "/etc/passwd"), Some(false)),
            ("a link", archive(&good.replace("layer.tar", "link"), passwd.clone()), Some(false)),
            ("a link up", archive(&good.replace("layer.tar", "up"), passwd.clone()), Some(false)),
            ("a hard link", archive(&good.replace("layer.tar", "hard"), passwd.clone()), Some(false)),
            ("a circle", archive(&good.replace("layer.tar", "circle"), passwd), Some(false)),
            ("a pipe", archive(&good.replace("layer.tar", "pipe"), Tar::new().node(b'6', "pipe", 0, 0)), Some(false)),
            ("a device", archive(&good.replace("layer.tar", "zero"), Tar::new().node(b'3', "zero", 1, 5)), Some(false)),
            ("a folder", archive(&good.replace("layer.tar", "d"), Tar::new().dir("d")), Some(false)),
            ("itself", with("layer.tar", "manifest.json"), Some(false)),
            ("the configuration", with("layer.tar", "config.json"), Some(false)),
            ("a layer as configuration", with("config.json", "layer.tar"), Some(false)),
            ("100000 layers", with("[\"layer.tar\"]", &many), Some(false)),
            ("no list", with("[{", "{"), Some(false)),
            ("null", with("[\"layer.tar\"]", "null"), Some(false)),
            ("a name that is none", with("evil:latest", "../../evil"), Some(false)),
            ("a name with a newline", with("evil:latest", "evil\\n"), Some(false)),
            ("one key twice", with("\"Config\"", "\"Config\":\"x\",\"Config\""), Some(false)),
            ("deep brackets", archive(&("[".repeat(10_000) + &"]".repeat(10_000)), Tar::new()), Some(false)),
            (
                "files that leave",
                archive(good, Tar::new().file("../../escaped", "x").file("/escaped", "x")),
                Some(true),
            ),
            (
                "a file that is replaced",
                archive(good, Tar::new().file("layer.tar", "x").file("layer.tar", layer())),
                Some(true),
            ),
            ("something behind it", [docker_archive(&[&layer()]), b"garbage".repeat(1000)].concat(), Some(true)),
        ];
        for (what, bytes, fine) in &cases {
            let loaded = world.run(&["load", "-q"], bytes);
            if let Some(fine) = fine {
                assert_eq!(loaded.code == 0, *fine, "{what}: {}", loaded.err);
            }
            world.is_untouched(what);
        }
        // At every block, and in the middle of each.
        let whole = docker_archive(&[&layer()]);
        let places: Vec<usize> = (1..whole.len() - 1024).step_by(256).collect();
        for place in &places {
            assert_eq!(world.run(&["load", "-q"], &whole[..*place]).code, 1, "after {place} bytes");
        }
        println!("{} archives, as many passes", cases.len() + places.len());
        world.is_sound();
    }
}
