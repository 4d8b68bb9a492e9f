//! `cofre recoverypoint …`: what can be restored.

use clap::{Args, Subcommand};
use cofre_recovery::points::RecoveryPoint;
use serde_json::{Value, json};

use crate::{
    Context,
    control::{
        backup::keys,
        selection::ItemArgs,
        table::{instant, table},
    },
    exit::Exit,
    output::Done,
    quantity,
    report::Result,
};

#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryPointCommand {
    /// Lists the recovery points of a machine, the newest first
    List(ItemArgs),
    /// Shows a recovery point and its disks
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// Number of the point, or `latest`
    #[arg(
        long,
        short = 'n',
        value_name = "POINT",
        visible_alias = "rp-name",
        short_alias = 'r',
        default_value = "latest"
    )]
    name: String,
}

fn answer(point: &RecoveryPoint) -> Value {
    let mut value = json!(point);
    value["encrypted"] = point.is_encrypted().into();
    value
}

fn text(points: &[RecoveryPoint]) -> String {
    let row = |p: &RecoveryPoint| {
        let disks: Vec<_> = p.disks.iter().map(|d| format!("{} {}", d.name, d.keys.word())).collect();
        vec![
            p.name.clone(),
            instant(p.time),
            p.kind.clone(),
            if p.is_encrypted() { "yes" } else { "no" }.to_owned(),
            p.state.clone(),
            instant(p.expiry),
            disks.join(", "),
        ]
    };
    let rows: Vec<_> = points.iter().map(row).collect();
    let headings = ["POINT", "TIME", "CONSISTENCY", "ENCRYPTED", "STATE", "KEPT UNTIL", "KEYS"];
    table("There are no recovery points.", &headings, &rows)
}

pub(crate) fn run(command: RecoveryPointCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        RecoveryPointCommand::List(args) => {
            let points = home.recovery.recovery_points(&args.item(&home)?.id)?;
            let json = json!({"recoveryPoints": points.iter().map(answer).collect::<Vec<_>>()});
            Done::new(&json, text(&points), Exit::Ok)
        }
        RecoveryPointCommand::Show(args) => {
            let point = home.recovery.recovery_point(&args.item.item(&home)?.id, &args.name)?;
            let mut shown = text(std::slice::from_ref(&point));
            shown.push_str(&format!("  id in the repository {}\n", point.point));
            for disk in &point.disks {
                shown.push_str(&format!(
                    "  disk {}: {}; {}\n",
                    disk.name,
                    quantity::bytes(disk.size),
                    keys(disk)
                ));
            }
            Done::new(&answer(&point), shown, Exit::Ok)
        }
    }
}
