//! Stages that wait for each other: whether there are any, and how people are told.

use super::plan::Plan;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::Span;

/// The complaint about stages that wait for each other, with the place at which each asks for the next.
pub(super) fn cycle_error(plan: &Plan<'_>, cycle: &[(usize, Span)]) -> Diagnostic {
    let name = |index: usize| plan.nodes[index].name.as_str();
    let Some((first, place)) = cycle.first() else { return Diagnostic::error(0..0, "stages need each other") };
    if let [_] = cycle {
        return Diagnostic::error(place.clone(), format!("stage `{}` needs itself", name(*first)))
            .note(plan.nodes[*first].stage.head.span.clone(), "it starts here")
            .help("a stage can only use files of stages above it");
    }
    let next = |at: usize| cycle[(at + 1) % cycle.len()].0;
    let names: Vec<String> =
        cycle.iter().map(|(stage, _)| *stage).chain([*first]).map(|stage| format!("`{}`", name(stage))).collect();
    let error = Diagnostic::error(place.clone(), format!("stages need each other: {}", names.join(" → ")))
        .label(format!("`{}` needs `{}`", name(*first), name(next(0))));
    let others = cycle.iter().enumerate().skip(1);
    let error = others.fold(error, |error, (at, (stage, place))| {
        error.note(place.clone(), format!("`{}` needs `{}`", name(*stage), name(next(at))))
    });
    error.help("a stage can only use files of stages above it: move what both need to a stage of its own")
}

/// Stages each of which needs the next, and the last one the first, with the place at which it says so.
pub(super) fn find_cycle(edges: &[Vec<(usize, Span)>]) -> Option<Vec<(usize, Span)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
        // Each stage on the way and how many of its edges were followed; no recursion, as files can have many stages.
        let mut way = vec![(start, 0)];
        while let Some((stage, followed)) = way.last_mut() {
            let stage = *stage;
            if marks[stage] == Mark::Done {
                way.pop();
                continue;
            }
            marks[stage] = Mark::Open;
            match edges[stage].get(*followed) {
                None => {
                    marks[stage] = Mark::Done;
                    way.pop();
                }
                Some((next, _)) => {
                    *followed += 1;
                    match marks[*next] {
                        Mark::Open => {
                            let from = way.iter().position(|(stage, _)| stage == next).unwrap_or(0);
                            let asked =
                                |&(stage, followed): &(usize, usize)| (stage, edges[stage][followed - 1].1.clone());
                            return Some(way[from..].iter().map(asked).collect());
                        }
                        Mark::New => way.push((*next, 0)),
                        Mark::Done => {}
                    }
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_circles() {
        let check = |edges: &[&[usize]], expected: &[usize]| {
            let edges: Vec<Vec<(usize, Span)>> =
                edges.iter().map(|to| to.iter().map(|&to| (to, 0..0)).collect()).collect();
            let found = find_cycle(&edges).unwrap_or_default();
            assert_eq!(found.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), expected);
        };
        check(&[&[], &[0], &[0, 1]], &[]);
        check(&[&[0]], &[0]);
        check(&[&[1], &[2], &[0]], &[0, 1, 2]);
        check(&[&[1], &[2], &[1]], &[1, 2]);
        check(&[&[1, 2], &[2], &[]], &[]);
    }
}
