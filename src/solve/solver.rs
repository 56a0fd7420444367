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

    pub(super) fn run(
        &self,
        keys: &DefinitionKeys,
        needed: &[StepId],
        targets: &[StepId],
    ) -> Result<Solved, SolveError> {
        let mut schedule = Schedule::new(self.graph);
        let mut solved = Solved::default();
        let mut outcomes: HashMap<StepId, Outcome> = HashMap::new();
        for target in targets {
            schedule
                .demand(*target, &mut |id| Ok::<_, SolveError>(self.known(keys, id, &mut solved, &mut outcomes)))?;
        }
        let mut failure: Option<SolveError> = None;
        let (sender, receiver) = mpsc::channel::<Ended>();
        std::thread::scope(|scope| {
            let mut running = 0;
            loop {
                if self.environment.cancel.is_canceled() {
                    schedule.stop();
                }
                while running < self.environment.jobs.max(1) {
                    let Some(id) = schedule.start_next() else { break };
                    let inputs: Vec<State> =
                        self.graph.inputs(id).iter().map(|input| solved.state(*input).to_vec()).collect();
                    // These only put layers together: there is nothing to run, and nothing to tell.
                    let joined = match &self.graph[id].op {
                        Op::Merge => Some(Ok(inputs.concat())),
                        Op::Diff => Some(diff(&inputs)),
                        _ => None,
                    };
                    match joined {
                        Some(Ok(state)) => {
                            solved.states.insert(id, state);
                            schedule.finish(id);
                            continue;
                        }
                        Some(Err(error)) => {
                            schedule.fail(id);
                            failure.get_or_insert(SolveError { step: Some(id), error });
                            continue;
                        }
                        None => running += 1,
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
                    if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                        running -= 1;
                        schedule.fail(id);
                        failure = Some(SolveError {
                            step: Some(id),
                            error: StepError::Other(format!("no thread can be started for it: {error}")),
                        });
                    }
                }
                if running == 0 {
                    break;
                }
                let Ok(ended) = receiver.recv() else { break };
                running -= 1;
                let id = ended.step;
                let outcome = match ended.result {
                    Ok((state, executed)) => {
                        solved.states.insert(id, state);
                        schedule.finish(id);
                        if executed { Outcome::Done } else { Outcome::Cached }
                    }
                    Err(error) => {
                        schedule.fail(id);
                        // Whatever is stopped in the middle fails in some way.
                        let canceled = self.environment.cancel.is_canceled();
                        // Whoever asked a cache elsewhere tries again without it.
                        let again = self.environment.layers.broken_claim().is_some();
                        let error = if canceled { StepError::Canceled } else { error };
                        let failed = || Outcome::Failed(error.to_string());
                        let outcome = if canceled || again { Outcome::Canceled } else { failed() };
                        if failure.is_none() {
                            failure = Some(SolveError { step: Some(id), error });
                            // What runs beside it would be thrown away.
                            if !again {
                                self.environment.cancel.cancel();
                            }
                        }
                        outcome
                    }
                };
                self.environment.reporter.report(Event::Finished(id.index(), outcome.clone(), ended.elapsed));
                outcomes.insert(id, outcome);
            }
        });
        self.conclude(needed, failure.is_some(), &mut outcomes, &mut solved);
        match failure {
            Some(failure) => Err(failure),
            None if self.environment.cancel.is_canceled() => Err(StepError::Canceled.into()),
            None => Ok(solved),
        }
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
