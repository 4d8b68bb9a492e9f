//! Developer commands: `cargo xtask COMMAND`.
//!
//! | command | what it does |
//! |---|---|
//! | `check-imports` | checks which crate depends on which ([`rooms`]) |
//! | `check-files` | checks long files, names of modules, links in documents ([`files`], [`links`]) |
//! | `bench` | measures cofre and other backup programs side by side ([`mod@bench`]) |
//! | `soak` | kills cofre at random instants and compares the repository with a model ([`soak`]) |

mod bench;
mod files;
mod imports;
mod links;
mod metadata;
mod options;
mod rooms;
mod scratch;
mod soak;
mod splitmix;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What a check found wrong: one line each, for people.
type Findings = Vec<String>;

fn usage() -> String {
    format!(
        "usage: cargo xtask COMMAND\n  check-imports\n  check-files\n  {}\n  {}",
        bench::USAGE,
        soak::USAGE
    )
}

/// The workspace's directory: the one above this crate's.
fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn run(command: &str, arguments: &[String]) -> Result<Findings, Box<dyn Error>> {
    let root = workspace();
    match (command, arguments) {
        ("check-imports", []) => Ok(imports::check(&metadata::read(&root)?)),
        ("check-files", []) => files::check(&root),
        ("bench", arguments) => bench::run(&root, arguments).map(|()| Findings::new()),
        ("soak", arguments) => soak::run(&root, arguments).map(|()| Findings::new()),
        _ => Err(format!("not understood: {command} {}\n{}", arguments.join(" "), usage()).into()),
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(command) = arguments.next() else {
        eprintln!("{}", usage());
        return ExitCode::from(2);
    };
    match run(&command, &arguments.collect::<Vec<_>>()) {
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
