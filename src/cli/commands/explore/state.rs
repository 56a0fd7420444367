//! What the explorer shows and how keys change it; nothing here draws or knows a terminal.
//!
//! Rows are made anew when what is shown changes, not when it is drawn, and only of folders that are open.

use crate::fstree::survey::{NodeId, Projection, Scope, Survey, What};

/// The image, as far as it is shown.
pub(super) struct Subject {
    /// Its name and platform.
    pub(super) title: String,
    /// The instruction of each layer, bottom first; empty where nobody says.
    pub(super) made_by: Vec<String>,
    pub(super) survey: Survey,
}

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Left,
    Right,
    Enter,
    Tab,
    BackTab,
    Backspace,
    Escape,
    Character(char),
}

/// A part of the screen that can be walked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Layers,
    Wasted,
    Files,
}

/// How files in a folder are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Size,
}

/// A list with a cursor, of which only a part can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) cursor: usize,
    pub(super) top: usize,
    /// How many rows were seen last.
    height: usize,
}

impl List {
    /// The part of `count` rows that is to be seen in this height.
    pub(super) fn window(&mut self, count: usize, height: usize) -> std::ops::Range<usize> {
        self.height = height;
        self.cursor = self.cursor.min(count.saturating_sub(1));
        self.top = self.top.min(self.cursor).max((self.cursor + 1).saturating_sub(height));
        // Nothing is left empty at the end while there are rows above.
        self.top = self.top.min(count.saturating_sub(height));
        self.top..count.min(self.top + height)
    }

    fn walk(&mut self, key: Key, count: usize) -> bool {
        let (last, page) = (count.saturating_sub(1), self.height.saturating_sub(1).max(1));
        self.cursor = match key {
            Key::Up => self.cursor.saturating_sub(1),
            Key::Down => self.cursor + 1,
            Key::PageUp => self.cursor.saturating_sub(page),
            Key::PageDown => self.cursor + page,
            Key::Home => 0,
            Key::End => last,
            _ => return false,
        }
        .min(last);
        true
    }
}

/// A line of the tree of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) node: NodeId,
    pub(super) depth: usize,
    /// Of a folder, whether what is in it follows.
    pub(super) open: Option<bool>,
}

/// What is searched for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) text: String,
    /// Whether it is still being typed.
    pub(super) typing: bool,
}

/// The whole state.
pub(super) struct Explorer {
    pub(super) subject: Subject,
    pub(super) pane: Pane,
    pub(super) scope: Scope,
    pub(super) order: Order,
    pub(super) search: Search,
    pub(super) layers: List,
    pub(super) wasted: List,
    pub(super) files: List,
    pub(super) rows: Vec<Row>,
    pub(super) projection: Projection,
    /// Which folders are open, by node.
    open: Vec<bool>,
}

impl Explorer {
    pub(super) fn new(subject: Subject) -> Self {
        let projection = subject.survey.project(0, Scope::Layer);
        let mut explorer = Self {
            pane: Pane::Layers,
            scope: Scope::Layer,
            order: Order::Name,
            search: Search::default(),
            layers: List::default(),
            wasted: List::default(),
            files: List::default(),
            rows: Vec::new(),
            projection,
            open: vec![false; subject.survey.node_count()],
            subject,
        };
        explorer.refresh();
        explorer
    }

    /// The layer on top, counted from 0.
    pub(super) fn layer(&self) -> usize {
        self.layers.cursor
    }

    /// The file or folder under the cursor.
    pub(super) fn current(&self) -> Option<NodeId> {
        self.rows.get(self.files.cursor).map(|row| row.node)
    }

    /// Does what a key says; false if it says to end.
    pub(super) fn press(&mut self, key: Key) -> bool {
        if self.search.typing {
            self.type_search(key);
            return true;
        }
        match key {
            Key::Character('q') => return false,
            Key::Escape => {
                self.search = Search::default();
                self.arrange();
            }
            Key::Character('/') => {
                self.pane = Pane::Files;
                self.search = Search { text: String::new(), typing: true };
                self.arrange();
            }
            Key::Character('a') => {
                self.scope = if self.scope == Scope::Layer { Scope::All } else { Scope::Layer };
                self.refresh();
            }
            Key::Character('s') => {
                self.order = if self.order == Order::Name { Order::Size } else { Order::Name };
                self.arrange();
            }
            Key::Character('+') => self.open_all(true),
            Key::Character('-') => self.open_all(false),
            Key::Tab => self.turn(&[Pane::Layers, Pane::Wasted, Pane::Files]),
            Key::BackTab => self.turn(&[Pane::Files, Pane::Wasted, Pane::Layers]),
            Key::Character('k') => self.walk(Key::Up),
            Key::Character('j') => self.walk(Key::Down),
            Key::Character('h') => self.walk(Key::Left),
            Key::Character('l') => self.walk(Key::Right),
            Key::Character(' ') => self.walk(Key::Enter),
            key => self.walk(key),
        }
        true
    }

    fn turn(&mut self, order: &[Pane; 3]) {
        let at = order.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = order[(at + 1) % order.len()];
    }

    fn walk(&mut self, key: Key) {
        match self.pane {
            Pane::Layers => {
                let before = self.layer();
                self.layers.walk(key, self.subject.survey.layers().len());
                if self.layer() != before {
                    self.refresh();
                } else if matches!(key, Key::Enter | Key::Right) {
                    self.pane = Pane::Files;
                }
            }
            Pane::Wasted => {
                let wasted = self.subject.survey.wasted();
                if !self.wasted.walk(key, wasted.len()) && matches!(key, Key::Enter | Key::Right) {
                    let node = wasted.get(self.wasted.cursor).map(|wasted| wasted.node);
                    node.into_iter().for_each(|node| self.go_to(node));
                }
            }
            Pane::Files => {
                let Some(row) = self.rows.get(self.files.cursor).copied() else {
                    if key == Key::Left {
                        self.pane = Pane::Layers;
                    }
                    return;
                };
                match (key, row.open) {
                    (Key::Left, Some(true)) if self.open[row.node] => self.set_open(row.node, false),
                    (Key::Left, _) => match self.subject.survey.parent(row.node) {
                        Some(parent) if parent != 0 => self.point_to(parent),
                        _ => self.pane = Pane::Layers,
                    },
                    (Key::Enter, Some(open)) => self.set_open(row.node, !open),
                    (Key::Right, Some(false)) => self.set_open(row.node, true),
                    _ => {
                        self.files.walk(key, self.rows.len());
                    }
                }
            }
        }
    }

    fn type_search(&mut self, key: Key) {
        match key {
            Key::Character(character) => self.search.text.push(character),
            Key::Backspace => drop(self.search.text.pop()),
            Key::Escape => self.search = Search::default(),
            Key::Enter => self.search.typing = false,
            // Whoever walks off has typed enough.
            Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
                self.search.typing = false;
                return self.walk(key);
            }
            _ => return,
        }
        self.arrange();
    }

    fn set_open(&mut self, node: NodeId, open: bool) {
        self.open[node] = open;
        if open {
            self.open_on(node);
        }
        self.arrange();
    }

    /// A folder that only leads to another one is no stop on the way.
    fn open_on(&mut self, mut at: NodeId) {
        loop {
            let survey = &self.subject.survey;
            let mut shown = survey.children(at).iter().copied().filter(|child| self.projection.has(*child));
            let (Some(only), None) = (shown.next(), shown.next()) else { return };
            self.open[only] = true;
            at = only;
        }
    }

    fn open_all(&mut self, open: bool) {
        self.open.fill(open);
        self.arrange();
    }

    /// Shows a file that is wasteful, in the layer that made it so.
    fn go_to(&mut self, node: NodeId) {
        let survey = &self.subject.survey;
        self.layers.cursor = survey.history(node).last().map_or(0, |last| last.layer);
        let mut at = node;
        while let Some(parent) = survey.parent(at) {
            self.open[parent] = true;
            at = parent;
        }
        (self.pane, self.search) = (Pane::Files, Search::default());
        self.refresh();
        self.point_to(node);
    }

    /// Puts the cursor on a node, or on the next folder above it that is shown.
    fn point_to(&mut self, node: NodeId) {
        let mut wanted = Some(node);
        while let Some(node) = wanted {
            if let Some(at) = self.rows.iter().position(|row| row.node == node) {
                self.files.cursor = at;
                return;
            }
            wanted = self.subject.survey.parent(node);
        }
        self.files.cursor = 0;
    }

    /// After another layer or scope was chosen.
    fn refresh(&mut self) {
        self.projection = self.subject.survey.project(self.layer(), self.scope);
        self.arrange();
    }

    /// Makes the rows.
    fn arrange(&mut self) {
        let current = self.current();
        let found = Matches::new(&self.subject.survey, &self.projection, &self.search.text);
        self.rows.clear();
        let mut open: Vec<(Row, bool)> = Vec::new();
        self.push_children(0, 0, false, &found, &mut open);
        while let Some((row, within)) = open.pop() {
            self.rows.push(row);
            if row.open == Some(true) {
                self.push_children(row.node, row.depth + 1, within, &found, &mut open);
            }
        }
        match (&found, current) {
            // The first that was found is what was searched for.
            (Matches::Some { .. }, _) if self.search.typing => {
                self.files.cursor = self.rows.iter().position(|row| found.is_match(row.node)).unwrap_or(0);
            }
            (_, Some(node)) => self.point_to(node),
            (_, None) => self.files.cursor = 0,
        }
    }

    /// Puts what is shown in a folder onto a stack, the first on top. `within` says that something above was found.
    fn push_children(&self, folder: NodeId, depth: usize, within: bool, found: &Matches, open: &mut Vec<(Row, bool)>) {
        let survey = &self.subject.survey;
        let start = open.len();
        for node in survey.children(folder).iter().copied().filter(|node| self.projection.has(*node)) {
            if !within && !found.keeps(node) {
                continue;
            }
            let is_folder = self.projection.get(node).what == Some(What::Folder);
            let has_some = survey.children(node).iter().any(|child| self.projection.has(*child));
            let is_open = (is_folder || has_some).then(|| has_some && (self.open[node] || found.leads_on(node)));
            open.push((Row { node, depth, open: is_open }, within || found.is_match(node)));
        }
        let children = &mut open[start..];
        children.reverse();
        if self.order == Order::Size {
            children.sort_by_key(|(row, _)| self.projection.get(row.node).size);
        }
    }
}

/// What a search found.
enum Matches {
    /// Nothing is searched for.
    All,
    Some {
        /// By node.
        found: Vec<bool>,
        /// Whether something in a folder was found.
        below: Vec<bool>,
    },
}

impl Matches {
    fn new(survey: &Survey, projection: &Projection, text: &str) -> Self {
        if text.is_empty() {
            return Self::All;
        }
        let wanted = text.to_lowercase();
        let (mut found, mut below) = (vec![false; survey.node_count()], vec![false; survey.node_count()]);
        // What is in a folder has a higher number.
        for node in (1..survey.node_count()).rev().filter(|node| projection.has(*node)) {
            let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase().contains(&wanted);
            found[node] = match wanted.contains('/') {
                true => is_in(survey.path(node).to_string().as_bytes()),
                false => is_in(survey.name(node)),
            };
            if found[node] || below[node] {
                below[survey.parent(node).unwrap_or(0)] = true;
            }
        }
        Self::Some { found, below }
    }

    fn is_match(&self, node: NodeId) -> bool {
        matches!(self, Self::Some { found, .. } if found[node])
    }

    fn leads_on(&self, node: NodeId) -> bool {
        matches!(self, Self::Some { below, .. } if below[node])
    }

    fn keeps(&self, node: NodeId) -> bool {
        matches!(self, Self::All) || self.is_match(node) || self.leads_on(node)
    }
}

#[cfg(test)]
mod tests;
