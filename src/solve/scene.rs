//! What the process of a step sees, as data that outlives the build: for whoever wants to look around in it.
//!
//! The same inputs as those of a step that runs, but nothing runs, and nothing secret is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::digest::CacheKey;
use crate::fstree::select;
use crate::fstree::{NodeKind, TreePath, View};
use crate::graph::{Graph, Limits, MountKind, Op, Step, StepId};
use crate::solve::error::StepError;
use crate::solve::exec::ExecStep;
use crate::solve::file::{InputTree, StateTree, mountable};
use crate::solve::solver::Solver;
use crate::solve::{Environment, SolveError, State};
use crate::store::layers::Layers;
use crate::store::scenes::{Scene, SceneKind, SceneMount, SceneMountKind, SceneStep};

/// What a bind mount shows: a file or a folder of layers.
pub struct Bound {
    /// Bottom first.
    pub layers: State,
    /// Which file or folder of them; empty for all.
    pub source: String,
    /// Whether that is no folder.
    pub is_file: bool,
}

/// Runs what a process step needs, and says what its process would see; then, if `after` is wanted, the step itself, and
/// what it comes to.
pub fn scene(
    graph: &Graph,
    id: StepId,
    environment: &Environment<'_>,
    after: bool,
) -> Result<(Scene, Option<State>), SolveError> {
    let inputs = graph.inputs(id);
    let mut targets = inputs.clone();
    targets.extend(after.then_some(id));
    targets.sort_unstable();
    targets.dedup();
    let (solver, needed, keys) = Solver::start(graph, &targets, environment)?;
    let solved = keys.and_then(|keys| {
        environment.observer.keyed(&needed, &keys);
        let solved = solver.run(&keys, &needed, &targets)?;
        Ok((solved, keys))
    });
    solver.contexts.save();
    let (solved, keys) = solved?;
    let step = &graph[id];
    let failed = |error| SolveError { step: Some(id), error };
    let Op::Exec(op) = &step.op else { return Err(failed(StepError::message("it runs no process"))) };
    let states: Vec<State> = inputs.iter().map(|input| solved.state(*input).to_vec()).collect();
    let trees = solver.trees(id, &states).map_err(failed)?;
    let root = root(&environment.layers, &trees).map_err(failed)?;
    let exec =
        ExecStep { number: id.index(), op, platform: &step.platform, times: step.times, root: &root, inputs: &trees };
    let mut scene = exec.scene(&environment.layers).map_err(failed)?;
    scene.step = step_of(step, after.then(|| keys.key(id)));
    Ok((scene, after.then(|| solved.state(id).to_vec())))
}

/// How a scene names the step that it belongs to.
pub fn step_of(step: &Step, key: Option<CacheKey>) -> SceneStep {
    SceneStep {
        name: step.label.text.clone(),
        stage: step.label.stage.clone(),
        origin: step.label.origin.as_ref().map(|origin| (origin.file.clone(), origin.line)),
        key,
        outcome: String::new(),
    }
}

/// The root file system of a step with these inputs.
pub(super) fn root(layers: &Arc<Layers>, inputs: &BTreeMap<usize, InputTree>) -> Result<Arc<StateTree>, StepError> {
    match inputs.get(&0) {
        Some(InputTree::State(state)) => Ok(state.clone()),
        _ => Ok(Arc::new(StateTree::new(layers, &[])?)),
    }
}

impl ExecStep<'_> {
    /// What its process sees, but for secrets. Files of contexts become layers that stay in the store.
    pub(super) fn scene(&self, layers: &Arc<Layers>) -> Result<Scene, StepError> {
        let mut mounts = Vec::new();
        for mount in &self.op.mounts {
            let kind = match &mount.kind {
                MountKind::Bind { input, source, writable } => {
                    let Bound { layers: state, source, is_file } = self.bound(layers, *input, source)?;
                    layers.folders(&state)?;
                    SceneMountKind::Bind { layers: state, source, is_file, writable: *writable }
                }
                MountKind::Cache { id, readonly, .. } => SceneMountKind::Cache { id: id.clone(), readonly: *readonly },
                MountKind::Tmpfs { size } => SceneMountKind::Tmpfs { size: *size },
                MountKind::File { data, mode } => {
                    SceneMountKind::File { text: String::from_utf8_lossy(data).into_owned(), mode: *mode }
                }
                MountKind::Secret(secret) => SceneMountKind::Secret {
                    id: secret.id.clone(),
                    file: secret.file,
                    env: secret.env.clone(),
                    mode: secret.mode,
                    uid: secret.uid,
                    gid: secret.gid,
                },
                MountKind::Ssh(agent) => SceneMountKind::Ssh { id: agent.id.clone() },
            };
            mounts.push(SceneMount { target: mount.target.clone(), kind });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Scene {
            kind: SceneKind::Failure,
            step: SceneStep::default(),
            made: now.as_millis().try_into().unwrap_or(u64::MAX),
            layers: self.root.layers.clone(),
            args: self.op.args.clone(),
            env: self.op.env.clone(),
            cwd: self.op.cwd.clone(),
            user: self.op.user.clone(),
            hostname: self.op.hostname.clone(),
            hosts: self.op.extra_hosts.clone(),
            network: self.op.network,
            privileged: self.op.insecure,
            limits: Limits { time: None, ..self.op.limits.clone() },
            mounts,
        })
    }

    /// What a bind mount of an input shows.
    pub(super) fn bound(&self, layers: &Arc<Layers>, input: usize, source: &str) -> Result<Bound, StepError> {
        let tree = self.inputs.get(&input).ok_or_else(|| StepError::message("an input of the step is missing"))?;
        match tree {
            InputTree::State(state) => {
                let path = crate::fstree::resolve::follow(&TreePath::clean(source), |path| state.view.lookup(path))
                    .map_err(|error| StepError::other(&error))?;
                let node = state.view.lookup(&path).map_err(|error| StepError::other(&error))?;
                let Some(node) = node else {
                    return Err(StepError::message(format!("the source {source:?} of the mount does not exist")));
                };
                Ok(Bound {
                    layers: state.layers.clone(),
                    source: String::from_utf8_lossy(path.as_bytes()).into_owned(),
                    is_file: node.kind != NodeKind::Dir,
                })
            }
            InputTree::Context(_) => {
                let matches = select::select_hashed(
                    tree.view(),
                    select::Source { path: source, wildcard: false, parents: false, exclude: &[] },
                )?;
                let found = matches.first().ok_or_else(|| StepError::message("the source of the mount is empty"))?;
                let layer = mountable(layers, tree, found, self.times.epoch)?;
                let is_file = found.files.first().is_some_and(|file| file.node.kind != NodeKind::Dir);
                let source = if is_file { "file".into() } else { String::new() };
                Ok(Bound { layers: vec![layer], source, is_file })
            }
        }
    }
}
