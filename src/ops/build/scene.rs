//! The state of a target at a place in its definition, as something that people can look around in.

use crate::event::Silent;
use crate::graph::Limits;
use crate::ops::Error;
use crate::ops::build::lowering::LoweredPlatform;
use crate::ops::build::solving::solving_for;
use crate::ops::build::target::{LockMode, Target};
use crate::ops::build::{LockPlace, Prepared, Session, prepare};
use crate::ops::debug::{Keeper, Standing};
use crate::solve::{self, SolveError, State};
use crate::store::scenes::{Scene, SceneKind, SceneStep};

/// The host name where no process says one.
const HOSTNAME: &str = "debug";

/// Builds what there is to build up to the line at which `targets[which]` stops, and says what a process sees there. What
/// is on the line counts as well, unless the target stops before it.
///
/// A `RUN` that fails, now or before, is no error: what it left is where people want to be. The lockfile is not written.
pub fn scene(
    session: &Session<'_>,
    targets: &[Target],
    which: usize,
    place: &LockPlace,
    mode: LockMode,
) -> Result<Standing, Error> {
    let line = targets.get(which).and_then(|target| target.until.clone());
    let before = line.as_ref().is_some_and(|line| line.before);
    let whole = with_line(targets, which, false);
    let prepared = prepare(session, &whole, place, mode)?;
    let (build, lowered) = only(&prepared, which)?;
    let Some(stop) = lowered.stop.clone() else { return Err(Error::build("nothing says where to stop")) };
    let here = match line.and_then(|line| Some((line.file?, line.line))) {
        Some(known) => known,
        None => (lowered.warnings.name.clone(), stop.line),
    };
    let parts = (&prepared.graph, &prepared.lowered[..], &prepared.layers);
    let mut standing = if stop.is_run {
        let id = build.step;
        if !before && let Some(failed) = failed_before(session, mode, &prepared, &whole, build)? {
            return Ok(failed);
        }
        let inputs = prepared.graph.inputs(id);
        let wanted = if before { inputs } else { vec![id] };
        let nothing = std::collections::BTreeSet::new();
        let keeper = Keeper { store: &session.store };
        let seen = solving_for(session, mode, parts, &whole, (&keeper, &()), (&wanted, &nothing), |_, environment| {
            solve::scene(&prepared.graph, id, environment, !before)
        });
        match seen {
            Ok((scene, after)) => {
                let layers = after.unwrap_or_else(|| scene.layers.clone());
                Standing { scene: Scene { layers, ..scene }, failure: None, before }
            }
            Err(Error::StepFailed(failure)) => {
                let kept = failure.kept.as_ref().and_then(|id| Standing::failed(&session.store, Some(id)).ok());
                match kept.filter(|kept| kept.scene.step.origin == origin(&prepared, id)) {
                    Some(failed) => failed,
                    None => return Err(Error::StepFailed(failure)),
                }
            }
            Err(error) => return Err(error),
        }
    } else if before {
        let earlier = prepare(session, &with_line(targets, which, true), place, mode)?;
        let (build, _) = only(&earlier, which)?;
        of_config(session, mode, &earlier, &whole, which, build, before)?
    } else {
        of_config(session, mode, &prepared, &whole, which, build, before)?
    };
    if standing.failure.is_none() {
        let step = &mut standing.scene.step;
        // Not every instruction is a step.
        if !stop.is_run {
            *step = SceneStep { name: stop.text, origin: Some(here), ..SceneStep::default() };
        }
    }
    Ok(standing)
}

fn with_line(targets: &[Target], which: usize, before: bool) -> Vec<Target> {
    let mut targets = targets.to_vec();
    if let Some(line) = targets.get_mut(which).and_then(|target| target.until.as_mut()) {
        line.before = before;
    }
    targets
}

/// The target's first platform.
fn only(prepared: &Prepared, which: usize) -> Result<(&LoweredPlatform, &super::lowering::Lowered), Error> {
    let lowered = prepared.lowered.get(which);
    let found = lowered.and_then(|lowered| Some((lowered.platforms.first()?, lowered)));
    found.ok_or_else(|| Error::build("there is no such target"))
}

fn origin(prepared: &Prepared, id: crate::graph::StepId) -> Option<(String, u32)> {
    solve::step_of(&prepared.graph[id], None).origin
}

/// What the step left when it failed last, if it has not come to anything since.
fn failed_before(
    session: &Session<'_>,
    mode: LockMode,
    prepared: &Prepared,
    targets: &[Target],
    build: &LoweredPlatform,
) -> Result<Option<Standing>, Error> {
    let Ok(last) = Standing::failed(&session.store, None) else { return Ok(None) };
    let parts = (&prepared.graph, &prepared.lowered[..], &prepared.layers);
    let nothing = std::collections::BTreeSet::new();
    let quiet = session.reporting_to(&Silent);
    let look = |steps: &[_], environment: &solve::Environment<'_>| -> Result<_, SolveError> {
        solve::plan(&prepared.graph, steps, environment)
    };
    let foreseen = solving_for(&quiet, mode, parts, targets, (&(), &()), (&[build.step], &nothing), look)?;
    let is_cached = foreseen.fates.get(&build.step) == Some(&solve::Fate::Cached);
    let is_it = last.scene.step.key == Some(foreseen.keys.key(build.step));
    Ok(Some(last).filter(|_| is_it && !is_cached))
}

/// The state after an instruction that is no process, with what the image would say of itself there.
fn of_config(
    session: &Session<'_>,
    mode: LockMode,
    prepared: &Prepared,
    targets: &[Target],
    which: usize,
    build: &LoweredPlatform,
    before: bool,
) -> Result<Standing, Error> {
    let parts = (&prepared.graph, &prepared.lowered[..], &prepared.layers);
    let nothing = std::collections::BTreeSet::new();
    let keeper = Keeper { store: &session.store };
    let layers =
        solving_for(session, mode, parts, targets, (&keeper, &()), (&[build.step], &nothing), |steps, environment| {
            let solved = solve::solve(&prepared.graph, steps, environment)?;
            let state: State = solved.state(build.step).to_vec();
            // It must be there when everything that made it is gone.
            environment.layers.folders(&state).map_err(solve::StepError::from)?;
            Ok(state)
        })?;
    let config = &build.config.config;
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let target = &targets[which];
    let mut scene = Scene::bare(SceneKind::Visit, layers);
    scene.env = config.env.iter().map(pair).collect();
    if !config.working_dir.is_empty() {
        scene.cwd.clone_from(&config.working_dir);
    }
    scene.user.clone_from(&config.user);
    scene.hosts.clone_from(&target.hosts);
    scene.hostname = HOSTNAME.into();
    scene.network = target.network;
    scene.limits = Limits { time: None, ..target.limits.clone() };
    Ok(Standing { scene, failure: None, before })
}
