//! Which step of one build is which of an earlier one.
//!
//! Steps are compared within their stage. What is made of the same stays in its order (the longest common subsequence);
//! between such steps, those with the same keyword are taken for one that was edited. What is left was inserted or removed.

use std::collections::{BTreeMap, HashMap};

use crate::graph::explain::snapshot::{Snapshot, StepFacts, StepKind};

/// The largest table that is filled in to compare two stages; longer ones are compared place by place.
const LARGEST: usize = 4_000_000;

/// Pairs of (new, old) steps.
pub fn align(new: &Snapshot, new_steps: &[usize], old: &Snapshot, old_steps: &[usize]) -> HashMap<usize, usize> {
    let mut pairs = HashMap::new();
    let mut before = groups(old, old_steps);
    let mut renamed = Vec::new();
    for (name, steps) in groups(new, new_steps) {
        match before.remove(&name) {
            Some(earlier) => pair(new, &steps, old, &earlier, &mut pairs),
            None => renamed.push((name, steps)),
        }
    }
    // Stages and sources that are called otherwise now: in their order, if they are of one kind.
    for (name, steps) in renamed {
        let same_kind = before.keys().find(|other| other.0 == name.0).cloned();
        if let Some(earlier) = same_kind.and_then(|other| before.remove(&other)) {
            pair(new, &steps, old, &earlier, &mut pairs);
        }
    }
    pairs
}

/// What kind of group, and its name.
type Name = (StepKind, String);

fn groups(snapshot: &Snapshot, steps: &[usize]) -> BTreeMap<Name, Vec<usize>> {
    let mut groups: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for step in steps {
        let facts = &snapshot.steps[*step];
        let name = match (facts.slot(), facts.kind) {
            (Some((stage, _)), _) => (StepKind::Exec, stage.to_owned()),
            (None, StepKind::Image) => (facts.kind, facts.source.split('@').next().unwrap_or_default().to_owned()),
            (None, kind) if kind.is_source() => (kind, facts.source.clone()),
            (None, _) => (StepKind::File, String::new()),
        };
        groups.entry(name).or_default().push(*step);
    }
    for steps in groups.values_mut() {
        // A shared step may stand elsewhere in the graph than in its stage.
        steps.sort_by_key(|step| (snapshot.steps[*step].slot().map(|(_, number)| number), *step));
    }
    groups
}

fn pair(new: &Snapshot, new_steps: &[usize], old: &Snapshot, old_steps: &[usize], pairs: &mut HashMap<usize, usize>) {
    let same = |a: usize, b: usize| {
        let (a, b) = (&new.steps[new_steps[a]], &old.steps[old_steps[b]]);
        a.kind == b.kind && a.facts == b.facts && (a.kind != StepKind::File || a.name == b.name)
    };
    let (mut at_new, mut at_old) = (0, 0);
    let mut anchors = common(new_steps.len(), old_steps.len(), &same);
    anchors.push((new_steps.len(), old_steps.len()));
    for (next_new, next_old) in anchors {
        let (gap_new, gap_old) = (&new_steps[at_new..next_new], &old_steps[at_old..next_old]);
        edited(new, gap_new, old, gap_old, pairs);
        if let (Some(a), Some(b)) = (new_steps.get(next_new), old_steps.get(next_old)) {
            pairs.insert(*a, *b);
        }
        (at_new, at_old) = (next_new + 1, next_old + 1);
    }
}

/// The longest common subsequence, as pairs of places.
fn common(new: usize, old: usize, same: &dyn Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let shorter = new.min(old);
    let start = (0..shorter).take_while(|place| same(*place, *place)).count();
    let end = (0..shorter - start).take_while(|back| same(new - 1 - back, old - 1 - back)).count();
    let (rows, columns) = (new - start - end, old - start - end);
    let mut found: Vec<(usize, usize)> = (0..start).map(|place| (place, place)).collect();
    if rows * columns > LARGEST {
        found.extend((start..start + rows.min(columns)).filter(|at| same(*at, *at)).map(|at| (at, at)));
    } else if rows > 0 && columns > 0 {
        let width = columns + 1;
        let mut best = vec![0u32; (rows + 1) * width];
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                best[row * width + column] = match same(start + row, start + column) {
                    true => best[(row + 1) * width + column + 1] + 1,
                    false => best[(row + 1) * width + column].max(best[row * width + column + 1]),
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows && column < columns {
            if same(start + row, start + column) {
                found.push((start + row, start + column));
                (row, column) = (row + 1, column + 1);
            } else if best[(row + 1) * width + column] >= best[row * width + column + 1] {
                row += 1;
            } else {
                column += 1;
            }
        }
    }
    found.extend((0..end).rev().map(|back| (new - 1 - back, old - 1 - back)));
    found
}

/// Pairs what stands between two steps that are the same: in order, those of one kind that are most alike in sum.
fn edited(new: &Snapshot, gap: &[usize], old: &Snapshot, old_gap: &[usize], pairs: &mut HashMap<usize, usize>) {
    if gap.is_empty() || old_gap.is_empty() || gap.len() * old_gap.len() > LARGEST {
        return;
    }
    let gain = |row: usize, column: usize| {
        let (a, b) = (&new.steps[gap[row]], &old.steps[old_gap[column]]);
        is_kin(a, b).then(|| 1 + likeness(&a.name, &b.name) as u32)
    };
    let width = old_gap.len() + 1;
    let mut best = vec![0u32; (gap.len() + 1) * width];
    for row in (0..gap.len()).rev() {
        for column in (0..old_gap.len()).rev() {
            let (below, beside) = (best[(row + 1) * width + column], best[row * width + column + 1]);
            let both = gain(row, column).map_or(0, |gain| gain + best[(row + 1) * width + column + 1]);
            best[row * width + column] = both.max(below).max(beside);
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < gap.len() && column < old_gap.len() {
        let here = best[row * width + column];
        if gain(row, column).is_some_and(|gain| gain + best[(row + 1) * width + column + 1] == here) {
            pairs.insert(gap[row], old_gap[column]);
            (row, column) = (row + 1, column + 1);
        } else if best[(row + 1) * width + column] == here {
            row += 1;
        } else {
            column += 1;
        }
    }
}

fn is_kin(a: &StepFacts, b: &StepFacts) -> bool {
    a.keyword() == b.keyword() || (a.kind.is_source() && b.kind.is_source())
}

/// How many words two names have in common at their start and end.
fn likeness(a: &str, b: &str) -> usize {
    let common = |a: &mut dyn Iterator<Item = &str>, b: &mut dyn Iterator<Item = &str>| {
        a.zip(b).take_while(|(a, b)| a == b).count()
    };
    let start = common(&mut a.split_whitespace(), &mut b.split_whitespace());
    start + common(&mut a.split_whitespace().rev(), &mut b.split_whitespace().rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::explain::facts::{Fact, Facts};
    use crate::graph::explain::tests::step;

    /// Steps of stages: `build: RUN a, RUN b; COPY c` is two steps in `build` and one in the stage without a name.
    fn snapshot(text: &str) -> Snapshot {
        let mut steps = Vec::new();
        for stage in text.split("; ") {
            let (name, list) = stage.split_once(": ").map_or(("", stage), |(name, list)| (name, list));
            for (number, text) in list.split(", ").enumerate() {
                let fact = Fact { group: String::new(), name: "args".into(), value: text.into() };
                let stage = format!("{name} {}/9", number + 1).trim().to_owned();
                steps.push(StepFacts { stage, facts: Facts(vec![fact]), ..step(text) });
            }
        }
        Snapshot { steps, ..Snapshot::default() }
    }

    #[track_caller]
    fn check(old: &str, new: &str, expected: &str) {
        let (old, new) = (snapshot(old), snapshot(new));
        let all = |snapshot: &Snapshot| (0..snapshot.steps.len()).collect::<Vec<_>>();
        let pairs = align(&new, &all(&new), &old, &all(&old));
        let told = (0..new.steps.len()).map(|step| match pairs.get(&step) {
            Some(other) if old.steps[*other].name == new.steps[step].name => "=".to_owned(),
            Some(other) => format!("was {}", old.steps[*other].name),
            None => "new".to_owned(),
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), expected);
    }

    #[test]
    fn follows_edits() {
        check("RUN a, RUN b", "RUN a, RUN b", "=, =");
        check("RUN a, RUN b", "RUN a, RUN c", "=, was RUN b");
        check("RUN a, RUN b", "RUN x, RUN a, RUN b", "new, =, =");
        check("RUN a, RUN b, RUN c", "RUN a, RUN c", "=, =");
        check("RUN a, COPY b, RUN c", "RUN a, COPY x, RUN y", "=, was COPY b, was RUN c");
        check("RUN a, COPY b", "COPY b, RUN a", "new, =");
        check("RUN make -j2 all", "RUN set -e, RUN make -j4 all", "new, was RUN make -j2 all");
    }

    #[test]
    fn keeps_stages_apart() {
        check("one: RUN a; two: RUN a", "one: RUN b; two: RUN a", "was RUN a, =");
        check("one: RUN a; two: RUN b", "one: RUN a; three: RUN b", "=, =");
        check("RUN a", "one: RUN a", "=");
    }
}
