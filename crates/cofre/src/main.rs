//! The command line of cofre.

mod args;
mod completions;
mod control;
mod demo;
mod disk;
mod disk_spec;
mod examples;
mod exit;
mod home;
mod output;
mod progress;
mod prover;
mod quantity;
mod repo;
mod report;
mod signals;
mod url;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cofre_repo::progress::Progress as _;

use crate::{
    args::{Cli, Command, DiskCommand},
    home::Home,
    output::Done,
    progress::Reporter,
    report::{Report, Result},
};

/// What every command is given besides its arguments.
pub(crate) struct Context {
    pub(crate) progress: Reporter,
    pub(crate) cancel: cofre_repo::Cancel,
    /// Whether results go out as JSON.
    pub(crate) json: bool,
    /// The home that was named, if one was.
    pub(crate) home: Option<PathBuf>,
}

impl Context {
    /// Opens the home, and says which jobs were ended because their process had died.
    pub(crate) fn open_home(&self) -> Result<Home> {
        let (home, closed) = Home::open(&home::folder(self.home.as_deref())?, &self.cancel)?;
        for job in closed {
            let id = job.id;
            self.progress.warn(&match job.outcome {
                Ok(()) => format!("job {id} was ended: the process that ran it had died"),
                Err(e) => format!("job {id} is left open, though its process died: {}", e.in_full()),
            });
        }
        Ok(home)
    }
}

fn main() -> ExitCode {
    if prover::is_child(std::env::args_os()) {
        return prover::run_child();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return output::misunderstood(&e, std::env::args_os()).into(),
    };
    let json = cli.global.is_json();
    let result = signals::watch().and_then(|cancel| {
        let progress = Reporter::start(cli.global.quiet, cli.command.stores());
        let context = Context { progress, cancel, json, home: cli.global.home };
        let result = run(cli.command, &context, !json);
        context.progress.stop();
        result
    });
    output::finish(result, json).into()
}

fn run(command: Command, context: &Context, aloud: bool) -> Result<Done> {
    match command {
        Command::Demo(args) => demo::run(&args, context, aloud),
        Command::Init(args) => control::init::run(args, context),
        Command::Serve(args) => control::serve::run(&args, context),
        Command::Principal(command) => control::principal::run(command, context),
        Command::Role(command) => control::role::run(command, context),
        Command::Host(command) => control::host::run(command, context),
        Command::Keyvault(command) => control::keyvault::run(command, context),
        Command::Vm(command) => control::vm::run(command, context),
        Command::Vault(command) => control::vault::run(command, context),
        Command::Policy(command) => control::policy::run(command, context),
        Command::Protection(command) => control::protection::run(command, context),
        Command::Item(command) => control::protection::run_item(command, context),
        Command::Backup(command) => control::backup::run(command, context),
        Command::Job(command) => control::job::run(command, context),
        Command::Recoverypoint(command) => control::recoverypoint::run(command, context),
        Command::Restore(command) => control::restore::run(command, context),
        Command::Kit(command) => control::kit::run(command, context),
        Command::Audit(command) => control::audit::run(command, context),
        Command::Notifications(command) => control::notifications::run(command, context),
        Command::Repo(command) => repo::run(command, context),
        Command::Disk(DiskCommand::Inspect(args)) => disk::inspect(&args),
        Command::Disk(DiskCommand::Prove(args)) => disk::prove(&args, context),
        Command::Completions(args) => completions::print(&args),
    }
}
