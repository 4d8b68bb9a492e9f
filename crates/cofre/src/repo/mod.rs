//! `cofre repo …`: a repository, with no server and no other state.

mod check;
mod forget;
mod ingest;
mod init;
mod points;
mod prune;
mod restore;
mod target;

use cofre_repo::{Repository, RepositorySecret};

use crate::{
    Context, Report,
    args::{RepoArgs, RepoCommand},
    exit::Exit,
    output::Done,
    report::Result,
};

pub(crate) fn run(command: RepoCommand, context: &Context) -> Result<Done> {
    match command {
        RepoCommand::Init(args) => init::run(&args),
        RepoCommand::Ingest(args) => ingest::run(args, context),
        RepoCommand::Points(args) => points::run(&args, context),
        RepoCommand::Restore(args) => restore::run(&args, context),
        RepoCommand::Check(args) => check::run(&args, context),
        RepoCommand::Forget(args) => forget::run(&args),
        RepoCommand::Prune(args) => prune::run(&args, context),
    }
}

fn secret(args: &RepoArgs) -> Result<RepositorySecret> {
    RepositorySecret::from_file(&args.secret_file).map_err(|e| Report::secret(&e))
}

fn open(args: &RepoArgs) -> Result<Repository> {
    let secret = secret(args)?;
    Ok(Repository::open(args.url.storage()?, &secret)?)
}

/// [`Exit::Ok`], or [`Exit::Warnings`] where something was warned of.
fn exit_with(warnings: &[String]) -> Exit {
    if warnings.is_empty() { Exit::Ok } else { Exit::Warnings }
}
