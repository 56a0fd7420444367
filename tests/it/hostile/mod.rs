//! Archives and contexts that mean harm, through every way in.
//!
//! Whatever comes in, the program ends by itself, with an exit code that means something and words that name the archive and
//! the entry; nothing outside of the store and the target folder was made or changed; and the store is whole afterwards. Where
//! this is root, all that is tried once more by a user who is not.

mod bombs;
mod contexts;
mod documents;
mod doors;
mod links;
mod names;
mod numbers;
mod racing;
mod special;
mod tar;
mod whiteouts;

use doors::{Case, World};

/// Passes all of these through all doors, and says how many that were. There must be as many cases as the test says, so that
/// none is lost on the way.
#[track_caller]
fn pass(cases: &[Case], expected: usize) {
    let mut wrong = Vec::new();
    for world in World::each() {
        let passes = cases.iter().enumerate().map(|(number, case)| world.pass(number, case, &mut wrong));
        println!("{} archives, {} passes {}", cases.len(), passes.sum::<usize>(), world.name());
        world.is_sound();
    }
    assert!(wrong.is_empty(), "{} of them are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases.len(), expected);
}
