//! Runs a step that changes files: selections in, a layer out, mostly without touching a disk.
//!
//! Nothing is copied here. The layer that comes out says what it holds, and where the bytes can be read if somebody
//! turns out to need them; only archives are unpacked on the spot.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use crate::digest::ContentDigest;
use crate::fstree::chmod::ModeChange;
use crate::fstree::copy::{self, Attributes};
use crate::fstree::edit::{Bytes, Edited, Editor, New};
use crate::fstree::passwd;
use crate::fstree::select::{Match, SelectError, Source, select_hashed};
use crate::fstree::whiteout;
use crate::fstree::{Entry, Kind, Merged, Meta, NodeKind, Toc, TreePath, View};
use crate::graph::{Chmod, CopyAction, CopySource, FileAction, FileOp, Owner, Times, Unpack};
use crate::solve::archive;
use crate::solve::error::StepError;
use crate::solve::keys::Selections;
use crate::source::LocalContext;
use crate::store::layers::{LayerError, LayerId, Layers};
use crate::store::snapshot::{FileSource, Source as Opened};
use crate::store::{ArchiveLimits, Store};

/// One input of a step, ready to be read.
#[derive(Clone)]
pub enum InputTree {
    /// A build context.
    Context(Arc<LocalContext>),
    /// What another step made.
    State(Arc<StateTree>),
}

/// Layers on top of each other, and how to read their files.
pub struct StateTree {
    /// Bottom first.
    pub layers: Vec<LayerId>,
    /// What they hold together.
    pub view: Merged,
    // Layers hold origins, which hold trees like this one: they must not keep each other alive.
    store: Weak<Layers>,
}

impl StateTree {
    /// The tree of a state.
    pub fn new(store: &Arc<Layers>, state: &[LayerId]) -> Result<Self, StepError> {
        Ok(Self { layers: state.to_vec(), view: store.merged(state)?, store: Arc::downgrade(store) })
    }

    /// Opens a regular file.
    fn open(&self, path: &TreePath) -> Result<Opened, LayerError> {
        let gone = || LayerError::Read { path: path.clone(), error: io::Error::other("the build is over") };
        self.store.upgrade().ok_or_else(gone)?.open(&self.layers, &self.view, path)
    }

    /// The text of a file, symbolic links followed; none if it is not there.
    pub fn text(&self, path: &str, limit: u64) -> Result<Option<String>, StepError> {
        let path = crate::fstree::resolve::follow(&TreePath::clean(path), |path| self.view.lookup(path))
            .map_err(SelectError::from)?;
        match self.view.lookup(&path).map_err(SelectError::from)?.map(|node| node.kind) {
            Some(NodeKind::File(_)) => {
                let gone = || LayerError::Read { path: path.clone(), error: io::Error::other("the build is over") };
                let bytes = self.store.upgrade().ok_or_else(gone)?.read(&self.layers, &self.view, &path, limit)?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            _ => Ok(None),
        }
    }
}

impl InputTree {
    /// What can be seen of it.
    pub fn view(&self) -> &dyn View {
        match self {
            Self::Context(context) => context.as_ref(),
            Self::State(state) => &state.view,
        }
    }

    fn open(&self, path: &TreePath) -> io::Result<Opened> {
        match self {
            Self::Context(context) => Ok(Opened::File(context.open_file(path)?)),
            Self::State(state) => state.open(path).map_err(io::Error::other),
        }
    }
}

/// Where the bytes of a layer's files are before they are anywhere in the store.
struct Origins {
    inputs: BTreeMap<usize, InputTree>,
    /// In the order of their paths.
    files: Vec<(TreePath, Bytes)>,
    spool: Option<archive::Spool>,
}

impl Origins {
    /// Of the files at these places in `entries`, which are in the order of their paths.
    fn new(
        inputs: BTreeMap<usize, InputTree>,
        entries: &[Entry],
        files: Vec<(usize, Bytes, bool)>,
        spool: Option<archive::Spool>,
    ) -> Self {
        let files = files.into_iter().map(|(place, bytes, _)| (entries[place].path.clone(), bytes)).collect();
        Self { inputs, files, spool }
    }
}

impl FileSource for Origins {
    fn open(&self, entry: &Entry) -> io::Result<Opened> {
        let lost = || io::Error::from(io::ErrorKind::NotFound);
        let place = self.files.binary_search_by(|(path, _)| path.cmp(&entry.path)).map_err(|_| lost())?;
        match &self.files[place].1 {
            Bytes::Inline(bytes) => Ok(Opened::Reader(Box::new(io::Cursor::new(bytes.clone())))),
            Bytes::Input(input, path) => self.inputs.get(input).ok_or_else(lost)?.open(path),
            Bytes::Spooled(number) => self.spool.as_ref().ok_or_else(lost)?.open(*number).map(Opened::File),
        }
    }
}

/// Where archives are unpacked.
struct Unpacking<'a> {
    store: &'a Store,
    /// Made for the first one.
    spool: Option<archive::Spool>,
}

/// Everything that a file step works on.
pub struct FileStep<'a> {
    /// What to do.
    pub op: &'a FileOp,
    /// The times of what is made.
    pub times: Times,
    /// What is changed.
    pub root: &'a StateTree,
    /// The inputs, by number.
    pub inputs: &'a BTreeMap<usize, InputTree>,
    /// What is known to be selected of inputs already.
    pub selections: &'a Selections,
    /// How large archives may become.
    pub archives: ArchiveLimits,
    /// Makes a path for a temporary folder.
    pub scratch: &'a dyn Fn() -> Result<PathBuf, StepError>,
}

impl FileStep<'_> {
    /// Makes the layer.
    pub fn run(&self, layers: &Layers) -> Result<LayerId, StepError> {
        let mut editor = Editor::new(&self.root.view);
        let mut uses: BTreeMap<usize, usize> = BTreeMap::new();
        let mut unpacking = Unpacking { store: layers.store(), spool: None };
        for action in &self.op.actions {
            match action {
                FileAction::Copy(action) => self.copy(&mut editor, action, &mut uses, &mut unpacking)?,
                FileAction::Mkdir { path, mode, owner } => self.mkdir(&mut editor, path, *mode, owner.as_ref())?,
                FileAction::Mkfile { path, data, mode, owner } => {
                    let attributes = Attributes {
                        owner: self.owner(owner.as_ref())?,
                        mode: Some(ModeChange::Symbolic(Vec::new())),
                        epoch: self.times.epoch,
                    };
                    let dest = String::from_utf8_lossy(path.as_bytes()).into_owned();
                    copy::write(&mut editor, "", data, &dest, &Attributes { mode: None, ..attributes })?;
                    self.set_mode(&mut editor, path, *mode)?;
                }
                FileAction::Symlink { path, target, owner } => {
                    let (uid, gid) = self.owner(owner.as_ref())?.unwrap_or_default();
                    let path = self.make_parent(&mut editor, path)?;
                    let meta = Meta { mode: 0o777, uid, gid, mtime: self.times.epoch, ..Meta::default() };
                    editor.put(&path, meta, New::Symlink(target.clone()));
                }
                FileAction::Remove { path, allow_missing } => self.remove(&mut editor, path, *allow_missing)?,
            }
        }
        let edited = editor.finish().map_err(SelectError::from)?;
        self.promise(layers, edited, unpacking.spool)
    }

    fn copy(
        &self,
        editor: &mut Editor<'_>,
        action: &CopyAction,
        uses: &mut BTreeMap<usize, usize>,
        unpacking: &mut Unpacking<'_>,
    ) -> Result<(), StepError> {
        let mode = match &action.mode {
            None => None,
            Some(Chmod::Octal(mode)) => Some(ModeChange::Octal(*mode)),
            Some(Chmod::Symbolic(text)) => Some(ModeChange::parse(text).map_err(|error| StepError::other(&error))?),
        };
        let attributes = Attributes { owner: self.owner(action.owner.as_ref())?, mode, epoch: self.times.epoch };
        for source in &action.sources {
            let CopySource::Path { input, path, wildcard } = source else { continue };
            let tree = self.inputs.get(input).ok_or_else(|| StepError::message("an input of the step is missing"))?;
            let turn = uses.entry(*input).or_default();
            let known = self.selections.get(input).and_then(|selection| selection.uses.get(*turn));
            *turn += 1;
            let selected;
            let matches: &[Match] = match known {
                Some(matches) => matches,
                None => {
                    let source =
                        Source { path, wildcard: *wildcard, parents: action.parents, exclude: &action.exclude };
                    selected = select_hashed(tree.view(), source)?;
                    &selected
                }
            };
            for found in matches {
                if action.unpack == Unpack::Archives
                    && self.unpack(editor, tree, found, action, &attributes, unpacking)?
                {
                    continue;
                }
                copy::copy(editor, *input, found, &action.dest, action.parents, &attributes)?;
            }
        }
        // Heredocs come after files, wherever they are written.
        for source in &action.sources {
            if let CopySource::Inline { name, data } = source {
                copy::write(editor, name, data, &action.dest, &attributes)?;
            }
        }
        Ok(())
    }

    /// Unpacks a match if it is an archive.
    fn unpack(
        &self,
        editor: &mut Editor<'_>,
        tree: &InputTree,
        found: &Match,
        action: &CopyAction,
        attributes: &Attributes,
        Unpacking { store, spool }: &mut Unpacking<'_>,
    ) -> Result<bool, StepError> {
        let [file] = &found.files[..] else { return Ok(false) };
        if !matches!(file.node.kind, NodeKind::File(_)) {
            return Ok(false);
        }
        let open = || -> Result<Box<dyn Read + Send>, StepError> {
            match tree.open(&file.from) {
                Ok(Opened::File(file)) => Ok(Box::new(file)),
                Ok(Opened::Reader(reader)) => Ok(reader),
                Err(error) => Err(StepError::read(&file.from, &error)),
            }
        };
        let failed = |error: io::Error| StepError::read(&file.from, &error);
        let opened = open()?;
        if !store.confined(|| archive::is_archive(opened)).map_err(failed)? {
            return Ok(false);
        }
        if spool.is_none() {
            *spool = Some(archive::Spool::new((self.scratch)()?)?);
        }
        let Some(spool) = spool else { return Ok(false) };
        let (opened, limits) = (open()?, self.archives);
        let read = || archive::read(opened, spool, &file.from, limits);
        let (entries, numbers) = store.confined(read).map_err(failed)??;
        let bytes = |place: usize| Bytes::Spooled(numbers.get(place).copied().unwrap_or(usize::MAX));
        copy::unpack(editor, &entries, &bytes, &action.dest, attributes)?;
        Ok(true)
    }

    fn mkdir(
        &self,
        editor: &mut Editor<'_>,
        path: &TreePath,
        mode: u32,
        owner: Option<&Owner>,
    ) -> Result<(), StepError> {
        let owner = self.owner(owner)?;
        let path = editor.follow(path)?;
        if let Some(parent) = path.parent() {
            let (uid, gid) = owner.unwrap_or_default();
            editor.mkdir_all(&parent, &Meta { mode: 0o755, uid, gid, mtime: self.times.epoch, ..Meta::default() })?;
        }
        let (uid, gid) = owner.unwrap_or_default();
        editor.mkdir_all(&path, &Meta { mode, uid, gid, mtime: self.times.epoch, ..Meta::default() })?;
        Ok(())
    }

    fn make_parent(&self, editor: &mut Editor<'_>, path: &TreePath) -> Result<TreePath, StepError> {
        let parent = editor.follow(&path.parent().unwrap_or_default())?;
        editor.mkdir_all(&parent, &Meta { mode: 0o755, mtime: self.times.epoch, ..Meta::default() })?;
        Ok(parent.join(path.name()))
    }

    fn set_mode(&self, editor: &mut Editor<'_>, path: &TreePath, mode: u32) -> Result<(), StepError> {
        let path = editor.follow(path)?;
        if let Some((meta, new)) = editor.put_at(&path) {
            let (meta, new) = (Meta { mode, ..meta.clone() }, new.clone());
            editor.put(&path, meta, new);
        }
        Ok(())
    }

    fn remove(&self, editor: &mut Editor<'_>, path: &str, allow_missing: bool) -> Result<(), StepError> {
        let source = Source { path, wildcard: true, parents: false, exclude: &[] };
        let found = match crate::fstree::select::expand(&self.root.view, source) {
            Ok(found) => found,
            Err(SelectError::Missing(_)) if allow_missing => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for path in found {
            let parent = editor.follow(&path.parent().unwrap_or_default())?;
            let path = parent.join(path.name());
            if editor.lookup(&path).map_err(SelectError::from)?.is_none() && !allow_missing {
                return Err(SelectError::Missing(path.to_string()).into());
            }
            editor.remove(&path).map_err(SelectError::from)?;
        }
        Ok(())
    }

    /// An owner's numbers, names being looked up in the image.
    fn owner(&self, owner: Option<&Owner>) -> Result<Option<(u32, u32)>, StepError> {
        let Some(owner) = owner else { return Ok(None) };
        let number = |name: &str| name == "root" || name.parse::<u32>().is_ok();
        let by_user = !number(&owner.user);
        let by_group = owner.group.as_deref().is_some_and(|group| !number(group));
        if (by_user || by_group) && self.root.layers.is_empty() {
            return Err(StepError::message(format!(
                "the owner {:?} cannot be looked up: there is no image below with an /etc/passwd; give a number",
                owner.user
            )));
        }
        // Layers that may have to be fetched for that are left alone by those who do not need to know.
        let read = |path, wanted: bool| if wanted { self.root.text(path, 16 << 20) } else { Ok(None) };
        let (passwd, group) = (read("/etc/passwd", by_user)?, read("/etc/group", by_group)?);
        Ok(Some(passwd::resolve_owner(&owner.user, owner.group.as_deref(), passwd.as_deref(), group.as_deref())))
    }

    /// Computes the digests that are missing and makes the layer known.
    fn promise(
        &self,
        layers: &Layers,
        mut edited: Edited,
        spool: Option<archive::Spool>,
    ) -> Result<LayerId, StepError> {
        let mut wanted: BTreeMap<usize, Vec<(usize, TreePath)>> = BTreeMap::new();
        for (place, bytes, missing) in &edited.files {
            match bytes {
                Bytes::Input(input, path) if *missing => wanted.entry(*input).or_default().push((*place, path.clone())),
                Bytes::Inline(bytes) if *missing => set_content(&mut edited.entries[*place], ContentDigest::of(bytes)),
                _ => {}
            }
        }
        for (input, places) in wanted {
            let tree = self.inputs.get(&input).ok_or_else(|| StepError::message("an input of the step is missing"))?;
            let (places, paths): (Vec<usize>, Vec<TreePath>) = places.into_iter().unzip();
            let contents = tree.view().contents(&paths).map_err(SelectError::from)?;
            places.iter().zip(contents).for_each(|(place, content)| set_content(&mut edited.entries[*place], content));
        }
        if let Some(ceiling) = self.times.ceiling {
            for entry in &mut edited.entries {
                entry.meta.mtime = entry.meta.mtime.min(ceiling);
            }
        }
        let origins = Origins::new(self.inputs.clone(), &edited.entries, edited.files, spool);
        // A name that tars take for a whiteout is one in the image, so it is one for later steps too.
        let toc = whiteout::settle(Toc::new(edited.entries), &self.root.view);
        Ok(layers.promise(toc, Arc::new(origins)))
    }
}

fn set_content(entry: &mut Entry, digest: ContentDigest) {
    if let Kind::File { content, .. } = &mut entry.kind {
        *content = digest;
    }
}

/// The layer that holds the one match of a source, its files hashed, at its root, for mounting it: a folder's content, or a file by its
/// name.
pub fn mountable(layers: &Layers, tree: &InputTree, found: &Match, epoch: i64) -> Result<LayerId, StepError> {
    let empty = Merged::default();
    let mut editor = Editor::new(&empty);
    let attributes = Attributes { owner: None, mode: None, epoch };
    let is_dir = found.files.first().is_some_and(|file| file.node.kind == NodeKind::Dir);
    let dest = if is_dir { "/" } else { "/file" };
    copy::copy(&mut editor, 0, found, dest, false, &attributes)?;
    if let (true, Some(root)) = (is_dir, found.files.first()) {
        editor.set_dir_meta(&TreePath::root(), root.node.meta.clone());
    }
    let edited = editor.finish().map_err(SelectError::from)?;
    let origins = Origins::new(BTreeMap::from([(0, tree.clone())]), &edited.entries, edited.files, None);
    Ok(layers.promise(Toc::new(edited.entries), Arc::new(origins)))
}
