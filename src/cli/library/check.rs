//! `check`: a Dockerfile and what is known of its build become a target that is only looked at.

use std::path::Path;

use crate::cli::Session;
use crate::cli::args::values::{BuildArg, ContextSource, NamedContext};
use crate::cli::library::{build, running};
use crate::oci::Platform;
use crate::ops::build::{LockPlace, Target};
use crate::ops::error::Diagnostics;
use crate::ops::{self, Error, FixedFile};

/// What is to be checked. Secrets and tags make no difference.
#[derive(Debug, Clone)]
pub struct CheckRequest<'a> {
    /// The build context.
    pub context: ContextSource,
    /// The Dockerfile; that of the context if none.
    pub file: Option<&'a Path>,
    /// The stage that would be built.
    pub target: Option<&'a str>,
    /// `--build-arg`
    pub build_args: &'a [BuildArg],
    /// `--build-context`
    pub contexts: &'a [NamedContext],
    /// `--platform`
    pub platforms: &'a [Platform],
}

pub(super) fn check(request: &CheckRequest<'_>, session: &Session) -> Result<Diagnostics, Error> {
    let run = running::Run::open(session, None)?;
    let (target, lock) = target(request, session, &run)?;
    ops::check(&run.session(&crate::event::Silent)?, &target, &lock)
}

pub(super) fn fix(request: &CheckRequest<'_>, session: &Session, also_changes: bool) -> Result<FixedFile, Error> {
    let run = running::Run::open(session, None)?;
    let (target, lock) = target(request, session, &run)?;
    ops::fix(&run.session(&crate::event::Silent)?, &target, &lock, also_changes)
}

fn target(request: &CheckRequest<'_>, session: &Session, run: &running::Run) -> Result<(Target, LockPlace), Error> {
    let (context, dockerfile, lock) = build::definition(&request.context, request.file, run)?;
    let mut target = Target::new(dockerfile);
    target.context = context;
    if let ContextSource::Remote(url) = &request.context {
        target.remote_context = Some(url.clone());
    }
    target.stage = request.target.map(str::to_owned);
    target.args.extend(session.env.build_arguments(request.build_args)?);
    for context in request.contexts {
        let source = build::named_context(&context.name, &context.source, Path::new(""))?;
        target.contexts.insert(context.name.clone(), source);
    }
    target.platforms = request.platforms.to_vec();
    Ok((target, lock))
}
