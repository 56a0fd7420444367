//! What images are built on, and who they run as.

use super::{Linter, Shape, ShapeBase};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{CommandLine, Dockerfile, Instruction, Kind};
use crate::frontend::dockerfile::lint::rule;

/// `FloatingTag` and `UnpinnedBase`.
pub(super) fn bases(file: &Dockerfile, shape: &Shape, is_pinned: &dyn Fn(&str) -> bool, linter: &mut Linter) {
    for (stage, base) in file.stages.iter().zip(&shape.bases) {
        let ShapeBase::Image(reference) = base else { continue };
        if reference.contains('@') {
            continue;
        }
        let comments = &stage.head.comments;
        let tag = reference.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
        if matches!(tag, None | Some("latest")) {
            let message = match tag {
                None => format!("`{reference}` has no tag, which means `latest`"),
                Some(_) => format!("`{reference}` is whatever is newest when it is looked up"),
            };
            let finding = Diagnostic::advice(rule::FloatingTag, stage.base.span.clone(), message)
                .help("name a version: `image:1.2`");
            linter.report(comments, finding);
        } else if !is_pinned(reference) {
            let message = format!("nothing pins `{reference}` to one image");
            let finding = Diagnostic::advice(rule::UnpinnedBase, stage.base.span.clone(), message)
                .help("build once and commit the lockfile, or name a digest: `image:tag@sha256:…`");
            linter.report(comments, finding);
        }
    }
}

/// `RunsAsRoot`.
pub(super) fn user(file: &Dockerfile, shape: &Shape, linter: &mut Linter) {
    let stages: Vec<_> =
        shape.shipped().into_iter().filter_map(|index| Some((index, file.stages.get(index)?))).collect();
    let Some(((lowest, _), (_, target))) = stages.first().zip(stages.last()) else { return };
    let harmless = match shape.bases.get(*lowest) {
        Some(ShapeBase::Image(name)) => {
            let drops = ["nonroot", "rootless", "unprivileged"];
            drops.iter().any(|word| name.contains(word))
        }
        Some(ShapeBase::Scratch | ShapeBase::Elsewhere) | None => true,
        Some(ShapeBase::Stage(_)) => false,
    };
    let instructions: Vec<&Instruction> = stages.iter().flat_map(|(_, stage)| &stage.instructions).collect();
    let starts =
        instructions.iter().rev().find(|instruction| matches!(instruction.kind, Kind::Cmd(_) | Kind::Entrypoint(_)));
    let drops_rights = instructions.iter().any(|instruction| {
        ["gosu", "su-exec", "setpriv", "chpst"].iter().any(|program| instruction.head.text.contains(program))
    });
    let has_user = instructions.iter().rev().find_map(|instruction| match &instruction.kind {
        Kind::User(user) => Some(user),
        _ => None,
    });
    let Some(starts) = starts else { return };
    // A shell is for people to look around, not a service.
    let interactive = match &starts.kind {
        Kind::Cmd(CommandLine::Exec(words)) => matches!(&words[..], [shell] if super::is_shell(shell)),
        _ => false,
    };
    if harmless || drops_rights || interactive {
        return;
    }
    let is_root = |user: &str| matches!(user.split(':').next(), Some("" | "0" | "root"));
    let finding = match has_user {
        Some(user) if !user.value.contains('$') && is_root(&user.value) => {
            Diagnostic::advice(rule::RunsAsRoot, user.span.clone(), "the image runs as root")
        }
        None if is_root(&shape.user) => {
            let span = starts.head.span.clone();
            let message = "the image runs as root: no `USER` stands before this";
            Diagnostic::advice(rule::RunsAsRoot, span, message)
        }
        _ => return,
    };
    let comments = if has_user.is_some() { &target.head.comments } else { &starts.head.comments };
    linter.report(comments, finding.help("add `USER name` behind the last step that needs to be root"));
}
