//! `cofre policy …`: the backup policies of a vault.

use std::io::Read as _;

use clap::{Args, Subcommand};
use cofre_arm::{ApiError, Problem};
use cofre_recovery::{
    item::ProtectedItem,
    policy::{DEFAULT_POLICY, Policy, RetentionDuration},
};
use serde_json::{Value, json};

use crate::{
    Context,
    control::{
        protection,
        selection::{VaultArgs, confirmed},
        table::table,
    },
    exit::Exit,
    home::Home,
    output::Done,
    report::{Report, Result},
};

const CREATE: &str = "The file holds a policy as `cofre policy show` prints it, or its `properties` alone.

Example:
  cofre policy get-default-for-vm --vault-name bv1 --json > policy.json
  cofre policy create --vault-name bv1 --name weekly --policy policy.json";

const SET: &str =
    "The change takes effect at once on all machines that use the policy: points of the schedule that \
                   are there get the dates that the new policy gives them.

Example:
  cofre policy show --vault-name bv1 --name weekly --json |
    jq '.properties.timeZone = \"W. Europe Standard Time\"' |
    cofre policy set --vault-name bv1 --name weekly --policy -";

/// Larger than any policy.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Makes a policy
    #[command(after_help = CREATE)]
    Create(PutArgs),
    /// Changes a policy
    #[command(after_help = SET)]
    Set(PutArgs),
    /// Lists the policies of a vault
    List(VaultArgs),
    /// Shows a policy
    Show(ShowArgs),
    /// Shows the policy that every vault has
    GetDefaultForVm(VaultArgs),
    /// Lists the machines that use a policy
    ListAssociatedItems(NameArgs),
    /// Deletes a policy that no machine uses
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Name of the policy
    #[arg(long, short = 'n', value_name = "POLICY", visible_alias = "policy-name", default_value = DEFAULT_POLICY)]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Name of the policy
    #[arg(long, short = 'n', value_name = "POLICY", visible_alias = "policy-name")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    policy: NameArgs,
    /// File with the policy as JSON; `-` is standard input
    #[arg(long = "policy", value_name = "FILE")]
    file: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    policy: NameArgs,
    /// Confirms it
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Reads the policy that was named.
fn read(file: &str) -> Result<Value> {
    let failed = |e: std::io::Error| {
        Report::usage(format!("the policy {file} cannot be read: {e}"))
            .recommend("Name a file with JSON, or `-`.")
    };
    let mut bytes = Vec::new();
    if file == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(Report::usage(format!("the policy {file} is larger than 1 MiB")));
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Report::usage(format!("the policy {file} is no JSON: {e}"))
            .recommend("`cofre policy show --json` prints a policy that can be changed and given back.")
    })
}

/// The policy in the published shape.
fn answer(policy: &Policy, items: u64) -> Value {
    json!({
        "id": policy.id,
        "name": policy.id.name(),
        "type": "Microsoft.RecoveryServices/vaults/backupPolicies",
        "resourceGroup": policy.id.resource_group(),
        "properties": policy.wire(items),
    })
}

fn runs(policy: &Policy) -> String {
    let schedule = &policy.properties.schedule_policy;
    let days: Vec<_> = schedule.schedule_run_days.iter().map(|d| d.name()).collect();
    if days.is_empty() { schedule.schedule_run_frequency.name().to_owned() } else { days.join(", ") }
}

fn kept(policy: &Policy) -> String {
    let retention = &policy.properties.retention_policy;
    let words = |d: RetentionDuration| format!("{} {}", d.count, d.duration_type.name().to_lowercase());
    let ranges = [
        ("daily", retention.daily_schedule.as_ref().map(|s| s.retention_duration)),
        ("weekly", retention.weekly_schedule.as_ref().map(|s| s.retention_duration)),
        ("monthly", retention.monthly_schedule.as_ref().map(|s| s.retention_duration)),
        ("yearly", retention.yearly_schedule.as_ref().map(|s| s.retention_duration)),
    ];
    let ranges: Vec<_> =
        ranges.into_iter().filter_map(|(name, d)| d.map(|d| format!("{name} {}", words(d)))).collect();
    ranges.join(", ")
}

fn text(policies: &[Policy]) -> String {
    let row = |p: &Policy| {
        let time = p.properties.schedule_policy.time_of_day().strftime("%H:%M");
        vec![p.id.name().to_owned(), runs(p), format!("{time} {}", p.properties.time_zone), kept(p)]
    };
    let rows: Vec<_> = policies.iter().map(row).collect();
    table("The vault has no policies.", &["NAME", "RUNS", "AT", "KEPT"], &rows)
}

fn items_text(items: &[ProtectedItem]) -> String {
    let row = |i: &ProtectedItem| {
        vec![i.friendly_name.clone(), format!("{:?}", i.protection_state), i.source_resource_id.to_string()]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    table("No machine uses the policy.", &["MACHINE", "STATE", "ID"], &rows)
}

/// Shows one policy.
fn shown(policy: &Policy, home: &Home) -> Result<Done> {
    let items = home.recovery.policy_items(&policy.id)?.len() as u64;
    Done::new(&answer(policy, items), text(std::slice::from_ref(policy)), Exit::Ok)
}

pub(crate) fn run(command: PolicyCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let recovery = &home.recovery;
    let vault = |args: &VaultArgs| -> Result<_> { Ok(recovery.vault(&args.id(&home)?)?.id) };
    match command {
        PolicyCommand::Create(PutArgs { policy, file }) => {
            let vault = vault(&policy.vault)?;
            if recovery.policies(&vault)?.iter().any(|p| p.id.name().eq_ignore_ascii_case(&policy.name)) {
                let message = format!("the vault {} has a policy {} already", vault.name(), policy.name);
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Change it (`cofre policy set`), or choose another name.")
                    .into());
            }
            let (made, _) = recovery.put_policy(&vault, &policy.name, &read(&file)?)?;
            shown(&made, &home)
        }
        PolicyCommand::Set(PutArgs { policy, file }) => {
            let vault = vault(&policy.vault)?;
            recovery.policy(&vault, &policy.name)?;
            let (changed, _) = recovery.put_policy(&vault, &policy.name, &read(&file)?)?;
            shown(&changed, &home)
        }
        PolicyCommand::List(args) => {
            let vault = vault(&args)?;
            let (policies, counts) = (recovery.policies(&vault)?, recovery.policy_item_counts(&vault)?);
            let items = |p: &Policy| counts.get(&p.id).copied().unwrap_or_default();
            let answers: Vec<_> = policies.iter().map(|p| answer(p, items(p))).collect();
            Done::new(&json!({"policies": answers}), text(&policies), Exit::Ok)
        }
        PolicyCommand::Show(args) => shown(&recovery.policy(&vault(&args.vault)?, &args.name)?, &home),
        PolicyCommand::GetDefaultForVm(args) => {
            shown(&recovery.policy(&vault(&args)?, DEFAULT_POLICY)?, &home)
        }
        PolicyCommand::ListAssociatedItems(args) => {
            let policy = recovery.policy(&vault(&args.vault)?, &args.name)?;
            let items = recovery.policy_items(&policy.id)?;
            Done::new(
                &json!({"items": items.iter().map(protection::answer).collect::<Vec<_>>()}),
                items_text(&items),
                Exit::Ok,
            )
        }
        PolicyCommand::Delete(args) => {
            confirmed(args.yes, &format!("deleting the policy {}", args.policy.name))?;
            let vault = vault(&args.policy.vault)?;
            recovery.delete_policy(&vault, &args.policy.name)?;
            let text = format!("Policy {} was deleted.\n", args.policy.name);
            Done::new(&json!({"deleted": vault.child("backupPolicies", &args.policy.name)?}), text, Exit::Ok)
        }
    }
}
