//! Tells the story: lines on standard output while it happens, or one JSON object at the end.

use std::{
    io::{self, Write},
    time::Instant,
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::quantity;

/// A step that is over.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    number: usize,
    title: String,
    lines: Vec<String>,
    duration_ms: u64,
}

/// Tells what happens.
pub(crate) struct Narrator {
    aloud: bool,
    began: Instant,
    step_began: Instant,
    steps: Vec<Step>,
}

fn elapsed(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Narrator {
    /// Tells aloud, or keeps everything for the end.
    pub(crate) fn new(aloud: bool) -> Self {
        let now = Instant::now();
        Self { aloud, began: now, step_began: now, steps: Vec::new() }
    }

    fn print(&self, line: &str) {
        if self.aloud {
            // who stopped listening is not told
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    /// Begins a step; the one before is over.
    pub(crate) fn step(&mut self, title: impl Into<String>) {
        self.end_step();
        let (title, number) = (title.into(), self.steps.len() + 1);
        self.print(&format!("\n{number:2}  {title}"));
        self.steps.push(Step { number, title, lines: Vec::new(), duration_ms: 0 });
        self.step_began = Instant::now();
    }

    /// Says something of the step.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.print(&format!("    {line}"));
        if let Some(step) = self.steps.last_mut() {
            step.lines.push(line);
        }
    }

    fn end_step(&mut self) {
        let took = elapsed(self.step_began);
        let Some(step) = self.steps.last_mut() else { return };
        step.duration_ms = took;
        let text = format!("    ({})", quantity::milliseconds(took));
        self.print(&text);
    }

    /// The end: everything as JSON, and how long it took.
    pub(crate) fn end(mut self) -> (Value, u64) {
        self.end_step();
        let took = elapsed(self.began);
        (json!({"ok": true, "steps": self.steps, "durationMs": took}), took)
    }
}
