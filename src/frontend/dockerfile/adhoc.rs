//! x
use super::expand::*;
use crate::fstree::TreePath;
use crate::fstree::pattern::*;
struct T(Vec<(String, String)>);
impl Lookup for T {
    fn get(&self, n: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == n).map(|(_, v)| v.as_str())
    }
}
#[test]
fn adhoc_patterns() {
    let v: Vec<(Vec<String>, String, bool, bool)> =
        serde_json::from_str(&std::fs::read_to_string("/tmp/pm.json").unwrap()).unwrap();
    for (p, path, want, bad) in v {
        if path.ends_with('/') || path == "." {
            continue;
        }
        match Matcher::new(&p) {
            Err(_) => {
                if !bad {
                    eprintln!("BAD {p:?} {path}");
                }
            }
            Ok(m) => {
                if bad {
                    eprintln!("SHOULD BE BAD {p:?}");
                } else if m.excluded(&TreePath::clean(&path)) != want {
                    eprintln!("DIFF {p:?} {path} want {want}");
                }
            }
        }
        if p.len() == 1 {
            if Glob::parse(p[0].as_bytes()).is_err() != bad {
                eprintln!("GLOB {p:?}");
            }
        }
    }
}
#[test]
fn adhoc_shell() {
    let t = T([("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")]
        .iter()
        .map(|(a, b)| (a.to_string(), b.to_string()))
        .collect());
    for line in std::fs::read_to_string("/tmp/bkt/frontend/dockerfile/shell/envVarTest").unwrap().lines() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let w: Vec<&str> = line.trim().split('|').map(str::trim).collect();
        if w[0] == "W" {
            continue;
        }
        let r = Expander::new('\\').expand(w[1], &t).map(|e| e.text);
        let got = r.as_deref().unwrap_or("error");
        if got != w[2] {
            eprintln!("SHELL {line} got {got:?} {r:?}");
        }
    }
    let mut t = T(vec![]);
    for line in std::fs::read_to_string("/tmp/bkt/frontend/dockerfile/shell/wordsTest").unwrap().lines() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(e) = line.strip_prefix("ENV ") {
            let (k, v) = e.split_once('=').unwrap();
            t.0.push((k.into(), v.into()));
            continue;
        }
        let (a, b) = line.rsplit_once('|').unwrap();
        let r = Expander::new('\\').expand(a.trim(), &t).map(|e| e.words.join(","));
        let got = r.as_deref().unwrap_or("error");
        if got != b.trim_start() && got.trim_end() != b.trim() {
            eprintln!("WORDS {line} got {got:?} {r:?}");
        }
    }
}
#[test]
fn adhoc_parse() {
    for d in ["testfiles", "testfiles-negative"] {
        for e in std::fs::read_dir(format!("/tmp/bkt/frontend/dockerfile/parser/{d}")).unwrap() {
            let p = e.unwrap().path();
            let Ok(text) = std::fs::read(p.join("Dockerfile")) else { continue };
            let r = super::parse(&String::from_utf8_lossy(&text));
            let errs: Vec<_> = r.diagnostics.iter().map(|d| d.message.clone()).collect();
            eprintln!(
                "{d} {:?} {}",
                p.file_name().unwrap(),
                if errs.is_empty() { "ok".into() } else { errs.join(" ; ") }
            );
        }
    }
}
#[test]
fn adhoc_lint() {
    use super::*;
    let v: Vec<(String, Vec<(String, u32)>, String, std::collections::BTreeMap<String, String>)> =
        serde_json::from_str(&std::fs::read_to_string("/tmp/lint.json").unwrap()).unwrap();
    for (text, want, rest, args) in v {
        let p = parse(&text);
        let Some(f) = p.dockerfile else {
            eprintln!("PARSE {:?}\n{text}\n{rest}", p.diagnostics.iter().map(|d| &d.message).collect::<Vec<_>>());
            continue;
        };
        let mut o = Options::new("Dockerfile", "linux/amd64".parse().unwrap());
        o.all_stages = true;
        o.build_args = args;
        let mut res = Resolved::default();
        let mut g = crate::graph::Graph::new();
        for _ in 0..5 {
            match lower(&f, &o, &res, &mut g) {
                Err(e) => {
                    eprintln!(
                        "ERR {:?}\n{text}\n{rest}\n want {want:?}",
                        e.iter().map(|d| (&d.message, d.rule)).collect::<Vec<_>>()
                    );
                    break;
                }
                Ok(Lowered::Needs(n)) => {
                    for n in n {
                        if let Need::Image { reference, platform, .. } = n {
                            let mut c = crate::oci::ImageConfig::default();
                            c.os = platform.os.clone();
                            c.architecture = platform.architecture.clone();
                            res.images.insert((reference.clone(), platform), ResolvedImage { reference, config: c });
                        }
                    }
                }
                Ok(Lowered::Done(b)) => {
                    let mut got: Vec<(String, u32)> = b
                        .warnings
                        .iter()
                        .map(|w| (w.rule.unwrap().to_string(), f.line(w.annotations[0].span.start)))
                        .collect();
                    let mut want = want.clone();
                    got.sort();
                    want.sort();
                    if got != want {
                        eprintln!("LINT got {got:?}\n want {want:?}\n{text}\n{rest}\n----");
                    }
                    break;
                }
            }
        }
    }
}
