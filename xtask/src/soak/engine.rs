//! cofre as a process that is started, killed and asked.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The program and the repository's secret.
#[derive(Debug)]
pub(crate) struct Engine {
    /// cofre.
    pub(crate) program: PathBuf,
    /// The file with the secret.
    pub(crate) secret: PathBuf,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// SIGKILL found it alive.
    pub(crate) was_killed: bool,
    /// Its exit code; −1 if a signal ended it.
    pub(crate) code: i32,
    /// What it printed; null if that is not JSON.
    pub(crate) answer: Value,
    /// Its standard error.
    pub(crate) errors: String,
    /// How long it ran.
    pub(crate) took: Duration,
}

impl Ended {
    /// It did its work, perhaps with warnings.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.code, 0 | 3)
    }

    /// The warnings in its answer.
    pub(crate) fn warnings(&self) -> usize {
        self.answer["warnings"].as_array().map_or(0, Vec::len)
    }

    /// For messages.
    pub(crate) fn describe(&self) -> String {
        let killed = if self.was_killed { ", killed" } else { "" };
        format!(
            "exit code {}{killed} after {:?}\n{}\n{}",
            self.code,
            self.took,
            self.answer,
            self.errors.trim()
        )
    }
}

impl Engine {
    /// Runs `cofre repo VERB REPOSITORY …`, and kills it after a while if that is wanted.
    pub(crate) fn run(
        &self,
        verb: &str,
        repository: &Path,
        rest: &[String],
        kill_after: Option<Duration>,
    ) -> io::Result<Ended> {
        let start = Instant::now();
        let mut child = Command::new(&self.program)
            .args(["--quiet", "--json", "repo", verb])
            .arg(repository)
            .arg("--secret-file")
            .arg(&self.secret)
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(delay) = kill_after {
            thread::sleep(delay);
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        Ok(Ended {
            was_killed: output.status.signal() == Some(9),
            code: output.status.code().unwrap_or(-1),
            answer: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: start.elapsed(),
        })
    }
}
