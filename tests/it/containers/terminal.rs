//! `run -it` in front of a real terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::is_root;
use crate::support::Store;

/// A terminal whose other end a test holds.
pub struct Terminal {
    pub outer: File,
    seen: String,
}

pub fn open() -> (Terminal, OwnedFd) {
    let outer = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&outer).unwrap();
    rustix::pty::unlockpt(&outer).unwrap();
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    (Terminal { outer: outer.into(), seen: String::new() }, inner)
}

impl Terminal {
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.outer, size).unwrap();
    }

    pub fn types(&mut self, text: &str) {
        self.outer.write_all(text.as_bytes()).unwrap();
    }

    /// Some more of what is shown, at least a byte.
    #[track_caller]
    pub fn reads(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let count = self.outer.read(&mut buffer).unwrap_or(0);
        assert_ne!(count, 0, "nothing comes any more");
        buffer.truncate(count);
        buffer
    }

    /// Reads what is shown until it has this in it.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.outer.read(&mut buffer).unwrap_or(0);
            assert_ne!(count, 0, "{text:?} never came: {}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..count]);
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }
}

/// Starts the program in front of a terminal.
pub(super) fn start(store: &Store, words: &[&str], inner: OwnedFd) -> Child {
    let program = store.command();
    // The terminal must be the controlling one of whoever is to hear of its size.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args()).args(words);
    let stream = || Stdio::from(inner.try_clone().unwrap());
    command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap()
}

#[test]
fn a_shell_has_a_terminal_of_its_own() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let (mut terminal, inner) = open();
    terminal.resize(30, 90);
    let before = rustix::termios::tcgetattr(&terminal.outer).unwrap();
    let mut child = start(&store, &["run", "-it", "--rm", "--name", "shell", "busybox", "sh"], inner);
    // What is typed is echoed, so that what is waited for must not stand in it.
    terminal.types("echo at $(tty) $(stty size) $TERM\n");
    terminal.shows("at /dev/pts/0 30 90 xterm\r\n");
    terminal.resize(41, 101);
    terminal.types("until [ \"$(stty size)\" = '41 101' ]; do :; done; echo re''sized\n");
    terminal.shows("resized");
    // Ctrl-C ends what runs in the shell, and neither the shell nor imgbuild.
    terminal.types("sh -c 'echo read''y; cat'\n");
    terminal.shows("ready");
    terminal.types("\x03");
    // Not before the shell has it again: what dies could still take it.
    terminal.shows("# ");
    terminal.types("echo st''ill here\n");
    terminal.shows("still here");
    assert!(store.run(&["ps"]).contains("shell"));
    terminal.types("exit 5\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let after = rustix::termios::tcgetattr(&terminal.outer).unwrap();
    assert_eq!(
        (after.local_modes, after.input_modes, after.output_modes),
        (before.local_modes, before.input_modes, before.output_modes),
        "the terminal is as it was"
    );
    assert_eq!(store.run(&["ps", "-aq"]), "");
}

#[test]
fn a_terminal_is_not_made_of_a_pipe() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    super::fails(&store, &["run", "-it", "--rm", "busybox", "sh"], 125, &["-t needs a terminal"]);
    // Only to show, it needs none.
    assert_eq!(store.run(&["run", "-t", "--rm", "busybox", "sh", "-c", "tty; stty size"]), "/dev/pts/0\r\n24 80\r\n");
}
