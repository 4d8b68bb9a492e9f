//! `cofre kit …`: the recovery kit.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofre_recovery::trust::Kit;
use serde_json::json;

use crate::{Context, control::table::table, exit::Exit, output::Done, report::Result};

const CHECK: &str =
    "Opens the envelope of every repository with the kit and compares what is in it with what the home uses.
Exit code 20: the kit does not open one.

Example:
  cofre kit check --kit /media/usb/recovery-kit.json";

#[derive(Debug, Subcommand)]
pub(crate) enum KitCommand {
    /// Checks that the recovery kit opens every repository
    #[command(after_help = CHECK)]
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The kit [default: recovery-kit.json in the home]
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,
}

pub(crate) fn run(command: KitCommand, context: &Context) -> Result<Done> {
    let KitCommand::Check(args) = command;
    let home = context.open_home()?;
    let kit = Kit::read(&args.kit.unwrap_or_else(|| home.layout.kit()))?;
    let checks = home.recovery.check_kit(&kit)?;
    let found = |e: &cofre_arm::ApiError| e.in_full();
    let rows: Vec<_> = checks
        .iter()
        .map(|c| {
            let outcome = c.outcome.as_ref().map_or_else(found, |()| "opened".to_owned());
            vec![c.item.name().to_owned(), c.repository.clone(), outcome]
        })
        .collect();
    let ok = checks.iter().all(|c| c.outcome.is_ok());
    let json = json!({
        "ok": ok,
        "repositories": checks.iter().map(|c| json!({
            "item": c.item,
            "repository": c.repository,
            "ok": c.outcome.is_ok(),
            "message": c.outcome.as_ref().err().map(found),
        })).collect::<Vec<_>>(),
    });
    let text = table("There is no repository yet.", &["ITEM", "REPOSITORY", "KIT"], &rows);
    Done::new(&json, text, if ok { Exit::Ok } else { Exit::Damage })
}
