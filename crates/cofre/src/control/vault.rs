//! `cofre vault …`: Recovery Services vaults.

use clap::{Args, Subcommand, ValueEnum};
use cofre_recovery::vault::{RecoveryVault, Redundancy};
use serde_json::{Value, json};

use crate::{
    Context,
    control::{
        selection::{GroupArgs, confirmed},
        table::{instant, table},
    },
    exit::Exit,
    output::Done,
    report::Result,
};

const CREATE: &str =
    "A vault protects machines of its own region only. It begins with the policy DefaultPolicy.

Example:
  cofre vault create --name bv";

const RECONCILE: &str =
    "Recovery points that the database does not know are taken up; those whose data are gone are called lost.

Example:
  cofre vault reconcile --name bv";

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Makes a vault
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Lists the vaults
    List(ListArgs),
    /// Shows a vault
    Show(NameArgs),
    /// Deletes a vault that holds nothing
    Delete(DeleteArgs),
    /// Compares the list of recovery points with what the repositories hold
    #[command(after_help = RECONCILE)]
    Reconcile(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the vault
    #[arg(long, short = 'n', value_name = "VAULT", visible_alias = "vault-name")]
    name: String,
    #[command(flatten)]
    group: GroupArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// Region [default: that of the home]
    #[arg(long, short = 'l', value_name = "REGION")]
    location: Option<String>,
    /// How its storage is replicated; kept and shown
    #[arg(long, value_name = "KIND", value_enum, default_value = "GeoRedundant")]
    redundancy: RedundancyName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RedundancyName {
    #[value(name = "GeoRedundant")]
    Geo,
    #[value(name = "LocallyRedundant")]
    Locally,
    #[value(name = "ZoneRedundant")]
    Zone,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this resource group
    #[arg(long, short = 'g', value_name = "GROUP")]
    resource_group: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// Confirms it
    #[arg(long, short = 'y')]
    yes: bool,
}

fn answer(vault: &RecoveryVault) -> Value {
    json!({
        "id": vault.id,
        "name": vault.id.name(),
        "resourceGroup": vault.id.resource_group(),
        "location": vault.location,
        "redundancy": vault.redundancy,
        "created": vault.created,
    })
}

fn text(vaults: &[RecoveryVault]) -> String {
    let row = |v: &RecoveryVault| {
        vec![
            v.id.name().to_owned(),
            v.id.resource_group().unwrap_or_default().to_owned(),
            v.location.clone(),
            format!("{:?}", v.redundancy),
            instant(v.created),
        ]
    };
    let rows: Vec<_> = vaults.iter().map(row).collect();
    table("There are no vaults.", &["NAME", "GROUP", "LOCATION", "REDUNDANCY", "CREATED"], &rows)
}

pub(crate) fn run(command: VaultCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let recovery = &home.recovery;
    let id = |args: &NameArgs| recovery.vault_id(&args.group.resource_group, &args.name);
    match command {
        VaultCommand::Create(args) => {
            let location = args.location.as_deref().unwrap_or(&home.config.place.location);
            let redundancy = match args.redundancy {
                RedundancyName::Geo => Redundancy::GeoRedundant,
                RedundancyName::Locally => Redundancy::LocallyRedundant,
                RedundancyName::Zone => Redundancy::ZoneRedundant,
            };
            let group = &args.vault.group.resource_group;
            let vault = recovery.create_vault(group, &args.vault.name, location, redundancy)?;
            Done::new(&answer(&vault), text(&[vault]), Exit::Ok)
        }
        VaultCommand::List(args) => {
            let mut vaults = recovery.vaults()?;
            if let Some(group) = &args.resource_group {
                vaults.retain(|v| v.id.resource_group().is_some_and(|g| g.eq_ignore_ascii_case(group)));
            }
            let json = json!({"vaults": vaults.iter().map(answer).collect::<Vec<_>>()});
            Done::new(&json, text(&vaults), Exit::Ok)
        }
        VaultCommand::Show(args) => {
            let vault = recovery.vault(&id(&args)?)?;
            let shown = format!("{}  id {}\n", text(std::slice::from_ref(&vault)), vault.id);
            Done::new(&answer(&vault), shown, Exit::Ok)
        }
        VaultCommand::Delete(args) => {
            confirmed(args.yes, &format!("deleting the vault {}", args.vault.name))?;
            let id = id(&args.vault)?;
            recovery.delete_vault(&id)?;
            Done::new(&json!({"deleted": id}), format!("Vault {} was deleted.\n", id.name()), Exit::Ok)
        }
        VaultCommand::Reconcile(args) => {
            let vault = recovery.vault(&id(&args)?)?;
            let (mut rows, mut items) = (Vec::new(), Vec::new());
            for item in recovery.items(Some(&vault.id))? {
                let done = recovery.reconcile(&item.id)?;
                let changes = [
                    ("adopted", &done.adopted),
                    ("lost", &done.lost),
                    ("found again", &done.found),
                    ("newer than the database", &done.unanchored),
                ];
                for (what, names) in changes {
                    rows.extend(
                        names.iter().map(|n| vec![item.friendly_name.clone(), n.clone(), what.to_owned()]),
                    );
                }
                items.push(json!({
                    "name": item.friendly_name,
                    "adopted": done.adopted,
                    "lost": done.lost,
                    "found": done.found,
                    "unanchored": done.unanchored,
                }));
            }
            let shown = table("The list and the repositories agree.", &["MACHINE", "POINT", "WAS"], &rows);
            Done::new(&json!({"items": items}), shown, Exit::Ok)
        }
    }
}
