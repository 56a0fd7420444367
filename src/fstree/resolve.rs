//! Paths through symbolic links, inside a root that nothing leaves.

use crate::fstree::{Node, NodeKind, TreePath, ViewError};

/// How many symbolic links one path may go through.
const MOST_LINKS: usize = 255;

/// A path that cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Links lead in a circle, or are too many.
    #[error("{0}: too many symbolic links")]
    TooManyLinks(TreePath),
    /// The tree cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Follows all symbolic links of `path`, the last component's too, as if `lookup`'s tree were the root of the system.
///
/// What does not exist is kept as it is named, so the result need not exist. `..` goes up from where a link led to,
/// and stops at the root.
pub fn follow<E>(
    path: &TreePath,
    mut lookup: impl FnMut(&TreePath) -> Result<Option<Node>, E>,
) -> Result<TreePath, ResolveError>
where
    ResolveError: From<E>,
{
    let mut left: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
    left.reverse();
    let mut at = TreePath::root();
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == b".." {
            at = at.parent().unwrap_or_default();
            continue;
        }
        let next = at.join(&name);
        match lookup(&next)? {
            Some(Node { kind: NodeKind::Symlink(target), .. }) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(ResolveError::TooManyLinks(path.clone()));
                }
                if target.starts_with(b"/") {
                    at = TreePath::root();
                }
                let parts = target.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
                left.extend(parts.map(<[u8]>::to_vec).rev());
            }
            _ => at = next,
        }
    }
    Ok(at)
}
