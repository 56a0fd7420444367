//! Changes to files that no Dockerfile can say: folders, symbolic links and removals, each a layer of its own.

use super::Lowering;
use super::copy::{destination, parse_chmod};
use super::stage::{Current, one_line, owner};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Change, Head, Word};
use crate::fstree::TreePath;
use crate::graph::{Chmod, FileAction, FileOp, Op};

/// The permissions of a folder that says nothing else.
const FOLDER: u32 = 0o755;

impl Lowering<'_> {
    pub(super) fn change(&mut self, current: &mut Current<'_>, head: &Head, change: &Change) -> Result<(), Diagnostic> {
        let (history, actions) = match change {
            Change::Mkdir { path, chown, chmod } => {
                let mut history = "MKDIR".to_owned();
                let user = self.flag(current, head, chown.as_ref())?;
                let mode = self.flag(current, head, chmod.as_ref())?;
                for (flag, value) in
                    [("--chown", &user), ("--chmod", &mode)].iter().filter(|(_, value)| !value.is_empty())
                {
                    history.push_str(&format!(" {flag}={value}"));
                }
                let mode = match (chmod, mode.as_str()) {
                    (None, _) | (_, "") => FOLDER,
                    (Some(word), text) => octal(text, word)?,
                };
                let (shown, path) = self.place(current, head, path)?;
                history.push_str(&format!(" {shown}"));
                (history, vec![FileAction::Mkdir { path, mode, owner: owner(&user) }])
            }
            Change::Symlink { path, to, chown } => {
                let user = self.flag(current, head, chown.as_ref())?;
                let target = self.word(current, head, to)?;
                if target.is_empty() {
                    let error = Diagnostic::error(to.span.clone(), "a symbolic link must lead somewhere");
                    return Err(error.help("name the file or folder that it stands for"));
                }
                let (shown, path) = self.place(current, head, path)?;
                let flag = if user.is_empty() { String::new() } else { format!(" --chown={user}") };
                let history = format!("SYMLINK{flag} {shown} {target}");
                (history, vec![FileAction::Symlink { path, target: target.into_bytes(), owner: owner(&user) }])
            }
            Change::Remove { paths, allow_missing } => {
                let mut history = "REMOVE".to_owned();
                let mut actions = Vec::new();
                for word in paths {
                    let (shown, path) = self.place(current, head, word)?;
                    history.push_str(&format!(" {shown}"));
                    actions.push(FileAction::Remove { path: path.to_string(), allow_missing: *allow_missing });
                }
                (history, actions)
            }
        };
        let label = self.step_label(current, &one_line(&head.text), &head.span);
        let op = Op::File(FileOp { actions });
        let (platform, no_cache) = (current.platform.clone(), current.no_cache);
        current.step = current.step.map(|step| self.graph.add(op, &[step], platform, label, no_cache));
        current.history(history, false);
        Ok(())
    }

    /// A path as it was meant, for people, and where it is. The root itself is not to be changed.
    fn place(&mut self, current: &Current<'_>, head: &Head, word: &Word) -> Result<(String, TreePath), Diagnostic> {
        let text = self.word(current, head, word)?;
        let path = TreePath::clean(destination(&current.config.config.working_dir, &text));
        match path.is_root() {
            true => Err(Diagnostic::error(word.span.clone(), format!("`{text}` is the root of the file system"))
                .help("name something in it")),
            false => Ok((text, path)),
        }
    }
}

fn octal(text: &str, word: &Word) -> Result<u32, Diagnostic> {
    match parse_chmod(text) {
        Ok(Chmod::Octal(mode)) => Ok(mode),
        _ => Err(Diagnostic::error(word.span.clone(), format!("`{text}` are no permissions of a new folder"))
            .help("write octal digits such as 0755")),
    }
}
