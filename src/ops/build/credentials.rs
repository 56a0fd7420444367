//! Which step is given whose secrets.
//!
//! Targets of one build may mean different things by one id, so each step gets those of the target that it was lowered
//! for. Two targets may share a step, since values are no part of it; then it runs once, with those of the first, just as
//! its cached result serves a later build that has other values.

use std::collections::BTreeSet;

use crate::event::{Event, Reporter};
use crate::graph::{Graph, MountKind, Op, StepId};
use crate::ops::build::lowering::Lowered;
use crate::ops::build::target::Target;
use crate::solve::Credentials;

/// What a step may ask for.
pub fn of_step<'a>(step: StepId, lowered: &[Lowered], targets: &'a [Target]) -> &'a Credentials {
    let next = lowered.partition_point(|target| target.first_step <= step.index());
    // The first target's steps begin at 0.
    &targets[next.saturating_sub(1)].credentials
}

/// Tells of each step that two targets share although they mean different secrets by the id that it uses.
pub fn warn_of_conflicts(graph: &Graph, lowered: &[Lowered], targets: &[Target], reporter: &dyn Reporter) {
    let mut told = BTreeSet::new();
    let with_secrets = |(target, _): &(&Target, &Lowered)| !target.credentials.secrets.is_empty();
    for (target, lowered_target) in targets.iter().zip(lowered).filter(with_secrets) {
        let wanted: Vec<StepId> = lowered_target.platforms.iter().map(|build| build.step).collect();
        for step in graph.needed(&wanted) {
            let Op::Exec(exec) = &graph[step].op else { continue };
            let given = of_step(step, lowered, targets);
            for mount in &exec.mounts {
                let MountKind::Secret(secret) = &mount.kind else { continue };
                let own = target.credentials.secrets.get(&secret.id);
                if own.is_some() && own != given.secrets.get(&secret.id) && told.insert((step, &secret.id)) {
                    reporter.report(Event::Warning(format!(
                        "{} is the same step in two targets, which have different values for the secret {:?}: it runs \
                         once, and not with the value of {:?}",
                        graph[step].label.text, secret.id, target.name
                    )));
                }
            }
        }
    }
}
