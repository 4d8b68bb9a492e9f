//! Progress on standard error: bars on a terminal, a line now and then in a log.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cofre_repo::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::quantity;

const REDRAW: Duration = Duration::from_millis(150);
const LINE_EVERY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Silent,
}

/// The work that began last.
struct Work {
    what: String,
    total: u64,
    began: Instant,
    bar: Option<ProgressBar>,
}

#[derive(Default)]
struct State {
    work: Option<Work>,
    warnings: Vec<String>,
    over: bool,
}

struct Shared {
    style: Style,
    /// Whether the command stores something, so that it matters what is new.
    stores: bool,
    done: AtomicU64,
    new: AtomicU64,
    state: Mutex<State>,
    wake: Condvar,
}

/// Prints what the engine reports, and keeps its warnings.
pub(crate) struct Reporter {
    shared: Arc<Shared>,
    printer: Mutex<Option<JoinHandle<()>>>,
}

impl Reporter {
    /// Starts to print.
    pub(crate) fn start(quiet: bool, stores: bool) -> Self {
        let style = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        };
        let shared = Arc::new(Shared {
            style,
            stores,
            done: AtomicU64::new(0),
            new: AtomicU64::new(0),
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let printer = (style != Style::Silent)
            .then(|| {
                let shared = Arc::clone(&shared);
                thread::Builder::new().name("cofre-progress".to_owned()).spawn(move || shared.print()).ok()
            })
            .flatten();
        Self { shared, printer: Mutex::new(printer) }
    }

    /// What was warned of so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.shared.state().warnings.clone()
    }

    /// Stops to print; a bar that did not get to its end is wiped away.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state();
        state.over = true;
        if let Some(bar) = state.work.take().and_then(|w| w.bar) {
            bar.finish_and_clear();
        }
        drop(state);
        self.shared.wake.notify_all();
        let printer = self.printer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(printer) = printer {
            let _ = printer.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The printer's loop.
    fn print(&self) {
        let pause = if self.style == Style::Bars { REDRAW } else { LINE_EVERY };
        let mut state = self.state();
        while !state.over {
            state = self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            let Some(work) = state.work.as_ref().filter(|w| w.began.elapsed() >= pause) else { continue };
            match &work.bar {
                Some(bar) => self.redraw(bar),
                None => say(&self.line(work, true)),
            }
        }
    }

    fn redraw(&self, bar: &ProgressBar) {
        if self.stores {
            bar.set_message(format!(", {} new", quantity::bytes(self.new.load(Ordering::Relaxed))));
        }
        bar.set_position(self.done.load(Ordering::Relaxed));
    }

    /// `disk os: 1.2 GiB of 4.0 GiB (30 %), 80.0 MiB new, 210 MiB/s, 14 s left`.
    fn line(&self, work: &Work, running: bool) -> String {
        let (done, new) = (self.done.load(Ordering::Relaxed), self.new.load(Ordering::Relaxed));
        let elapsed = u64::try_from(work.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = (u128::from(done) * 1000 / u128::from(elapsed)).try_into().unwrap_or(u64::MAX);
        // work that is not about bytes
        if work.total == 0 && done == 0 {
            return format!("{}: {}", work.what, quantity::milliseconds(elapsed));
        }
        let mut line = format!("{}: {}", work.what, quantity::bytes(done));
        if work.total > 0 {
            let percent = u128::from(done) * 100 / u128::from(work.total);
            line.push_str(&format!(" of {} ({percent} %)", quantity::bytes(work.total)));
        }
        if self.stores {
            line.push_str(&format!(", {} new", quantity::bytes(new)));
        }
        if done > 0 {
            line.push_str(&format!(", {}/s", quantity::bytes(rate)));
        }
        if !running {
            line.push_str(&format!(", {}", quantity::milliseconds(elapsed)));
        } else if work.total > done && rate > 0 {
            let left = (work.total - done) / rate;
            line.push_str(&format!(", {} left", quantity::milliseconds(left.saturating_mul(1000))));
        }
        line
    }
}

fn say(line: &str) {
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(io::stderr(), "{line}");
}

impl Progress for Reporter {
    fn begin(&self, what: &str, bytes: u64) {
        let shared = &self.shared;
        shared.done.store(0, Ordering::Relaxed);
        shared.new.store(0, Ordering::Relaxed);
        let bar = (shared.style == Style::Bars).then(|| {
            let bar =
                ProgressBar::with_draw_target((bytes > 0).then_some(bytes), ProgressDrawTarget::stderr());
            let template = if bytes > 0 {
                "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left{msg}"
            } else {
                "{prefix} {binary_bytes} {binary_bytes_per_sec}{msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(what.to_owned());
            bar
        });
        let work = Work { what: what.to_owned(), total: bytes, began: Instant::now(), bar };
        shared.state().work = Some(work);
    }

    fn advance(&self, bytes: u64, new: u64) {
        self.shared.done.fetch_add(bytes, Ordering::Relaxed);
        self.shared.new.fetch_add(new, Ordering::Relaxed);
    }

    fn end(&self) {
        let work = self.shared.state().work.take();
        let Some(work) = work else { return };
        match &work.bar {
            Some(bar) => {
                self.shared.redraw(bar);
                bar.abandon();
            }
            None if self.shared.style == Style::Lines => say(&self.shared.line(&work, false)),
            None => {}
        }
    }

    fn warn(&self, message: &str) {
        let mut state = self.shared.state();
        let line = format!("warning: {message}");
        match state.work.as_ref().and_then(|w| w.bar.as_ref()) {
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
        state.warnings.push(message.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_much_is_new() {
        let reporter = Reporter::start(true, true);
        reporter.advance(1 << 30, 1 << 20);
        let began = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let mut work = Work { what: "disk os".into(), total: 4 << 30, began, bar: None };
        let line = reporter.shared.line(&work, true);
        assert!(line.starts_with("disk os: 1.0 GiB of 4.0 GiB (25 %), 1.0 MiB new, 102 MiB/s, "), "{line}");
        assert!(line.ends_with(" left"), "{line}");
        work.total = 0;
        assert_eq!(reporter.shared.line(&work, true), "disk os: 1.0 GiB, 1.0 MiB new, 102 MiB/s");
        reporter.warn("odd");
        assert_eq!(reporter.warnings(), ["odd"]);
        reporter.stop();
    }
}
