//! `cofre protection …` and `cofre item …`: which machines a vault protects.

use clap::{Args, Subcommand};
use cofre_compute::EncryptionClass;
use cofre_recovery::{
    item::{HealthStatus, ProtectedItem},
    job::Finished,
    policy::DEFAULT_POLICY,
};
use serde_json::{Value, json};

use crate::{
    Context,
    control::{
        backup::{self, NowArgs},
        job, outcome,
        selection::{AnyVaultArgs, ItemArgs, VaultArgs, confirmed, machine_id},
        table::{instant, instant_or_dash, table},
    },
    exit::Exit,
    output::Done,
    report::Result,
};

const CHECK: &str = "Checks what `enable` checks, and changes nothing.

Example:
  cofre protection check --vault-name bv --vm web";

const ENABLE: &str = "No recovery point is made: `cofre backup now` makes the first.

Example:
  cofre protection enable --vault-name bv --vm web";

const DISABLE: &str = "Deleting must be confirmed with --yes. Until deleted data are gone for good, nothing is restored from them, and the
machine cannot be protected anew.

Examples:
  cofre protection disable --vault-name bv --item-name web
  cofre protection disable --vault-name bv --item-name web --delete-backup-data --yes";

#[derive(Debug, Subcommand)]
pub(crate) enum ProtectionCommand {
    /// Says whether a machine can be protected, and which key vaults must be readable
    #[command(after_help = CHECK, alias = "check-vm")]
    Check(MachineArgs),
    /// Protects a machine
    #[command(after_help = ENABLE, alias = "enable-for-vm")]
    Enable(MachineArgs),
    /// Gives a protected machine another policy
    SetPolicy(PolicyArgs),
    /// Stops the protection of a machine; what is there is kept, or deleted
    #[command(after_help = DISABLE)]
    Disable(DisableArgs),
    /// Goes on with the protection of a machine that was stopped
    Resume(PolicyArgs),
    /// Takes the deletion of backup data back; the protection stays stopped
    Undelete(ItemArgs),
    /// Lists the protected machines
    List(AnyVaultArgs),
    /// The same as `cofre backup now`
    #[command(hide = true)]
    BackupNow(NowArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ItemCommand {
    /// Lists the protected machines
    List(AnyVaultArgs),
    /// Shows a protected machine, and what has to be done for it
    Show(ItemArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Name of the machine in the resource group, or its resource id
    #[arg(long, value_name = "NAME")]
    vm: String,
    /// Name of the policy
    #[arg(long, short = 'p', value_name = "POLICY", default_value = DEFAULT_POLICY)]
    policy_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// Name of the policy, of the same vault
    #[arg(long, short = 'p', value_name = "POLICY", default_value = DEFAULT_POLICY)]
    policy_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct DisableArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// Delete all recovery points too: after the days that the vault keeps deleted data, or at once where it keeps none
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value = "false", value_name = "true|false")]
    delete_backup_data: bool,
    /// Confirm
    #[arg(long, short = 'y')]
    yes: bool,
}

/// An item without its repository's secret, sealed as it may be.
pub(crate) fn answer(item: &ProtectedItem) -> Value {
    json!({
        "id": item.id,
        "name": item.id.name(),
        "vaultId": item.vault_id,
        "friendlyName": item.friendly_name,
        "sourceResourceId": item.source_resource_id,
        "policyId": item.policy_id,
        "protectionState": item.protection_state,
        "healthStatus": item.health_status,
        "healthDetails": item.health_details,
        "lastBackupStatus": item.last_backup_status,
        "lastBackupTime": item.last_backup_time,
        "repository": item.repository.as_ref().map(|r| &r.id),
        "created": item.created,
        "deletion": item.deletion,
    })
}

fn text(items: &[ProtectedItem]) -> String {
    let row = |i: &ProtectedItem| {
        vec![
            i.friendly_name.clone(),
            i.vault_id.name().to_owned(),
            match &i.deletion {
                None => format!("{:?}", i.protection_state),
                Some(deletion) => format!("deleted, goes at {}", instant(deletion.purge_due)),
            },
            format!("{:?}", i.health_status),
            i.last_backup_status.clone().unwrap_or_else(|| "-".to_owned()),
            instant_or_dash(i.last_backup_time),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    table("No machine is protected.", &["MACHINE", "VAULT", "STATE", "HEALTH", "LAST BACKUP", "AT"], &rows)
}

/// How a machine is encrypted, in words.
pub(crate) fn class(class: EncryptionClass) -> &'static str {
    match class {
        EncryptionClass::None => "not encrypted, as far as its settings say",
        EncryptionClass::BekOnly => "encrypted with a disk key that no key wraps",
        EncryptionClass::BekAndKek => "encrypted, its disk keys wrapped by keys of a key vault",
    }
}

fn list(args: &AnyVaultArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let items = home.recovery.items(args.id(&home)?.as_ref())?;
    let json = json!({"items": items.iter().map(answer).collect::<Vec<_>>()});
    Done::new(&json, text(&items), Exit::Ok)
}

pub(crate) fn run_item(command: ItemCommand, context: &Context) -> Result<Done> {
    match command {
        ItemCommand::List(args) => list(&args, context),
        ItemCommand::Show(args) => {
            let home = context.open_home()?;
            let item = args.item(&home)?;
            let mut shown = text(std::slice::from_ref(&item));
            if item.health_status == HealthStatus::ActionRequired {
                for detail in &item.health_details {
                    let next = detail.recommendations.join(" ");
                    shown.push_str(&format!("  {}: {}. {next}\n", detail.code, detail.message));
                }
            }
            Done::new(&answer(&item), shown, Exit::Ok)
        }
    }
}

pub(crate) fn run(command: ProtectionCommand, context: &Context) -> Result<Done> {
    match command {
        ProtectionCommand::List(args) => list(&args, context),
        ProtectionCommand::BackupNow(args) => backup::now(&args, context),
        ProtectionCommand::Check(args) => check(&args, context),
        ProtectionCommand::Enable(args) => enable(&args, context),
        ProtectionCommand::SetPolicy(args) => {
            let home = context.open_home()?;
            let item = args.item.item(&home)?;
            let text = format!("{} is protected with {}.\n", item.friendly_name, args.policy_name);
            changed(home.recovery.change_policy(&item.id, &args.policy_name)?, text)
        }
        ProtectionCommand::Resume(args) => {
            let home = context.open_home()?;
            let item = args.item.item(&home)?;
            let text = format!("{} is protected again, with {}.\n", item.friendly_name, args.policy_name);
            changed(home.recovery.resume_protection(&item.id, &args.policy_name)?, text)
        }
        ProtectionCommand::Undelete(args) => {
            let home = context.open_home()?;
            let item = args.item(&home)?;
            let name = &item.friendly_name;
            let text = format!(
                "The backup data of {name} are kept; its protection is stopped (`cofre protection resume`).\n"
            );
            changed(home.recovery.undelete(&item.id)?, text)
        }
        ProtectionCommand::Disable(args) => disable(&args, context),
    }
}

fn changed(finished: Finished<ProtectedItem>, text: String) -> Result<Done> {
    let item = finished.result.map_err(|e| outcome::failure(e, &finished.job))?;
    Done::new(&json!({"job": finished.job.id, "item": answer(&item)}), text, Exit::Ok)
}

fn disable(args: &DisableArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let item = args.item.item(&home)?;
    let name = &item.friendly_name;
    if !args.delete_backup_data {
        let text = format!("The protection of {name} is stopped; its recovery points are kept.\n");
        return changed(home.recovery.stop_protection(&item.id)?, text);
    }
    confirmed(args.yes, &format!("the deletion of all recovery points of {name}"))?;
    let job = home.recovery.delete_backup_data(&item.id)?;
    // where the vault keeps no deleted data, they are removed here and now
    let job = home.recovery.run_queued(&job.id, &context.progress, &context.cancel)?;
    let left = home.recovery.item(&item.id).ok();
    let text = match left.as_ref().and_then(|item| item.deletion) {
        None => format!("The recovery points of {name} are deleted.\n  job {}\n", job.id),
        Some(deletion) => format!(
            "The recovery points of {name} are deleted; until {} that can be taken back (`cofre protection undelete`).\n  \
             job {}\n",
            instant(deletion.purge_due),
            job.id
        ),
    };
    Done::new(
        &json!({"job": job.id, "status": job.status, "item": left.as_ref().map(answer)}),
        text,
        job::exit(&job),
    )
}

fn check(args: &MachineArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let machine = machine_id(&home, &args.vault.group.resource_group, &args.vm)?;
    let found = home.recovery.check_protection(&args.vault.id(&home)?, &machine, &args.policy_name)?;
    let mut text = format!("{} can be protected. It is {}.\n", machine.name(), class(found.class));
    if !found.key_vaults.is_empty() {
        text.push_str("The backup service reads these key vaults:\n");
        for vault in &found.key_vaults {
            text.push_str(&format!("  {} ({vault})\n", vault.name()));
        }
    }
    let json = json!({
        "machine": machine,
        "encryptionClass": found.class,
        "keyVaults": found.key_vaults,
    });
    Done::new(&json, text, Exit::Ok)
}

fn enable(args: &MachineArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let machine = machine_id(&home, &args.vault.group.resource_group, &args.vm)?;
    let finished = home.recovery.enable_protection(&args.vault.id(&home)?, &machine, &args.policy_name)?;
    let item = finished.result.map_err(|e| outcome::failure(e, &finished.job))?;
    let text = format!(
        "{} is protected by the vault {} with {}; its first backup is still to come (`cofre backup now`).\n",
        item.friendly_name,
        item.vault_id.name(),
        item.policy_id.name()
    );
    Done::new(&json!({"job": finished.job.id, "item": answer(&item)}), text, Exit::Ok)
}
