//! A directory with a repository and its secret, and the commands that work on it.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// No command of these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    directory: TempDir,
    pub(crate) secret: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The JSON object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Exit code and machine code of an error.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, name: &str) -> Value {
        let error = self.expect(code).json()["error"].take();
        assert_eq!(error["code"], name, "{error:#}");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(!error["recommendations"].as_array().unwrap().is_empty(), "{error:#}");
        error
    }
}

/// Waits for a process, but not for ever.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Run {
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut text).unwrap();
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = drain(child.stdout.take().map(|p| Box::new(p) as _));
    let stderr = drain(child.stderr.take().map(|p| Box::new(p) as _));
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > until => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the command hangs:\n{}{}", stdout.join().unwrap(), stderr.join().unwrap());
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    Run { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

impl World {
    /// A directory with a secret and no repository.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let id = directory.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let secret = format!("correct-horse-{id}-battery-staple");
        fs::write(directory.path().join("secret"), format!("{secret}\n")).unwrap();
        Self { directory, secret }
    }

    /// With a repository.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.repo("init", &[]).expect(0);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `cofre …`, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofre"));
        command.args(args).current_dir(self.directory.path());
        command.env_remove("COFRE_FAILPOINT").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `cofre repo VERB repo --secret-file secret --json …`, not started.
    pub(crate) fn repo_command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.command(&["repo", verb, "repo", "--secret-file", "secret", "--json"]);
        command.args(args);
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, mut command: Command) -> Run {
        let run = finish(command.spawn().unwrap());
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains(&self.secret), "the secret is shown: {run:#?}");
        assert!(!shown.contains("panicked"), "{run:#?}");
        run
    }

    #[track_caller]
    pub(crate) fn cofre(&self, args: &[&str]) -> Run {
        self.run(self.command(args))
    }

    #[track_caller]
    pub(crate) fn repo(&self, verb: &str, args: &[&str]) -> Run {
        self.run(self.repo_command(verb, args))
    }

    /// Backs up images of disks, given as `NAME=FILE` below the world's directory.
    #[track_caller]
    pub(crate) fn ingest(&self, name: &str, disks: &[&str], more: &[&str]) -> Value {
        self.repo("ingest", &ingest_args(name, disks, more)).expect(0).json()
    }

    /// Restores a disk as raw, and removes the file `to` first.
    #[track_caller]
    pub(crate) fn restore(&self, point: &Value, disk: &str, to: &str) -> PathBuf {
        let point = point.as_str().unwrap();
        self.repo("restore", &[point, "--disk", disk, "--to", to, "--force"]).expect(0);
        self.path(to)
    }

    /// The ids of all points, oldest first.
    #[track_caller]
    pub(crate) fn points(&self) -> Vec<String> {
        let points = self.repo("points", &[]).expect(0).json()["points"].take();
        points.as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn check_is_clean(&self) -> Value {
        let run = self.repo("check", &["--read-data"]).expect(0).json();
        assert_eq!(run["ok"], true, "{run:#}");
        run
    }

    /// Runs restic, or says that it is not there.
    pub(crate) fn restic(&self, args: &[&str]) -> Option<Output> {
        self.restic_command(args).map(|mut c| c.output().unwrap())
    }

    pub(crate) fn restic_command(&self, args: &[&str]) -> Option<Command> {
        let mut command = tool("restic")?;
        command.args(["-r", "repo", "--no-cache"]).args(args).current_dir(self.directory.path());
        command.env("RESTIC_PASSWORD_FILE", self.path("secret"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(command)
    }

    /// `restic check --read-data` finds nothing to say. Locks of killed processes are not its business.
    #[track_caller]
    pub(crate) fn restic_check(&self) {
        if let Some(output) = self.restic(&["check", "--no-lock", "--read-data"]) {
            let shown = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success() && shown.contains("no errors were found"), "{shown}");
        }
    }

    /// Starts a command and stops it when it has made an object of a kind (`locks`, `cofre/leases`) that
    /// was not there before: from then on it holds what it has taken, and does nothing.
    #[track_caller]
    pub(crate) fn stop_at(&self, mut command: Command, kind: &str) -> Child {
        let before = self.objects(kind);
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while !self.objects(kind).iter().any(|o| !before.contains(o)) {
            assert!(Instant::now() < until, "nothing appears in {kind}");
            assert_eq!(child.try_wait().unwrap(), None, "it ended too early");
            thread::sleep(Duration::from_micros(200));
        }
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        child
    }

    /// Lets a stopped command run to its end.
    #[track_caller]
    pub(crate) fn go_on(&self, child: Child) -> Run {
        kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
        finish(child)
    }

    /// The objects of a kind, by path. Files under construction, ours or restic's, do not count.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut look = vec![self.path("repo").join(kind)];
        while let Some(path) = look.pop() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "tmp" {
                    look.extend(fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
                }
            } else if !name.contains("tmp") {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn ingest_args<'a>(name: &'a str, disks: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["--name", name];
    for disk in disks {
        args.extend(["--disk", disk]);
    }
    args.extend(more);
    args
}

/// A tool that may be absent.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?).any(|d| d.join(name).is_file());
    if !found {
        eprintln!("passed over: {name} is not installed");
        return None;
    }
    Some(Command::new(name))
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}
