//! The programs that are compared, and how each is told to do the same.

use std::{
    error::Error,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::scratch;

/// All of them, in the order of the tables.
pub(crate) const NAMES: &[&str] = &["cofre", "restic", "rustic", "borg", "cp"];

/// What is asked of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The first backup.
    First,
    /// The same disk again, with another modification time.
    Unchanged,
    /// The next day's disk.
    Day2,
    /// The next day's disk, with the list of changed ranges, into a copy of the repository of day 1.
    Day2List,
    /// The next day's disk is written out.
    Restore,
    /// Everything stored is read and checked.
    Check,
}

impl Operation {
    /// In the order in which they are run.
    pub(crate) const ALL: [Self; 6] =
        [Self::First, Self::Unchanged, Self::Day2List, Self::Day2, Self::Restore, Self::Check];

    /// Its name in results and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Unchanged => "unchanged",
            Self::Day2 => "day2",
            Self::Day2List => "day2-list",
            Self::Restore => "restore",
            Self::Check => "check",
        }
    }
}

/// A program, and the directory it works in.
#[derive(Debug)]
pub(crate) struct Peer {
    /// One of [`NAMES`].
    pub(crate) name: &'static str,
    program: PathBuf,
    /// The version it gives itself.
    pub(crate) version: String,
    root: PathBuf,
    source: PathBuf,
    changed: PathBuf,
}

impl Peer {
    /// Finds a program; `None` if it is not there.
    pub(crate) fn find(
        name: &'static str,
        cofre: &Path,
        work: &Path,
        source: &Path,
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let found = if name == "cofre" { Some(cofre.to_owned()) } else { scratch::find_program(name) };
        let Some(program) = found else { return Ok(None) };
        let asked = if name == "restic" { "version" } else { "--version" };
        let output = Command::new(&program).arg(asked).output()?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("?").trim().to_owned();
        let (source, changed) = (source.to_owned(), work.join("changed.json"));
        Ok(Some(Self { name, program, version, root: work.join(name), source, changed }))
    }

    /// Its directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Its repository.
    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repo")
    }

    /// The repository that an operation works on.
    pub(crate) fn repository_of(&self, operation: Operation) -> PathBuf {
        let name = if operation == Operation::Day2List { "repo-list" } else { "repo" };
        self.root.join(name)
    }

    /// Makes an empty directory and an empty repository.
    pub(crate) fn prepare(&self, cofre_options: &[&str]) -> Result<(), Box<dyn Error>> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::create_dir_all(self.root.join("out"))?;
        fs::write(self.root.join("secret"), "bench")?;
        let repository = self.repository();
        let mut command = match self.name {
            "cofre" => {
                let mut command = self.cofre("init", &repository);
                command.args(cofre_options);
                command
            }
            "restic" => self.command(&["-q", "init", "--repository-version", "2"]),
            "borg" => self.command(&["init", "-e", "repokey"]),
            "cp" => return Ok(fs::create_dir(repository)?),
            _ => self.command(&["init"]),
        };
        let output = command.output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{} init: {}", self.name, String::from_utf8_lossy(&output.stderr).trim()).into())
    }

    /// The command of an operation; `None` where the program has none.
    pub(crate) fn operation(&self, operation: Operation) -> Option<Command> {
        match operation {
            Operation::Restore => Some(self.restore()),
            Operation::Check => self.check(),
            Operation::First | Operation::Unchanged | Operation::Day2 => Some(self.back_up(operation.name())),
            Operation::Day2List if self.name == "cofre" => {
                let mut command = self.ingest(&self.repository_of(operation), "tag:first", "day2-list");
                let mut changed = OsString::from("os=");
                changed.push(&self.changed);
                command.arg("--changed").arg(changed);
                Some(command)
            }
            Operation::Day2List => None,
        }
    }

    /// Where [`Operation::Restore`] leaves the disk. restic and borg keep the whole path.
    pub(crate) fn restored(&self) -> PathBuf {
        let out = self.root.join("out");
        match self.name {
            "restic" | "borg" => out.join(self.source.strip_prefix("/").unwrap_or(&self.source)),
            _ => out.join("disk.img"),
        }
    }

    fn back_up(&self, tag: &str) -> Command {
        let mut command = match self.name {
            "cofre" => {
                return self.ingest(&self.repository(), if tag == "first" { "none" } else { "latest" }, tag);
            }
            "cp" => {
                let mut command = self.command(&["--sparse=always"]);
                command.arg(&self.source).arg(self.repository().join(tag));
                return command;
            }
            "borg" => self.command(&["create", "--compression", "zstd,3", &format!("::{tag}")]),
            "restic" => self.command(&["-q", "backup", "--tag", tag]),
            _ => self.command(&["backup", "--tag", tag]),
        };
        command.arg(&self.source);
        command
    }

    fn restore(&self) -> Command {
        let out = self.root.join("out");
        match self.name {
            "cofre" => {
                let mut command = self.cofre("restore", &self.repository());
                command.args(["tag:day2", "--disk", "os", "--to"]).arg(self.restored());
                command
            }
            "cp" => {
                let mut command = self.command(&["--sparse=always"]);
                command.arg(self.repository().join("day2")).arg(self.restored());
                command
            }
            "borg" => {
                let mut command = self.command(&["extract", "--sparse", "::day2"]);
                command.current_dir(out);
                command
            }
            "restic" => {
                let mut command = self.command(&["-q", "restore", "latest", "--target"]);
                command.arg(out);
                command
            }
            _ => {
                let mut command = self.command(&["restore"]);
                command.arg(format!("latest:{}", self.source.display())).arg(self.restored());
                command
            }
        }
    }

    fn check(&self) -> Option<Command> {
        match self.name {
            "cofre" => {
                let mut command = self.cofre("check", &self.repository());
                command.arg("--read-data");
                Some(command)
            }
            "restic" => Some(self.command(&["-q", "check", "--read-data"])),
            "borg" => Some(self.command(&["check", "--verify-data"])),
            "cp" => None,
            _ => Some(self.command(&["check", "--read-data"])),
        }
    }

    fn ingest(&self, repository: &Path, parent: &str, tag: &str) -> Command {
        let mut disk = OsString::from("os=");
        disk.push(&self.source);
        let mut command = self.cofre("ingest", repository);
        command.args(["--name", "bench", "--parent", parent, "--tag", tag, "--disk"]).arg(disk);
        command
    }

    fn cofre(&self, verb: &str, repository: &Path) -> Command {
        let mut command = self.command(&["--quiet", "repo", verb]);
        command.arg(repository).arg("--secret-file").arg(self.root.join("secret"));
        command
    }

    /// The program with everything it would otherwise take from the user's home.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let (repository, cache) = (self.repository(), self.root.join("cache"));
        command.args(arguments).env("HOME", &self.root);
        match self.name {
            "restic" => command
                .env("RESTIC_REPOSITORY", repository)
                .env("RESTIC_PASSWORD", "bench")
                .env("RESTIC_CACHE_DIR", cache),
            "rustic" => command
                .env("RUSTIC_REPOSITORY", repository)
                .env("RUSTIC_PASSWORD", "bench")
                .env("RUSTIC_CACHE_DIR", cache)
                .env("RUSTIC_NO_PROGRESS", "true")
                .env("RUSTIC_LOG_LEVEL", "warn"),
            "borg" => command
                .env("BORG_REPO", repository)
                .env("BORG_PASSPHRASE", "bench")
                .env("BORG_BASE_DIR", cache)
                .env("BORG_CHECK_I_KNOW_WHAT_I_AM_DOING", "YES"),
            _ => &mut command,
        };
        command
    }
}
