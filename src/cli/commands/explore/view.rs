//! Draws the explorer. Only rows that are seen are looked at, so that the size of an image does not matter here.
//!
//! Everything can be told without colours: by letters, and by what is reversed or bold.

use console::measure_text_width;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::state::{Explorer, Order, Pane, Row};
use crate::cli::human;
use crate::cli::progress::clean;
use crate::cli::table::cut;
use crate::fstree::survey::{Action, Happened, Mark, NodeId, Scope, What};

/// The narrowest screen that shows two columns.
const NARROW: u16 = 60;

const HELP: &str = "↑↓ move  ←→ fold  +- fold all  Tab pane  a all/changes  s sort  / search  q quit";

/// What colours mean, if there are any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) colours: bool,
}

impl Palette {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Did(Action::Added) => self.colour(Color::Green),
            Mark::Did(Action::Changed) => self.colour(Color::Yellow),
            Mark::Did(Action::Removed) => self.colour(Color::Red),
            _ => Style::new(),
        }
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, explorer: &mut Explorer, palette: Palette) {
    let area = frame.area();
    if area.height < 5 || area.width < 10 {
        return;
    }
    let row = |y: u16| Rect { y, height: 1, ..area };
    title(frame, explorer, row(0));
    let body = Rect { y: 1, height: area.height - 3, ..area };
    if area.width < NARROW {
        pane(frame, explorer, palette, explorer.pane, body);
    } else {
        // The instructions have room to spare on wide screens, paths on narrow ones.
        let left = Rect { width: (area.width * 9 / 20).min(70), ..body };
        let right = Rect { x: left.width + 1, width: area.width - left.width - 1, ..body };
        let wanted = explorer.subject.survey.layers().len() as u16 + 2;
        let upper = wanted.min((body.height * 3).div_ceil(5));
        pane(frame, explorer, palette, Pane::Layers, Rect { height: upper, ..left });
        let lower = Rect { y: left.y + upper, height: left.height - upper, ..left };
        pane(frame, explorer, palette, Pane::Wasted, lower);
        for y in body.y..body.y + body.height {
            put(frame, Rect { x: left.width, y, width: 1, height: 1 }, Line::raw("│"));
        }
        pane(frame, explorer, palette, Pane::Files, right);
    }
    put(frame, row(area.height - 2), Line::raw(details(explorer)).style(Modifier::DIM));
    put(frame, row(area.height - 1), prompt(explorer));
}

fn put(frame: &mut Frame<'_>, area: Rect, line: Line<'_>) {
    frame.buffer_mut().set_line(area.x, area.y, &line, area.width);
}

fn title(frame: &mut Frame<'_>, explorer: &Explorer, area: Rect) {
    let survey = &explorer.subject.survey;
    let figures = format!(
        "{}  {}  efficiency {}  wasted {} ",
        human::count(survey.layers().len(), "layer"),
        human::size(survey.stored_bytes()),
        percent(survey.efficiency()),
        human::size(survey.wasted_bytes())
    );
    let room = usize::from(area.width).saturating_sub(figures.chars().count() + 2);
    let text = format!(" {:room$} {figures}", cut(&harmless(explorer.subject.title.as_bytes()), room));
    let text = format!("{text:width$}", width = usize::from(area.width));
    put(frame, area, Line::raw(text).style(Modifier::REVERSED));
}

/// Such as `98.2%`; rounded down, so that only what is whole is shown as whole.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", (part * 1000.0).floor() / 10.0)
}

fn pane(frame: &mut Frame<'_>, explorer: &mut Explorer, palette: Palette, pane: Pane, area: Rect) {
    if area.height < 2 {
        return;
    }
    let is_active = explorer.pane == pane;
    let (name, header) = match pane {
        Pane::Layers => ("Layers".to_owned(), format!("{:>3} {:>7} {:>7} {}", "#", "SIZE", "WASTED", "MADE BY")),
        Pane::Wasted => {
            let count = explorer.subject.survey.wasted().len();
            (format!("Wasted: {}", human::count(count, "file")), format!("{:>7} {:>6} {}", "BYTES", "COPIES", "FILE"))
        }
        Pane::Files => {
            let scope = if explorer.scope == Scope::Layer { "changes" } else { "all files" };
            let sort = if explorer.order == Order::Size { ", by size" } else { "" };
            let name = format!("Layer {}: {scope}{sort}", explorer.layer() + 1);
            (name, format!("  {:>7} {}", "SIZE", "NAME"))
        }
    };
    let rule = format!("─{}{name}{}", if is_active { "▶" } else { " " }, if is_active { "◀" } else { " " });
    let rest = usize::from(area.width).saturating_sub(rule.chars().count());
    let rule = Line::raw(rule + &"─".repeat(rest));
    put(frame, area, if is_active { rule.style(Modifier::BOLD) } else { rule });
    put(frame, Rect { y: area.y + 1, ..area }, Line::raw(header).style(Modifier::DIM));
    let inner = Rect { y: area.y + 2, height: area.height - 2, ..area };
    let height = usize::from(inner.height);
    let (window, cursor) = match pane {
        Pane::Layers => {
            (explorer.layers.window(explorer.subject.survey.layers().len(), height), explorer.layers.cursor)
        }
        Pane::Wasted => {
            (explorer.wasted.window(explorer.subject.survey.wasted().len(), height), explorer.wasted.cursor)
        }
        Pane::Files => (explorer.files.window(explorer.rows.len(), height), explorer.files.cursor),
    };
    if window.is_empty() {
        let text = match pane {
            Pane::Files if explorer.search.text.is_empty() => "  nothing",
            Pane::Files => "  nothing is called so",
            _ => "  none",
        };
        put(frame, inner, Line::raw(text));
    }
    for (y, at) in (inner.y..).zip(window) {
        let mut line = match pane {
            Pane::Layers => layer(explorer, at),
            Pane::Wasted => wasted(explorer, at, inner.width),
            Pane::Files => file(explorer, &explorer.rows[at], palette),
        };
        let here = Rect { y, height: 1, ..inner };
        if at == cursor {
            line = line.style(if is_active { Modifier::REVERSED } else { Modifier::BOLD });
            let style = line.style;
            frame.buffer_mut().set_style(here, style);
        }
        put(frame, here, line);
    }
}

fn layer(explorer: &Explorer, at: usize) -> Line<'static> {
    let layer = explorer.subject.survey.layers()[at];
    let made_by = made_by(explorer, at);
    let (size, wasted) = (human::size(layer.size), human::size(layer.wasted));
    let here = if at == explorer.layer() { '›' } else { ' ' };
    Line::raw(format!("{here}{:>2} {size:>7} {wasted:>7} {made_by}", at + 1))
}

/// The instruction of a layer, without what all of them have.
fn made_by(explorer: &Explorer, layer: usize) -> String {
    let words = explorer.subject.made_by.get(layer).map(String::as_str).unwrap_or_default();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.strip_suffix(" # buildkit").unwrap_or(&words);
    let words = match words.strip_prefix("RUN /bin/sh -c ") {
        Some(script) => format!("RUN {script}"),
        None => words.to_owned(),
    };
    harmless(words.as_bytes())
}

fn wasted(explorer: &Explorer, at: usize, width: u16) -> Line<'static> {
    let wasted = &explorer.subject.survey.wasted()[at];
    let path = harmless(explorer.subject.survey.path(wasted.node).to_string().as_bytes());
    let figures = format!("{:>7} {:>6} ", human::size(wasted.bytes), wasted.copies);
    let room = usize::from(width).saturating_sub(figures.len());
    Line::raw(figures + &end_of(&path, room))
}

/// The end of a path that is too long: its last names say most.
fn end_of(path: &str, columns: usize) -> String {
    let mut rest = path;
    while measure_text_width(rest) + 1 > columns && measure_text_width(path) > columns {
        let mut characters = rest.chars();
        if characters.next().is_none() {
            break;
        }
        rest = characters.as_str();
    }
    if rest.len() == path.len() { path.to_owned() } else { format!("…{rest}") }
}

fn file(explorer: &Explorer, row: &Row, palette: Palette) -> Line<'static> {
    let shown = explorer.projection.get(row.node);
    let sign = match shown.mark {
        Mark::Did(Action::Added) => "A",
        Mark::Did(Action::Changed) => "C",
        Mark::Did(Action::Removed) => "D",
        Mark::Inside => "*",
        Mark::Unchanged | Mark::Absent => " ",
    };
    let name = harmless(explorer.subject.survey.name(row.node));
    let (arrow, end) = match (row.open, shown.what) {
        (Some(true), _) => ("▾ ", "/"),
        (Some(false), _) => ("▸ ", "/"),
        (None, Some(What::Link)) => ("  ", "@"),
        (None, _) => ("  ", ""),
    };
    let indent = "  ".repeat(row.depth);
    let size = human::size(shown.size);
    Line::from(vec![
        Span::styled(sign, palette.mark(shown.mark)),
        Span::raw(format!(" {size:>7} {indent}{arrow}")),
        Span::styled(format!("{name}{end}"), palette.mark(shown.mark)),
    ])
}

/// What is known of what is under the cursor.
fn details(explorer: &Explorer) -> String {
    let survey = &explorer.subject.survey;
    match explorer.pane {
        Pane::Files => explorer.current().map(|node| story(explorer, node)).unwrap_or_default(),
        Pane::Wasted => {
            let wasted = survey.wasted().get(explorer.wasted.cursor);
            wasted.map(|wasted| story(explorer, wasted.node)).unwrap_or_default()
        }
        Pane::Layers => {
            let Some(layer) = survey.layers().get(explorer.layer()) else { return String::new() };
            let (added, changed, removed) = (layer.added, layer.changed, layer.removed);
            format!("{added} added, {changed} changed, {removed} deleted  {}", made_by(explorer, explorer.layer()))
        }
    }
}

/// A path with what each layer did to it.
fn story(explorer: &Explorer, node: NodeId) -> String {
    let survey = &explorer.subject.survey;
    let one = |happened: &Happened| {
        let layer = happened.layer + 1;
        match (happened.action, happened.what) {
            (Action::Removed, _) => format!("deleted in {layer}"),
            (Action::Added, What::File(size)) => format!("{} in {layer}", human::size(size)),
            (Action::Added, _) => format!("added in {layer}"),
            (Action::Changed, What::File(size)) => format!("{} again in {layer}", human::size(size)),
            (Action::Changed, _) => format!("changed in {layer}"),
        }
    };
    let happened: Vec<String> = survey.history(node).iter().map(one).collect();
    format!("{}: {}", harmless(survey.path(node).to_string().as_bytes()), happened.join(", "))
}

fn prompt(explorer: &Explorer) -> Line<'static> {
    let search = &explorer.search;
    match (search.typing, search.text.is_empty()) {
        (true, _) => Line::raw(format!("/{}▏  Enter keeps, Esc ends", search.text)),
        (false, false) => Line::raw(format!("/{}  Esc shows all again  q quit", search.text)),
        (false, true) => Line::raw(HELP),
    }
}

/// Names from elsewhere must not write to the terminal.
fn harmless(bytes: &[u8]) -> String {
    clean(bytes, false).replace(char::is_control, "?")
}

#[cfg(test)]
pub(super) mod tests;
