//! The live display: what runs now at the bottom of the terminal, what is finished above it, scrolled away.
//!
//! Events only change shared state. One thread draws it, at most ten times a second, and only when it differs from what
//! is there; it starts with the first step that really runs and draws nothing in its first tenth of a second, so that a
//! build from the cache is over before it could flicker.
//!
//! The cursor is never hidden and always left at the start of the empty line below the display. So there is nothing to
//! put back, however the program ends.

mod frame;
mod meter;
mod paint;

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Clock, Sink, lock, summary};
use crate::event::{Event, Reporter};

use frame::Board;
use paint::Painter;

/// The time from one drawing to the next.
const PACE: Duration = Duration::from_millis(100);

/// The terminal's columns and rows, asked for at every drawing.
pub type Size = Box<dyn Fn() -> (usize, usize) + Send + Sync>;

/// Shows the live display.
pub struct Tty {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// Told when the state's phase changes.
    changed: Condvar,
    clock: Clock,
    size: Size,
}

struct State {
    board: Board,
    painter: Painter,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has run yet.
    Idle,
    /// The thread draws.
    Live,
    /// Everything is drawn; what comes now is written as it comes.
    Over,
}

impl Tty {
    /// A display on `sink`.
    pub fn new(sink: Sink, clock: Clock, size: Size, colours: bool) -> Self {
        let state = State { board: Board::new(colours), painter: Painter::new(sink), phase: Phase::Idle };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), clock, size };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Takes the display away and leaves what is worth keeping. May be called more than once.
    pub fn finish(&self) {
        {
            let mut state = lock(&self.shared.state);
            if state.phase == Phase::Over {
                return;
            }
            state.phase = Phase::Over;
            self.shared.changed.notify_all();
        }
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has nothing more to draw.
            let _ = thread.join();
        }
        let mut state = lock(&self.shared.state);
        state.board.close();
        self.shared.draw(&mut state);
    }

    fn go_live(&self, state: &mut State) {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || shared.run());
        // Without a thread everything is drawn at the end.
        if let Ok(thread) = thread {
            *lock(&self.thread) = Some(thread);
            state.phase = Phase::Live;
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Reporter for Tty {
    fn report(&self, event: Event) {
        let now = (self.shared.clock)();
        let mut state = lock(&self.shared.state);
        let starts = matches!(event, Event::Started(_) | Event::TaskStarted(..));
        if let Event::Summary(summary) = &event {
            state.board.keep(summary::lines(summary));
        }
        state.board.take(event, now);
        match state.phase {
            Phase::Idle if starts => self.go_live(&mut state),
            Phase::Over => self.shared.draw(&mut state),
            Phase::Idle | Phase::Live => {}
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            let waited = self.changed.wait_timeout_while(state, PACE, |state| state.phase == Phase::Live);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            if state.phase != Phase::Live {
                return;
            }
            self.draw(&mut state);
        }
    }

    fn draw(&self, state: &mut State) {
        let (width, height) = (self.size)();
        let kept = state.board.kept(width);
        let frame = match state.phase {
            Phase::Live => state.board.frame((self.clock)(), width, height),
            Phase::Idle | Phase::Over => Vec::new(),
        };
        state.painter.paint(&kept, &frame, width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Hand, Paper, step};
    use super::*;
    use crate::event::{Outcome, Stream, Summary};

    /// A display that is drawn by hand, not by its thread.
    struct Display {
        hand: Hand,
        paper: Paper,
        tty: Tty,
        size: Arc<Mutex<(usize, usize)>>,
    }

    impl Display {
        fn new(width: usize) -> Self {
            let (hand, paper) = (Hand::default(), Paper::default());
            let size = Arc::new(Mutex::new((width, 24)));
            let asked = size.clone();
            let tty = Tty::new(paper.sink(), hand.clock(), Box::new(move || *lock(&asked)), false);
            let steps = vec![
                step(0, "base", "FROM busybox"),
                step(1, "build 2/3", "RUN make test"),
                step(2, "build 3/3", "COPY a b"),
            ];
            tty.report(Event::Planned(steps));
            // As if the thread ran.
            lock(&tty.shared.state).phase = Phase::Live;
            Self { hand, paper, tty, size }
        }

        fn at(&self, millis: u64, event: Event) {
            self.hand.set(millis);
            self.tty.report(event);
        }

        fn draw(&self) {
            let mut state = lock(&self.tty.shared.state);
            self.tty.shared.draw(&mut state);
        }

        fn screen(&self) -> String {
            paint::testing::screen(&self.paper.bytes(), lock(&self.size).0)
        }
    }

    fn done(step: usize, millis: u64) -> Event {
        Event::Finished(step, Outcome::Done, Duration::from_millis(millis))
    }

    #[test]
    fn shows_what_runs_and_keeps_what_is_finished() {
        let display = Display::new(50);
        display.at(0, Event::Finished(0, Outcome::Cached, Duration::ZERO));
        display.at(100, Event::Started(1));
        display.at(200, Event::Output(1, Stream::Stdout, b"cc a.c\ncc b".to_vec()));
        display.hand.set(1300);
        display.draw();
        assert_eq!(
            display.screen(),
            "\
[+] Building 1.3s (1/3), 1 cached
 => [build 2/3] RUN make test                1.2s
    | cc a.c
    | cc b
"
        );
        display.at(1400, done(1, 1300));
        display.at(1400, Event::Started(2));
        display.draw();
        assert_eq!(
            display.screen(),
            "\
\x20✔ [build 2/3] RUN make test                 1.3s
[+] Building 1.4s (2/3), 1 cached
 => [build 3/3] COPY a b                     0.0s
"
        );
        display.at(1500, done(2, 100));
        display.at(1500, Event::Warning("careful".into()));
        display.at(1500, Event::Summary(Summary { executed: 2, cached: 1, ..Summary::default() }));
        display.tty.finish();
        display.tty.finish();
        assert_eq!(
            display.screen(),
            "\
\x20✔ [build 2/3] RUN make test                 1.3s
 ✔ [build 3/3] COPY a b                      0.1s
 ! careful
Finished in 0.0s: 2 steps run, 1 cached
"
        );
    }

    #[test]
    fn survives_a_change_of_width() {
        let display = Display::new(60);
        display.at(0, Event::Started(1));
        display.at(0, Event::Output(1, Stream::Stdout, "日本語のとても長い行です、本当に長い行です。\n".into()));
        display.draw();
        // A terminal wraps what it shows when it becomes narrower.
        *lock(&display.size) = (30, 24);
        display.hand.set(1000);
        display.draw();
        assert_eq!(
            display.screen(),
            "\
[+] Building 1.0s (0/3)
 => [build 2/3] RUN mak… 1.0s
    | 日本語のとても長い行で…
"
        );
    }

    #[test]
    fn says_how_a_build_ended() {
        let display = Display::new(50);
        display.at(0, Event::Started(1));
        display.at(0, Event::Started(2));
        display.draw();
        display.at(1000, Event::Finished(1, Outcome::Failed("exit code 2".into()), Duration::from_secs(1)));
        display.at(1000, Event::Finished(2, Outcome::Canceled, Duration::from_secs(1)));
        display.tty.finish();
        assert_eq!(
            display.screen(),
            "\
\x20✘ [build 2/3] RUN make test                 1.0s
 - [build 3/3] COPY a b                  canceled
"
        );
    }

    #[test]
    fn a_build_from_the_cache_starts_no_thread() {
        let (hand, paper) = (Hand::default(), Paper::default());
        let tty = Tty::new(paper.sink(), hand.clock(), Box::new(|| (80, 24)), true);
        tty.report(Event::Planned(vec![step(0, "", "FROM a")]));
        tty.report(Event::Finished(0, Outcome::Cached, Duration::ZERO));
        tty.report(Event::Summary(Summary { cached: 1, ..Summary::default() }));
        assert!(lock(&tty.thread).is_none());
        tty.finish();
        assert_eq!(paper.text(), "Finished in 0.0s: nothing to do, 1 step cached\n");
    }

    #[test]
    fn the_thread_ends_with_the_display() {
        let paper = Paper::default();
        let tty = Tty::new(paper.sink(), super::super::clock(), Box::new(|| (80, 24)), false);
        tty.report(Event::Started(0));
        assert!(lock(&tty.thread).is_some());
        tty.report(done(0, 10));
        tty.finish();
        assert!(lock(&tty.thread).is_none());
        assert!(paper.text().contains("✔"), "{}", paper.text());
    }
}
