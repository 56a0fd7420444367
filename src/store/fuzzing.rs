//! For the fuzzer: a door to the readers of what a store keeps, which somebody else or a failing disk may have written.
//!
//! It is there with `--cfg fuzzing` only, which cargo-fuzz sets.

use super::containers::ContainerRecord;
use super::index::ImageIndex;
use super::scenes::fuzzing as scenes;

/// The list of images, and the records of containers and of scenes.
pub fn kept(data: &[u8]) {
    if let Ok(index) = ImageIndex::parse(data) {
        for image in index.list() {
            let found = image.reference.as_ref().map(|reference| index.get(reference));
            assert!(found.is_none_or(|found| found.is_some()), "an image has a name that does not find it");
        }
    }
    if let Ok(record) = ContainerRecord::decode(data) {
        assert!(ContainerRecord::decode(&record.encode()).is_ok());
    }
    scenes::check(data);
}
