//! The loop: it owns the schedule, starts a thread for each step that runs, and hears what came of it.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::event::{Event, Outcome, Reporter, StepInfo};
use crate::graph::{Graph, Op, StepId};
use crate::solve::contexts::Contexts;
use crate::solve::keys::{DefinitionKeys, KeyError};
use crate::solve::schedule::Schedule;
use crate::solve::{Environment, SolveError, Solved, State, StepError, diff, is_work};

/// A graph, and all that it is run with.
pub(super) struct Solver<'a, 'e> {
    pub(super) graph: &'a Graph,
    pub(super) environment: &'a Environment<'e>,
    pub(super) contexts: Contexts,
    /// What was recorded of targets, if there are many: they were looked up side by side.
    pub(super) ahead: HashMap<StepId, Option<State>>,
}

/// What a running step reports when it ends.
struct Ended {
    step: StepId,
    result: Result<(State, bool), StepError>,
    elapsed: Duration,
}

/// How far all steps have come.
struct Course {
    schedule: Schedule,
    solved: Solved,
    outcomes: HashMap<StepId, Outcome>,
    /// The step that failed first.
    failure: Option<SolveError>,
}

impl Course {
    fn new(graph: &Graph) -> Self {
        let (solved, outcomes) = (Solved::default(), HashMap::new());
        Self { schedule: Schedule::new(graph), solved, outcomes, failure: None }
    }

    fn done(&mut self, id: StepId, state: State) {
        self.solved.states.insert(id, state);
        self.schedule.finish(id);
    }

    /// Says whether it is the first that fails.
    fn failed(&mut self, id: StepId, error: StepError) -> bool {
        self.schedule.fail(id);
        let first = self.failure.is_none();
        self.failure.get_or_insert(SolveError { step: Some(id), error });
        first
    }
}

impl<'a, 'e> Solver<'a, 'e> {
    /// Opens contexts, tells of the steps, and computes keys. The keys may fail on their own, when there is something to tell about already.
    #[expect(clippy::type_complexity, reason = "three things that are made together, for two callers")]
    pub(super) fn start(
        graph: &'a Graph,
        targets: &[StepId],
        environment: &'a Environment<'e>,
    ) -> Result<(Self, Vec<StepId>, Result<Arc<DefinitionKeys>, SolveError>), SolveError> {
        let needed = graph.needed(targets);
        // All of them: what is known of a step can have layers of an image that no step asks for any more.
        let images: BTreeMap<_, _> = environment.images.iter().collect();
        for layers in images.into_values() {
            environment.layers.add_image(layers);
        }
        let contexts = Contexts::open(graph, &needed, environment)?;
        announce(graph, &needed, environment.reporter);
        let keys = DefinitionKeys::compute(graph, &needed, |step| contexts.view(step));
        let mut solver = Self { graph, environment, contexts, ahead: HashMap::new() };
        let keys =
            keys.map(Arc::new).map_err(|KeyError { step, input, error }| match environment.cancel.is_canceled() {
                true => StepError::Canceled.into(),
                false => SolveError { step: Some(step), error: solver.explain(step, input, error) },
            });
        if let Ok(keys) = &keys {
            solver.ahead = solver.look_ahead(keys, targets);
        }
        Ok((solver, needed, keys))
    }

    /// Runs what is missing of the targets.
    pub(super) fn run(
        &self,
        keys: &DefinitionKeys,
        needed: &[StepId],
        targets: &[StepId],
    ) -> Result<Solved, SolveError> {
        let mut course = Course::new(self.graph);
        let Course { schedule, solved, outcomes, .. } = &mut course;
        for target in targets {
            schedule.demand(*target, &mut |id| Ok::<_, SolveError>(self.known(keys, id, solved, outcomes)))?;
        }
        let (sender, receiver) = mpsc::channel::<Ended>();
        std::thread::scope(|scope| {
            let mut running = 0;
            loop {
                if self.environment.cancel.is_canceled() {
                    course.schedule.stop();
                }
                while running < self.environment.jobs.max(1) {
                    let Some(id) = course.schedule.start_next() else { break };
                    let inputs: Vec<State> =
                        self.graph.inputs(id).iter().map(|input| course.solved.state(*input).to_vec()).collect();
                    if let Some(joined) = joined(&self.graph[id].op, &inputs) {
                        match joined {
                            Ok(state) => course.done(id, state),
                            Err(error) => drop(course.failed(id, error)),
                        }
                        continue;
                    }
                    let sender = sender.clone();
                    let work = move || {
                        let started = Instant::now();
                        // Without an answer the loop would wait for ever.
                        let result =
                            catch_unwind(AssertUnwindSafe(|| self.step(keys, id, &inputs))).unwrap_or_else(|_| {
                                Err(StepError::message("a thread panicked; this is a bug in imgbuild"))
                            });
                        let _ = sender.send(Ended { step: id, result, elapsed: started.elapsed() });
                    };
                    match std::thread::Builder::new().spawn_scoped(scope, work) {
                        Ok(_) => running += 1,
                        Err(error) => {
                            let error = StepError::Other(format!("no thread can be started for it: {error}"));
                            course.failed(id, error);
                        }
                    }
                }
                if running == 0 {
                    break;
                }
                let Ok(ended) = receiver.recv() else { break };
                running -= 1;
                self.ended(ended, &mut course);
            }
        });
        let Course { mut solved, mut outcomes, failure, .. } = course;
        self.conclude(needed, failure.is_some(), &mut outcomes, &mut solved);
        match failure {
            Some(failure) => Err(failure),
            None if self.environment.cancel.is_canceled() => Err(StepError::Canceled.into()),
            None => Ok(solved),
        }
    }

    /// Takes note of a step that ended, and tells of it. The first that fails stops all others.
    fn ended(&self, ended: Ended, course: &mut Course) {
        let id = ended.step;
        let outcome = match ended.result {
            Ok((state, executed)) => {
                course.done(id, state);
                if executed { Outcome::Done } else { Outcome::Cached }
            }
            Err(error) => {
                // Whatever is stopped in the middle fails in some way.
                let canceled = self.environment.cancel.is_canceled();
                // Whoever asked a cache elsewhere tries again without it.
                let again = self.environment.layers.broken_claim().is_some();
                let error = if canceled { StepError::Canceled } else { error };
                let said = error.to_string();
                // What runs beside the first one would be thrown away.
                if course.failed(id, error) && !again {
                    self.environment.cancel.cancel();
                }
                if canceled || again { Outcome::Canceled } else { Outcome::Failed(said) }
            }
        };
        self.environment.reporter.report(Event::Finished(id.index(), outcome.clone(), ended.elapsed));
        course.outcomes.insert(id, outcome);
    }

    /// Tells what became of the steps that never had to run, and counts.
    fn conclude(&self, needed: &[StepId], failed: bool, outcomes: &mut HashMap<StepId, Outcome>, solved: &mut Solved) {
        for id in needed.iter().filter(|id| is_work(&self.graph[**id].op)) {
            let outcome = outcomes.entry(*id).or_insert_with(|| {
                let outcome = if failed { Outcome::Canceled } else { Outcome::Cached };
                self.environment.reporter.report(Event::Finished(id.index(), outcome.clone(), Duration::ZERO));
                outcome
            });
            match outcome {
                Outcome::Done => solved.executed += 1,
                Outcome::Cached => solved.cached += 1,
                Outcome::Failed(_) | Outcome::Canceled => {}
            }
        }
    }
}

/// What a step comes to that only puts layers together: there is nothing to run, and nothing to tell.
fn joined(op: &Op, inputs: &[State]) -> Option<Result<State, StepError>> {
    match op {
        Op::Merge => Some(Ok(inputs.concat())),
        Op::Diff => Some(diff(inputs)),
        _ => None,
    }
}

/// Tells of the steps that people want to see counted.
fn announce(graph: &Graph, needed: &[StepId], reporter: &dyn Reporter) {
    let steps = needed.iter().filter(|id| is_work(&graph[**id].op));
    let infos = steps.map(|id| {
        let step = &graph[*id];
        StepInfo {
            step: id.index(),
            name: step.label.text.clone(),
            stage: step.label.stage.clone(),
            inputs: graph.inputs(*id).into_iter().map(StepId::index).collect(),
            origin: step.label.origin.as_ref().map(|origin| (origin.file.clone(), origin.line)),
        }
    });
    reporter.report(Event::Planned(infos.collect()));
}
