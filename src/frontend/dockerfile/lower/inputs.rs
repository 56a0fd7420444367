//! Steps that bring something in: images, contexts, files from URLs, repositories. What has not been looked up is a
//! [`Need`], and no step yet.

use super::need::{Need, ResolvedImage};
use super::options::ContextSource;
use super::stage::Current;
use super::{Lowering, reference, remote};
use crate::digest::Digest;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::Span;
use crate::graph::{
    CopyAction, CopySource, FileAction, FileOp, GitOp, HttpOp, ImageOp, Label, LocalOp, Op, StepId, Unpack,
};
use crate::oci::{ImageConfig, Platform};

impl<'a> Lowering<'a> {
    /// The named context that takes the place of a stage or an image of this name.
    pub(super) fn named_context(&self, name: &str) -> Option<&'a ContextSource> {
        let reserved = name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context");
        if reserved || self.options.contexts.is_empty() {
            return None;
        }
        let wanted = reference::familiar(name).ok()?;
        let known = |key: &str| reference::familiar(key).unwrap_or_else(|_| key.to_owned());
        self.options.contexts.iter().find(|(key, _)| known(key) == wanted).map(|(_, source)| source)
    }

    /// An image, if it has been looked up.
    pub(super) fn image(&mut self, reference: &str, platform: &Platform, span: &Span) -> Option<&'a ResolvedImage> {
        let found = self.resolved.images.get(&(reference.to_owned(), platform.clone()));
        if found.is_none() {
            let (reference, platform) = (reference.to_owned(), platform.clone());
            self.need(Need::Image { reference, platform, span: span.clone() });
        }
        found
    }

    /// The step of an image's file system.
    pub(super) fn image_step(&mut self, image: &ResolvedImage, platform: &Platform, mut label: Label) -> StepId {
        if image.config.rootfs.diff_ids.is_empty() {
            return self.scratch(platform);
        }
        label.text = format!("FROM {}", image.reference);
        let layers = image.config.rootfs.diff_ids.clone();
        let op = Op::Image(ImageOp { reference: image.reference.clone(), layers });
        self.graph.add(op, &[], platform.clone(), label, false)
    }

    pub(super) fn scratch(&mut self, platform: &Platform) -> StepId {
        self.graph.add(Op::Scratch, &[], platform.clone(), self.label("FROM scratch", None), false)
    }

    /// The step and the configuration of a context; none for either that is not there (yet).
    pub(super) fn context(
        &mut self,
        name: &str,
        source: &'a ContextSource,
        platform: &Platform,
        span: &Span,
    ) -> Result<(Option<StepId>, Option<ImageConfig>), Diagnostic> {
        let label = self.label(format!("load context {name}"), None);
        Ok(match source {
            ContextSource::Local { name, ignore } => {
                let op = Op::Local(LocalOp { name: name.clone(), ignore: ignore.patterns().to_vec() });
                (Some(self.graph.add(op, &[], platform.clone(), label, false)), None)
            }
            ContextSource::State { step, config } => (Some(*step), Some((**config).clone())),
            ContextSource::Image(reference) if reference == "scratch" => (Some(self.scratch(platform)), None),
            ContextSource::Image(reference) => {
                reference::check(reference).map_err(|reason| {
                    Diagnostic::error(span.clone(), format!("`{reference}` is no image: {reason}"))
                })?;
                match self.image(reference, platform, span) {
                    Some(image) => (Some(self.image_step(image, platform, label)), Some(image.config.clone())),
                    None => (None, None),
                }
            }
            ContextSource::Git(reference) => {
                let git = remote::parse_git(reference)
                    .and_then(Result::ok)
                    .ok_or_else(|| Diagnostic::error(span.clone(), format!("`{reference}` is no git reference")))?;
                (self.git_step(&git, git.keep_git_dir.unwrap_or(false), platform, label, span)?, None)
            }
            ContextSource::Http(url) => {
                let file = self.http_step(url, "context", None, platform, label.clone(), span)?;
                (file.map(|file| self.all_of(file, "context", Unpack::Archives, platform, label)), None)
            }
        })
    }

    /// A step that makes a layer of what an input has at `path`: as it is, or what it holds if it is an archive.
    pub(super) fn all_of(
        &mut self,
        input: StepId,
        path: &str,
        unpack: Unpack,
        platform: &Platform,
        label: Label,
    ) -> StepId {
        let copy = CopyAction {
            sources: vec![CopySource::Path { input: 1, path: path.into(), wildcard: false }],
            dest: "/".into(),
            owner: None,
            mode: None,
            parents: false,
            exclude: Vec::new(),
            unpack,
        };
        let op = Op::File(FileOp { actions: vec![FileAction::Copy(Box::new(copy))] });
        let empty = self.scratch(platform);
        self.graph.add(op, &[empty, input], platform.clone(), label, false)
    }

    pub(super) fn http_step(
        &mut self,
        url: &str,
        name: &str,
        checksum: Option<Digest>,
        platform: &Platform,
        label: Label,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        let Some(found) = self.resolved.http.get(url) else {
            self.need(Need::Http { url: url.to_owned(), span: span.clone() });
            return Ok(None);
        };
        if let Some(wanted) = checksum
            && wanted != found.digest
        {
            let message = format!("{url} is not what was expected: its digest is {}", found.digest);
            return Err(Diagnostic::error(span.clone(), message)
                .help(format!("if the file was changed on purpose, write --checksum={}", found.digest)));
        }
        let op = Op::Http(HttpOp {
            url: url.to_owned(),
            name: name.to_owned(),
            digest: found.digest,
            modified: found.modified,
        });
        Ok(Some(self.graph.add(op, &[], platform.clone(), label, false)))
    }

    pub(super) fn git_step(
        &mut self,
        git: &remote::GitReference,
        keep_git_dir: bool,
        platform: &Platform,
        label: Label,
        span: &Span,
    ) -> Result<Option<StepId>, Diagnostic> {
        let wanted = git.checksum.clone().unwrap_or_default();
        let reference = if git.reference.is_empty() { &wanted } else { &git.reference };
        let Some(found) = self.resolved.git.get(&(git.url.clone(), reference.clone())) else {
            self.need(Need::Git { url: git.url.clone(), reference: reference.clone(), span: span.clone() });
            return Ok(None);
        };
        if !found.commit.starts_with(&wanted) {
            let message = format!("`{reference}` of {} is commit {}, not {wanted}", git.url, found.commit);
            return Err(Diagnostic::error(span.clone(), message).help("update the checksum if the change is expected"));
        }
        let op = Op::Git(GitOp {
            url: git.url.clone(),
            commit: found.commit.clone(),
            subdir: git.subdir.clone(),
            keep_git_dir,
            submodules: git.submodules.unwrap_or(true),
        });
        Ok(Some(self.graph.add(op, &[], platform.clone(), label, false)))
    }

    /// The step of the main context.
    pub(super) fn main_context(&mut self, current: &Current<'_>, span: &Span) -> Result<Option<StepId>, Diagnostic> {
        let options = self.options;
        let source = options.contexts.get("context").unwrap_or(&options.context);
        let platform = self.target.clone();
        let span = current.at(span);
        if let ContextSource::Git(reference) = source
            && let Some(Ok(git)) = remote::parse_git(reference)
        {
            let asked = options.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
            let keep = git.keep_git_dir.unwrap_or(asked.is_some_and(|value| matches!(value.as_str(), "1" | "true")));
            let label = self.label("load build context", None);
            return self.git_step(&git, keep, &platform, label, &span);
        }
        Ok(self.context("context", source, &platform, &span)?.0)
    }
}
