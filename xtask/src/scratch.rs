//! What long-running commands work with: a directory of their own, and a built cofre.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// A directory that is removed when it goes out of scope, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes a new directory in `parent`, or in the system's directory for temporary files.
    pub(crate) fn new(parent: Option<&str>, name: &str, keep: bool) -> Result<Self, Box<dyn Error>> {
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        fs::create_dir_all(&parent)?;
        let parent = parent.canonicalize()?;
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on it stays.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// The cofre to run: what `COFRE_BIN` names, else a release build made now.
pub(crate) fn cofre(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(path) = std::env::var_os("COFRE_BIN") {
        return Ok(PathBuf::from(path).canonicalize().map_err(|e| format!("COFRE_BIN: {e}"))?);
    }
    eprintln!("building cofre (COFRE_BIN=FILE names one that is built)");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--package", "cofre", "--message-format", "json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("cofre cannot be built".into());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        Path::new(path).file_stem()?.eq("cofre").then(|| PathBuf::from(path))
    });
    executable.ok_or_else(|| "cargo names no executable called cofre".into())
}

/// Whether a program is on the `PATH`, and where.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories).map(|d| d.join(name)).find(|p| p.is_file())
}
