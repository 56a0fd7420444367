//! The hot inner pieces, each at a size at which anything worse than linear shows.
//!
//! `cargo bench --bench inner` runs all of them, `cargo bench --bench inner -- dockerfile` those with that in their name.
//! Whole builds, next to other builders, are measured by `benches/compare`.

mod files;
mod language;
mod layers;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    language::all(&mut criterion);
    files::all(&mut criterion);
    layers::all(&mut criterion);
    criterion.final_summary();
}
