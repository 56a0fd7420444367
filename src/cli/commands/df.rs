//! `imgbuild df`: how much of the disk the store takes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Format, json_line, now};
use crate::cli::Session;
use crate::cli::human;
use crate::cli::table;
use crate::digest::Digest;
use crate::oci::Reference;
use crate::ops::Error;
use crate::ops::df::{DfRow, cache_rows, df};
use crate::ops::inventory::Inventory;
use crate::store::containers::ContainerKind;

/// Show how much of the disk the store takes
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild df
  imgbuild df -v                        every image, container and piece of the cache
  imgbuild df --format json             one JSON object on each line, sizes in bytes")]
pub struct Args {
    /// List everything
    #[arg(short, long, conflicts_with = "format")]
    pub verbose: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    r#type: &'static str,
    total_count: usize,
    active: usize,
    size: u64,
    reclaimable: u64,
}

/// Prints the sums, or everything.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let inventory = Inventory::take(&session.open_store()?)?;
    let rows = df(&inventory);
    session.print(match args.format {
        Format::Json => rows.iter().map(|row| json_line(&line(row))).collect::<Result<String, Error>>()?,
        Format::Table if args.verbose => verbose(&inventory, now()),
        Format::Table => render(&rows),
    })
}

fn line(row: &DfRow) -> Line {
    let DfRow { kind, total, active, size, reclaimable } = *row;
    Line { r#type: kind, total_count: total, active, size, reclaimable }
}

fn render(rows: &[DfRow]) -> String {
    let cells = |row: &DfRow| {
        let reclaimable = match (u128::from(row.reclaimable) * 100).checked_div(u128::from(row.size)) {
            Some(percent) => format!("{} ({percent}%)", human::size(row.reclaimable)),
            None => human::size(row.reclaimable),
        };
        [row.kind.into(), row.total.to_string(), row.active.to_string(), human::size(row.size), reclaimable]
    };
    let rows: Vec<[String; 5]> = rows.iter().map(cells).collect();
    table::render(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &rows)
}

fn verbose(inventory: &Inventory, now: i64) -> String {
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    for image in &inventory.images {
        for blob in &image.blobs {
            *users.entry(*blob).or_default() += 1;
        }
    }
    let mut text = String::from("Images:\n\n");
    let mut rows: Vec<[String; 6]> = Vec::new();
    for image in &inventory.images {
        let (shared, own): (Vec<&Digest>, Vec<&Digest>) = image.blobs.iter().partition(|blob| users[*blob] > 1);
        let containers = inventory.containers.iter().filter(|it| image.blobs.contains(&it.container.record.manifest));
        let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
        rows.push([
            if names.is_empty() { "<none>".into() } else { names.join(", ") },
            image.ids.first().unwrap_or(&image.digest).short(),
            human::size(inventory.size_of(&image.blobs)),
            human::size(inventory.size_of(shared)),
            human::size(inventory.size_of(own)),
            containers.count().to_string(),
        ]);
    }
    text += &table::render(["IMAGE", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"], &rows);
    text += "\nContainers:\n\n";
    let containers = inventory.containers.iter().filter(|it| it.container.record.kind == ContainerKind::Container);
    let rows: Vec<[String; 5]> = containers
        .map(|stored| {
            let record = &stored.container.record;
            [
                record.short_id().into(),
                record.image.clone(),
                record.name.clone(),
                if stored.active { "running".into() } else { "ended".into() },
                human::size(stored.size),
            ]
        })
        .collect();
    text += &table::render(["CONTAINER ID", "IMAGE", "NAME", "STATE", "SIZE"], &rows);
    text += "\nBuild cache and cache mounts:\n\n";
    let rows: Vec<[String; 5]> = cache_rows(inventory)
        .into_iter()
        .map(|row| {
            let used = if row.in_use { "true" } else { "false" };
            [table::cut(&row.id, 24), row.kind.into(), human::size(row.size), human::ago(row.used, now), used.into()]
        })
        .collect();
    text + &table::render(["ID", "TYPE", "SIZE", "LAST USED", "IN USE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_sums() {
        let row = |kind, size, reclaimable| DfRow { kind, total: 2, active: 1, size, reclaimable };
        let text = render(&[row("Images", 4000, 1000), row("Containers", 0, 0)]);
        let expected = "\
TYPE         TOTAL   ACTIVE   SIZE   RECLAIMABLE
Images       2       1        4kB    1kB (25%)
Containers   2       1        0B     0B
";
        assert_eq!(text, expected);
    }
}
