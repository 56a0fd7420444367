//! Which step is next: pure bookkeeping, no threads, no files.
//!
//! Work is demanded from the targets downward. A step whose result is known is done and its inputs are never asked
//! for; any other waits for its inputs and is then ready to run. Each step is in exactly one [`Status`].

use crate::graph::{Graph, StepId};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody has asked for it.
    Idle,
    /// This many of its inputs are not done yet.
    Waiting(usize),
    /// Its inputs are done; it can run.
    Ready,
    /// It runs.
    Running,
    /// It is done.
    Done,
    /// It failed, or will never run because the build did.
    Failed,
}

/// The state of all steps of a graph.
pub struct Schedule {
    status: Vec<Status>,
    inputs: Vec<Vec<StepId>>,
    users: Vec<Vec<StepId>>,
    ready: std::collections::VecDeque<StepId>,
}

impl Schedule {
    /// All steps idle.
    pub fn new(graph: &Graph) -> Self {
        let mut inputs = vec![Vec::new(); graph.len()];
        let mut users = vec![Vec::new(); graph.len()];
        for (id, _) in graph.steps() {
            let mut of_step = graph.inputs(id);
            of_step.sort_unstable();
            of_step.dedup();
            for input in &of_step {
                users[input.index()].push(id);
            }
            inputs[id.index()] = of_step;
        }
        Self { status: vec![Status::Idle; graph.len()], inputs, users, ready: std::collections::VecDeque::new() }
    }

    /// Where a step stands.
    pub fn status(&self, id: StepId) -> Status {
        self.status[id.index()]
    }

    /// Asks for a step. `known` says whether a step's result is at hand; it is asked once for each step reached.
    pub fn demand<E>(&mut self, id: StepId, known: &mut impl FnMut(StepId) -> Result<bool, E>) -> Result<(), E> {
        // Not recursive: a chain of steps can be longer than a stack is deep.
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if self.status(id) != Status::Idle {
                continue;
            }
            if known(id)? {
                self.status[id.index()] = Status::Running;
                self.finish(id);
                continue;
            }
            self.status[id.index()] = Status::Waiting(usize::MAX);
            open.extend(self.inputs[id.index()].iter().rev());
            self.settle(id);
        }
        Ok(())
    }

    /// The next step to run, in the order in which they became ready. It counts as running from now on.
    pub fn start_next(&mut self) -> Option<StepId> {
        let id = self.ready.pop_front()?;
        self.status[id.index()] = Status::Running;
        Some(id)
    }

    /// Notes that a running step is done. Steps that waited only for it become ready.
    pub fn finish(&mut self, id: StepId) {
        debug_assert_eq!(self.status(id), Status::Running);
        self.status[id.index()] = Status::Done;
        for user in self.users[id.index()].clone() {
            if matches!(self.status(user), Status::Waiting(_)) {
                self.settle(user);
            }
        }
    }

    /// Notes that a running step failed: nothing that is not running will start any more.
    pub fn fail(&mut self, id: StepId) {
        self.status[id.index()] = Status::Failed;
        self.stop();
    }

    /// Gives up everything that is not running.
    pub fn stop(&mut self) {
        self.ready.clear();
        for status in &mut self.status {
            if matches!(status, Status::Waiting(_) | Status::Ready) {
                *status = Status::Failed;
            }
        }
    }

    fn settle(&mut self, id: StepId) {
        let inputs = &self.inputs[id.index()];
        let missing = inputs.iter().filter(|input| self.status(**input) != Status::Done).count();
        if missing == 0 {
            self.status[id.index()] = Status::Ready;
            self.ready.push_back(id);
        } else {
            self.status[id.index()] = Status::Waiting(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::graph::{ExecOp, Label, Op};

    /// a ─ b ─ d, a ─ c ─ d
    fn diamond() -> (Graph, [StepId; 4]) {
        let mut graph = Graph::new();
        let platform: crate::oci::Platform = "linux/amd64".parse().unwrap();
        let exec = |name: &str| Op::Exec(Box::new(ExecOp { args: vec![name.into()], ..ExecOp::default() }));
        let a = graph.add(Op::Scratch, &[], platform.clone(), Label::default(), false);
        let b = graph.add(exec("b"), &[a], platform.clone(), Label::default(), false);
        let c = graph.add(exec("c"), &[a], platform.clone(), Label::default(), false);
        let d = graph.add(Op::Merge, &[b, c], platform, Label::default(), false);
        (graph, [a, b, c, d])
    }

    fn demand(schedule: &mut Schedule, id: StepId, known: &[StepId]) {
        schedule.demand(id, &mut |id| Ok::<_, Infallible>(known.contains(&id))).unwrap();
    }

    #[test]
    fn runs_inputs_first_and_each_once() {
        let (graph, [a, b, c, d]) = diamond();
        let mut schedule = Schedule::new(&graph);
        demand(&mut schedule, d, &[]);
        let mut order = Vec::new();
        while let Some(id) = schedule.start_next() {
            order.push(id);
            schedule.finish(id);
        }
        assert_eq!(order, [a, b, c, d]);
    }

    #[test]
    fn what_is_known_hides_its_inputs() {
        let (graph, [a, b, c, d]) = diamond();
        let mut schedule = Schedule::new(&graph);
        demand(&mut schedule, d, &[b, c]);
        assert_eq!(schedule.status(a), Status::Idle);
        assert_eq!(schedule.start_next(), Some(d));
        demand(&mut schedule, d, &[]);
        assert_eq!(schedule.start_next(), None);
    }

    #[test]
    fn a_failure_stops_what_has_not_started() {
        let (graph, [a, b, c, d]) = diamond();
        let mut schedule = Schedule::new(&graph);
        demand(&mut schedule, d, &[a]);
        assert_eq!((schedule.start_next(), schedule.start_next()), (Some(b), Some(c)));
        schedule.fail(b);
        schedule.finish(c);
        assert_eq!(schedule.start_next(), None);
        assert_eq!(schedule.status(d), Status::Failed);
    }

    /// A graph of steps of which each uses some of those before it.
    fn graph_of(inputs: &[Vec<usize>]) -> (Graph, Vec<StepId>) {
        let mut graph = Graph::new();
        let mut ids: Vec<StepId> = Vec::new();
        for (number, inputs) in inputs.iter().enumerate() {
            let inputs: Vec<StepId> =
                inputs.iter().filter_map(|input| ids.get(input % (number + 1)).copied()).collect();
            let op = Op::Exec(Box::new(ExecOp { args: vec![number.to_string()], ..ExecOp::default() }));
            ids.push(graph.add(op, &inputs, "linux/amd64".parse().unwrap(), Label::default(), false));
        }
        (graph, ids)
    }

    proptest::proptest! {
        #[test]
        fn any_graph_in_any_order(
            inputs in proptest::collection::vec(proptest::collection::vec(0usize..40, 0..4), 1..40),
            targets in proptest::collection::vec(0usize..40, 1..4),
            known in proptest::collection::btree_set(0usize..40, 0..10),
            choices in proptest::collection::vec(0usize..8, 80),
            failing in proptest::option::of(0usize..40),
        ) {
            let (graph, ids) = graph_of(&inputs);
            let mut schedule = Schedule::new(&graph);
            let targets: Vec<StepId> = targets.iter().map(|target| ids[target % ids.len()]).collect();
            let mut asked = Vec::new();
            for target in &targets {
                let mut is_known = |id: StepId| {
                    asked.push(id);
                    Ok::<_, Infallible>(known.contains(&id.index()))
                };
                schedule.demand(*target, &mut is_known).unwrap();
            }
            // What is needed: the targets, and what a step needs whose result is not known.
            let mut needed: Vec<StepId> = Vec::new();
            let mut open = targets.clone();
            while let Some(id) = open.pop() {
                if !needed.contains(&id) {
                    needed.push(id);
                    if !known.contains(&id.index()) {
                        open.extend(graph.inputs(id));
                    }
                }
            }
            asked.sort_unstable();
            needed.sort_unstable();
            proptest::prop_assert_eq!(&asked, &needed, "each is asked for once");

            let mut running: Vec<StepId> = Vec::new();
            let mut started: Vec<StepId> = Vec::new();
            let mut failed = false;
            for choice in choices.iter().cycle() {
                // Start or end something, as the choice wants it and as it is possible.
                if choice % 2 == 0 && let Some(id) = schedule.start_next() {
                    proptest::prop_assert!(!failed, "nothing starts after a failure");
                    for input in graph.inputs(id) {
                        proptest::prop_assert_eq!(schedule.status(input), Status::Done);
                    }
                    running.push(id);
                    started.push(id);
                } else if !running.is_empty() {
                    let id = running.swap_remove(choice % running.len());
                    if failing == Some(id.index()) {
                        schedule.fail(id);
                        failed = true;
                    } else {
                        schedule.finish(id);
                    }
                } else if choice % 2 == 0 {
                    break;
                }
            }
            let work: Vec<StepId> = needed.iter().copied().filter(|id| !known.contains(&id.index())).collect();
            started.sort_unstable();
            if failed {
                proptest::prop_assert!(started.windows(2).all(|two| two[0] != two[1]), "each once");
                proptest::prop_assert!(started.iter().all(|id| work.contains(id)));
                let settled = |id: &StepId| matches!(schedule.status(*id), Status::Done | Status::Failed);
                proptest::prop_assert!(needed.iter().all(settled), "nothing waits for ever");
            } else {
                proptest::prop_assert_eq!(started, work);
                proptest::prop_assert!(needed.iter().all(|id| schedule.status(*id) == Status::Done));
            }
        }
    }
}
