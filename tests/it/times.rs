//! No file of an image says when the build ran.

use std::fs::{self, File};

use crate::support::{Store, scratch};

/// 1980-01-01T00:00:00Z.
const EPOCH: u64 = 315_532_800;

#[test]
fn a_working_folder_that_a_step_makes_again_has_no_time_of_its_own() {
    let work = scratch();
    let dockerfile = "FROM busybox\nWORKDIR /work/inner\nRUN rm -r /work\nRUN true\n";
    fs::write(work.path().join("Dockerfile"), dockerfile).unwrap();
    let tree = work.path().join("tree.tar");
    Store::with_busybox().build(work.path(), &["-o", &format!("type=tar,dest={}", tree.display())]);
    let mut archive = tar::Archive::new(File::open(tree).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_matches('/').to_owned();
        if path.starts_with("work") {
            found.push((path, entry.header().mtime().unwrap()));
        }
    }
    assert_eq!(found, [("work".to_owned(), EPOCH), ("work/inner".to_owned(), EPOCH)]);
}
