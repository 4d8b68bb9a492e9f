//! `cofre notifications …`: whether messages arrive.

use clap::Subcommand;
use cofre_notify::Notification;
use cofre_recovery::new_guid;
use serde_json::json;

use crate::{
    Context,
    exit::Exit,
    output::Done,
    report::{Report, Result},
};

const TEST: &str = "Sends one message to each receiver under `notifications` in config.json. Exit code 1: one did not take it.

Example:
  cofre notifications test --home /srv/cofre";

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsCommand {
    /// Sends a message to every receiver, now
    #[command(after_help = TEST)]
    Test,
}

pub(crate) fn run(command: NotificationsCommand, context: &Context) -> Result<Done> {
    let NotificationsCommand::Test = command;
    let home = context.open_home()?;
    let channels = home.config.notifications.channels()?;
    if channels.is_empty() {
        return Err(Report::usage("nobody is told anything")
            .recommend("Name receivers under `notifications` in config.json: docs/monitoring.md."));
    }
    let now = cofre_keyvault::Clock::now(&cofre_keyvault::SystemClock);
    let (mut receivers, mut text, mut exit) = (Vec::new(), String::new(), Exit::Ok);
    for channel in &channels {
        let outcome = channel.send(&Notification::test(new_guid()?, now));
        let name = channel.name();
        let error = outcome.err().map(|e| e.in_full());
        text.push_str(&match &error {
            None => format!("{name}: taken\n"),
            Some(error) => format!("{name}: {error}\n"),
        });
        if error.is_some() {
            exit = Exit::Failed;
        }
        receivers.push(json!({"name": name, "taken": error.is_none(), "error": error}));
    }
    Done::new(&json!({"receivers": receivers}), text, exit)
}
