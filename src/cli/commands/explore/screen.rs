//! The explorer on a real terminal: what is typed comes in, what changed goes out, and the terminal is put back however it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::{Explorer, Key};
use super::view::{self, Palette};
use crate::cli::{error, interrupt};

/// Shows it until the user has seen enough; the exit code.
pub(super) fn run(explorer: &mut Explorer, palette: Palette) -> io::Result<u8> {
    // In raw mode Ctrl-C is a key like any other. This is for signals of others: whoever waits for events is waked by one.
    interrupt::install(Arc::new(|| {
        let _ = kill(Pid::this(), Signal::SIGWINCH);
    }))?;
    // Also puts the terminal back before a panic is reported.
    let mut terminal = ratatui::try_init()?;
    let result = (|| {
        loop {
            terminal.draw(|frame| view::draw(frame, explorer, palette))?;
            // All that has come meanwhile counts before it is drawn again.
            loop {
                match event::read()? {
                    _ if interrupt::is_interrupted() => return Ok(error::INTERRUPTED),
                    Event::Key(key) if is_interrupt(key) => return Ok(error::INTERRUPTED),
                    Event::Key(key) if key_of(key).is_some_and(|key| !explorer.press(key)) => return Ok(error::OK),
                    _ => {}
                }
                if !event::poll(Duration::ZERO)? {
                    break;
                }
            }
        }
    })();
    ratatui::try_restore()?;
    result
}

fn is_interrupt(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c')
}

fn key_of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release || event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return None;
    }
    Some(match event.code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Esc => Key::Escape,
        KeyCode::Char(character) => Key::Character(character),
        _ => return None,
    })
}
