//! Programs of e2fsprogs, found and run.

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use super::failed;
use crate::{
    exit::Exit,
    report::{Report, Result},
};

/// Where such programs are when an ordinary user's `PATH` does not say so.
const DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of a program of e2fsprogs.
///
/// # Errors
/// `ToolMissing`, with the name of the package.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from));
    places.find_map(|place| Some(place.join(name)).filter(|program| program.is_file())).ok_or_else(|| {
        Report {
            code: "ToolMissing",
            exit: Exit::Failed,
            message: format!("the program {name} is not installed"),
            causes: Vec::new(),
            recommendations: vec!["Install the package e2fsprogs (`apt-get install e2fsprogs`).".to_owned()],
        }
    })
}

/// Runs a program to its end; what it says is in English.
///
/// # Errors
/// That it is missing, cannot be started, or failed, with what it said.
pub(super) fn run(name: &str, arguments: &[&OsStr]) -> Result<Output> {
    let mut command = Command::new(find(name)?);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().map_err(|e| failed(format!("cannot run {name}"), e))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(failed(format!("{name} failed ({})", output.status), said(&output.stderr)))
}

/// The end of what a program said, for a message.
pub(super) fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
