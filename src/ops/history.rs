//! `history`: how an image was made.

use crate::digest::Digest;
use crate::oci::{History, Platform};
use crate::store::{FindError, Store};

/// One instruction of an image's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The ID of the image that the instruction made: only the last one's is known.
    pub id: Option<Digest>,
    /// What the configuration says about it.
    pub history: History,
    /// The layer that it made, if any.
    pub layer: Option<Digest>,
    /// The size of that layer as it is stored, in bytes.
    pub size: u64,
}

/// The instructions of an image, the last one first, as Docker shows them.
///
/// Layers that the configuration's history does not account for come last, without an instruction.
pub fn history(store: &Store, image: &str, platform: Option<&Platform>) -> Result<Vec<HistoryRow>, FindError> {
    let (_, image) = store.find_image(image, platform)?;
    let mut layers = image.layers.iter().map(|(layer, _)| layer);
    let described = image.config.history.iter().filter(|history| !history.empty_layer).count();
    let unaccounted = image.layers.len().saturating_sub(described);
    let row = |history: History, layer: Option<&crate::oci::Descriptor>| HistoryRow {
        id: None,
        history,
        layer: layer.map(|layer| layer.digest),
        size: layer.map_or(0, |layer| layer.size),
    };
    // Builders that forget some instructions forget those of the base.
    let mut rows: Vec<HistoryRow> =
        layers.by_ref().take(unaccounted).map(|layer| row(History::default(), Some(layer))).collect();
    for history in &image.config.history {
        let layer = if history.empty_layer { None } else { layers.next() };
        rows.push(row(history.clone(), layer));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        first.id = Some(image.config_digest);
    }
    Ok(rows)
}
