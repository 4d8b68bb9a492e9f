//! The command line of cofre.

mod args;
mod completions;
#[cfg(test)]
mod demo;
mod disk;
mod disk_spec;
mod examples;
mod exit;
mod output;
mod progress;
mod prover;
mod quantity;
mod repo;
mod report;
mod signals;
mod url;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Cli, Command, DiskCommand},
    output::Done,
    progress::Reporter,
    report::{Report, Result},
};

/// What every command is given besides its arguments.
pub(crate) struct Context {
    pub(crate) progress: Reporter,
    pub(crate) cancel: cofre_repo::Cancel,
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
        let context = Context { progress, cancel };
        let result = run(cli.command, &context);
        context.progress.stop();
        result
    });
    output::finish(result, json).into()
}

fn run(command: Command, context: &Context) -> Result<Done> {
    match command {
        Command::Repo(command) => repo::run(command, context),
        Command::Disk(DiskCommand::Inspect(args)) => disk::inspect(&args),
        Command::Disk(DiskCommand::Prove(args)) => disk::prove(&args, context),
        Command::Completions(args) => completions::print(&args),
    }
}
