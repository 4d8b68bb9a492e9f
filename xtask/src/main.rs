//! Developer commands: `cargo xtask COMMAND`.
//!
//! | command | what it checks |
//! |---|---|
//! | `check-imports` | which crate may depend on which ([`rooms`]) |
//! | `check-files` | long files, names of modules, links in documents ([`files`], [`links`]) |

mod files;
mod imports;
mod links;
mod metadata;
mod rooms;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: cargo xtask check-imports | check-files";

/// What a check found wrong: one line each, for people.
type Findings = Vec<String>;

/// The workspace's directory: the one above this crate's.
fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn run(command: &str) -> Result<Findings, Box<dyn Error>> {
    let root = workspace();
    match command {
        "check-imports" => Ok(imports::check(&metadata::read(&root)?)),
        "check-files" => files::check(&root),
        other => Err(format!("unknown command {other:?}\n{USAGE}").into()),
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(command), None) = (arguments.next(), arguments.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&command) {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            eprintln!("{command}: {} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
