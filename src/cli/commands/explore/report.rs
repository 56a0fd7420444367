//! What an image stores in vain, in figures: for people, for programs, and against limits.

use serde_json::{Value, json};

use super::view::percent;
use crate::cli::progress::clean;
use crate::cli::{human, table};
use crate::digest::{DiffId, Digest};
use crate::fstree::survey::Survey;
use crate::oci::Platform;

/// How many files are listed for people.
const MOST: usize = 20;
/// How much of an instruction is shown, in columns.
const COLUMNS: usize = 45;

/// What is reported on.
pub(super) struct Report<'a> {
    pub(super) name: String,
    pub(super) id: Digest,
    pub(super) platform: Platform,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    pub(super) survey: &'a Survey,
}

/// A layer besides its files.
pub(super) struct Layer {
    pub(super) made_by: String,
    pub(super) diff_id: DiffId,
    /// Its size as it is stored, in bytes.
    pub(super) stored: u64,
}

/// What is still good.
pub(super) struct Limits {
    pub(super) min_efficiency: f64,
    pub(super) max_wasted: Option<u64>,
}

impl Limits {
    /// What is not, in words.
    pub(super) fn beyond(&self, survey: &Survey) -> Vec<String> {
        let mut beyond = Vec::new();
        let (efficiency, wasted) = (survey.efficiency(), survey.wasted_bytes());
        if efficiency < self.min_efficiency {
            let (is, limit) = (percent(efficiency), percent(self.min_efficiency));
            beyond.push(format!("the efficiency is {is}, and {limit} is the least"));
        }
        if let Some(limit) = self.max_wasted.filter(|limit| wasted > *limit) {
            beyond.push(format!("{} are wasted, and {} is the most", human::size(wasted), human::size(limit)));
        }
        beyond
    }
}

/// For people: the figures, the layers, and the worst files.
pub(super) fn text(report: &Report<'_>) -> String {
    let survey = report.survey;
    let name = clean(report.name.as_bytes(), false);
    let mut text = format!("{name} {} {}\n", report.id.short(), report.platform);
    let (stored, wasted) = (human::size(survey.stored_bytes()), human::size(survey.wasted_bytes()));
    text += &format!(
        "Efficiency {}: {wasted} of {stored} in files are not seen in the image\n\n",
        percent(survey.efficiency())
    );
    let layers = survey.layers().iter().zip(&report.layers).enumerate();
    let rows: Vec<[String; 5]> = layers
        .map(|(at, (figures, layer))| {
            let made_by = layer.made_by.split_whitespace().collect::<Vec<_>>().join(" ");
            let changes = format!("+{} ~{} -{}", figures.added, figures.changed, figures.removed);
            let (size, wasted) = (human::size(figures.size), human::size(figures.wasted));
            [(at + 1).to_string(), size, wasted, changes, table::cut(&made_by, COLUMNS)]
        })
        .collect();
    text += &table::render(["LAYER", "SIZE", "WASTED", "FILES", "CREATED BY"], &rows);
    let wasted = survey.wasted();
    if wasted.is_empty() {
        return text;
    }
    let rows: Vec<[String; 4]> = wasted
        .iter()
        .take(MOST)
        .map(|found| {
            let fate = if found.removed { "deleted" } else { "overwritten" };
            let path = clean(survey.path(found.node).to_string().as_bytes(), false);
            [human::size(found.bytes), found.copies.to_string(), fate.into(), path]
        })
        .collect();
    text += "\n";
    text += &table::render(["WASTED", "COPIES", "WHY", "FILE"], &rows);
    if wasted.len() > MOST {
        text += &format!("… and {} more; --format json lists all\n", wasted.len() - MOST);
    }
    text
}

/// For programs: all of it. The names are part of the interface: `docs/explore.md` explains them.
pub(super) fn document(report: &Report<'_>) -> Value {
    let survey = report.survey;
    let layers = survey.layers().iter().zip(&report.layers).map(|(figures, layer)| {
        json!({
            "diff-id": layer.diff_id,
            "created-by": layer.made_by,
            "stored-size": layer.stored,
            "size": figures.size,
            "wasted": figures.wasted,
            "added": figures.added,
            "changed": figures.changed,
            "removed": figures.removed,
        })
    });
    let files = survey.wasted().iter().map(|found| {
        json!({
            "path": survey.path(found.node).to_string(),
            "wasted": found.bytes,
            "copies": found.copies,
            "removed": found.removed,
        })
    });
    json!({
        "image": report.name,
        "id": report.id,
        "platform": report.platform.to_string(),
        "efficiency": survey.efficiency(),
        "size": survey.stored_bytes(),
        "wasted": survey.wasted_bytes(),
        "layers": layers.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
    })
}
