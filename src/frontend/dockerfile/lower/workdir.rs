//! `WORKDIR`: where it leads, and the folders that it makes on the way.

use super::Lowering;
use super::stage::{Current, one_line, owner};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Head, Word};
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::fstree::TreePath;
use crate::graph::{FileAction, FileOp, Op};

impl Lowering<'_> {
    pub(super) fn workdir(&mut self, current: &mut Current<'_>, head: &Head, word: &Word) -> Result<(), Diagnostic> {
        let path = self.word(current, head, word)?;
        if !current.workdir_set && !path.starts_with('/') {
            let message = if path.is_empty() {
                format!("`{}` comes to nothing", word.value)
            } else {
                format!("where `{path}` lies depends on the base image")
            };
            let finding = Linter::finding(rule::WorkdirRelativePath, current.at(&word.span), message)
                .help("start with an absolute path");
            let old = current.config.config.working_dir.as_str();
            // Where the folder lies can be told once the base is known.
            let finding = if current.is_written_here() && !current.guessed && path == word.value && is_plain(&path) {
                let absolute = TreePath::clean(format!("{old}/{path}")).to_string();
                finding.fix(word.span.clone(), absolute)
            } else {
                finding
            };
            self.linter.report(&head.comments, finding);
        }
        current.workdir_set = true;
        // A path is kept as it is written if it is absolute, and joined and cleaned if it is not.
        let old = &current.config.config.working_dir;
        let path = match path.as_str() {
            "" if old.is_empty() => "/".to_owned(),
            "" => old.clone(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => TreePath::clean(format!("{old}/{relative}")).to_string(),
        };
        current.config.config.working_dir.clone_from(&path);
        if path != "/" {
            let label = self.step_label(current, &one_line(&head.text), &head.span);
            let owner = owner(&current.config.config.user);
            let folders = made_on_the_way(&path).into_iter();
            let actions = folders.map(|path| FileAction::Mkdir { path, mode: 0o755, owner: owner.clone() });
            let op = Op::File(FileOp { actions: actions.collect() });
            current.step = current.step.map(|step| self.graph.add(op, &[step], current.platform.clone(), label, false));
        }
        current.history(format!("WORKDIR {path}"), path == "/");
        Ok(())
    }
}

/// Whether a path can be written without quotes.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
}

/// The folders that a path makes as it is walked: what stands before a `..` is made too.
fn made_on_the_way(path: &str) -> Vec<TreePath> {
    let mut made = Vec::new();
    let mut at = String::new();
    for part in path.split('/') {
        if part == ".." {
            made.push(TreePath::clean(&at));
        }
        at = format!("{at}/{part}");
    }
    made.push(TreePath::clean(&at));
    made
}
