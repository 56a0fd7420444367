//! For the fuzzer: a door to the readers of settings and of arguments.
//!
//! It is there with `--cfg fuzzing` only, which cargo-fuzz sets.

use std::path::Path;

use super::args::filter::{self, Filter};
use super::args::template::{ListFormat, Template};
use super::args::{csv, values};
use super::config::Config;
use super::keychain::Files;

/// `imgbuild.toml`, Docker's file of passwords, and the small languages of arguments.
pub fn settings(data: &[u8]) {
    if let Ok(serde_json::Value::Object(file)) = serde_json::from_slice(data) {
        for registry in ["docker.io", "h:5000"] {
            let _ = Files::find_entry(&file, registry);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Config::parse(Path::new("imgbuild.toml"), text);
    let _ = csv::pairs(text);
    if let Ok(size) = values::size(text) {
        assert_eq!(values::size(&size.to_string()), Ok(size));
    }
    let _ = filter::until(text, 1 << 31);
    let _ = text.parse::<Filter>();
    let _ = text.parse::<ListFormat>();
    if let Ok(template) = text.parse::<Template>() {
        let document = serde_json::json!({ "a": { "b": [1, "x", null] } });
        let _ = (template.head(), template.render(&document));
    }
}
