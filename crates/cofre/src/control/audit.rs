//! `cofre audit …`: what was done, and whether the record of it is whole.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use cofre_store::{ErrorKind, EventRow};
use serde_json::{Value, json};

use crate::{
    Context,
    control::table::{instant, table},
    exit::Exit,
    home::Home,
    output::Done,
    report::{Report, Result},
};

const VERIFY: &str = "Each writer's events are a chain: each holds the hash of the one before. A chain does not show that its end was
cut off; recovery points hold anchors that do (`cofre vault reconcile`). Exit code 20: an event was changed.

Example:
  cofre audit verify --json";

const EXPORT: &str = "Example:
  cofre audit export > audit.jsonl";

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Checks that no event was changed
    #[command(after_help = VERIFY)]
    Verify,
    /// Writes all events to standard output, one JSON object a line
    #[command(after_help = EXPORT)]
    Export(ExportArgs),
    /// Lists the latest events
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Only events of this writer: `keyvault` or `recovery`
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only events of this writer: `keyvault` or `recovery`
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// At most this many of each writer
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u16,
}

const PAGE: usize = 500;

fn writers(home: &Home, only: Option<&str>) -> Result<Vec<String>> {
    let mut writers = home.store.writers()?;
    writers.retain(|w| only.is_none_or(|o| w == o));
    Ok(writers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn answer(event: &EventRow) -> Value {
    json!({
        "writer": event.writer,
        "sequence": event.sequence,
        "time": event.time,
        "hash": hex(&event.hash),
        "event": serde_json::from_slice::<Value>(&event.body).unwrap_or(Value::Null),
    })
}

pub(crate) fn run(command: AuditCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        AuditCommand::Verify => verify(&home),
        AuditCommand::Export(args) => export(&home, args.writer.as_deref()),
        AuditCommand::List(args) => list(&home, &args),
    }
}

fn verify(home: &Home) -> Result<Done> {
    let (mut chains, mut rows) = (Vec::new(), Vec::new());
    for writer in writers(home, None)? {
        let head = home.store.verify_chain(&writer).map_err(|e| {
            let exit = if e.kind() == ErrorKind::ChainBroken { Exit::Damage } else { Exit::Failed };
            Report { exit, ..Report::from(e) }
        })?;
        rows.push(vec![writer.clone(), head.length.to_string(), hex(&head.hash)]);
        chains.push(json!({"writer": writer, "events": head.length, "head": hex(&head.hash)}));
    }
    let text = table("Nothing was done yet.", &["WRITER", "EVENTS", "HASH OF THE LAST"], &rows);
    Done::new(&json!({"ok": true, "chains": chains}), text, Exit::Ok)
}

fn export(home: &Home, writer: Option<&str>) -> Result<Done> {
    let mut count = 0_u64;
    let mut out = io::stdout().lock();
    for writer in writers(home, writer)? {
        let mut from = 1;
        loop {
            let page = home.store.events(&writer, from, PAGE)?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            for event in &page {
                count += 1;
                if let Err(e) = writeln!(out, "{}", answer(event)) {
                    // `cofre audit export | head` has seen enough
                    if e.kind() == io::ErrorKind::BrokenPipe {
                        return Done::nothing(Exit::Ok);
                    }
                    let failed = cofre_arm::ApiError::new(
                        cofre_arm::Problem::StateUnavailable,
                        format!("the export ended after {count} events"),
                    );
                    return Err(failed.because(e).into());
                }
            }
        }
    }
    Done::nothing(Exit::Ok)
}

fn list(home: &Home, args: &ListArgs) -> Result<Done> {
    let (mut rows, mut events) = (Vec::new(), Vec::new());
    for writer in writers(home, args.writer.as_deref())? {
        let head = home.store.chain_head(&writer)?;
        let from = head.length.saturating_sub(u64::from(args.limit)) + 1;
        for event in home.store.events(&writer, from, usize::from(args.limit))? {
            let value = answer(&event);
            let field = |name: &str| value["event"][name].as_str().unwrap_or_default().to_owned();
            let object = match (field("vault"), field("object")) {
                (vault, object) if !vault.is_empty() => format!("{vault} {object}"),
                (_, object) => object,
            };
            rows.push(vec![
                instant(event.time),
                writer.clone(),
                field("operation"),
                object.trim().to_owned(),
                field("outcome"),
                field("callerName"),
            ]);
            events.push(value);
        }
    }
    let text =
        table("Nothing was done yet.", &["TIME", "WRITER", "OPERATION", "OBJECT", "OUTCOME", "WHO"], &rows);
    Done::new(&json!({"events": events}), text, Exit::Ok)
}
