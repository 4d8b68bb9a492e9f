//! `cofre vault …`: Recovery Services vaults.

use clap::{Args, Subcommand, ValueEnum};
use cofre_recovery::{
    Recovery,
    vault::{RecoveryVault, Redundancy, SoftDelete, SoftDeleteState, VaultChange},
};
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

const CLEAN_UP: &str = "The last recovery point of a machine stays whatever its date is, and a machine whose protection is \
                        stopped keeps all of its points. What no point needs any more is deleted a day later, by the \
                        clean-up of then.

Example:
  cofre vault clean-up --name bv";

const UPDATE: &str = "Tags that are given take the place of all there were.

Example:
  cofre vault update --name bv1 --tags site=berlin owner=ops";

const PROPERTIES: &str =
    "The redundancy is locked once a machine is registered in the vault. Soft delete that is \
                          AlwaysOn stays so.

Example:
  cofre vault backup-properties set --name bv1 --soft-delete-feature-state Enable --soft-delete-duration 30";

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Makes a vault
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Lists the vaults
    List(ListArgs),
    /// Shows a vault
    Show(NameArgs),
    /// Changes a vault
    #[command(after_help = UPDATE)]
    Update(UpdateArgs),
    /// What becomes of its storage and of what is deleted in it
    #[command(subcommand)]
    BackupProperties(BackupPropertiesCommand),
    /// Deletes a vault that holds nothing
    Delete(DeleteArgs),
    /// Deletes recovery points whose date has passed, and frees their space
    #[command(after_help = CLEAN_UP)]
    CleanUp(NameArgs),
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
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// All of its tags; none where none are named
    #[arg(long, value_name = "NAME=VALUE", num_args = 0.., value_parser = tag)]
    tags: Option<Vec<(String, String)>>,
}

fn tag(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("a tag is written NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupPropertiesCommand {
    /// Shows them
    Show(NameArgs),
    /// Changes them
    #[command(after_help = PROPERTIES)]
    Set(SetPropertiesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetPropertiesArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// How its storage is replicated
    #[arg(long, value_name = "KIND", value_enum)]
    backup_storage_redundancy: Option<RedundancyName>,
    /// Whether points may be restored in the other region
    #[arg(long, value_name = "FLAG", value_enum, ignore_case = true)]
    cross_region_restore_flag: Option<Flag>,
    /// Whether deleted items stay for a while
    #[arg(long, value_name = "STATE", value_enum, ignore_case = true)]
    soft_delete_feature_state: Option<SoftDeleteName>,
    /// For how many days: 14 to 180
    #[arg(long, value_name = "DAYS")]
    soft_delete_duration: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Flag {
    #[value(name = "True")]
    On,
    #[value(name = "False")]
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SoftDeleteName {
    #[value(name = "Enable")]
    Enabled,
    #[value(name = "Disable")]
    Disabled,
    #[value(name = "AlwaysOn")]
    AlwaysOn,
}

impl From<RedundancyName> for Redundancy {
    fn from(name: RedundancyName) -> Self {
        match name {
            RedundancyName::Geo => Self::GeoRedundant,
            RedundancyName::Locally => Self::LocallyRedundant,
            RedundancyName::Zone => Self::ZoneRedundant,
        }
    }
}

impl From<SoftDeleteName> for SoftDeleteState {
    fn from(name: SoftDeleteName) -> Self {
        match name {
            SoftDeleteName::Enabled => Self::Enabled,
            SoftDeleteName::Disabled => Self::Disabled,
            SoftDeleteName::AlwaysOn => Self::AlwaysOn,
        }
    }
}

impl SetPropertiesArgs {
    fn change(&self, vault: &RecoveryVault) -> VaultChange {
        let soft_delete = SoftDelete {
            state: self.soft_delete_feature_state.map_or(vault.soft_delete.state, Into::into),
            retention_days: self.soft_delete_duration.unwrap_or(vault.soft_delete.retention_days),
        };
        VaultChange {
            redundancy: self.backup_storage_redundancy.map(Into::into),
            cross_region_restore: self.cross_region_restore_flag.map(|f| matches!(f, Flag::On)),
            soft_delete: Some(soft_delete),
            tags: None,
        }
    }
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
        "tags": vault.tags,
    })
}

/// What becomes of its storage and of what is deleted in it.
fn properties(vault: &RecoveryVault, recovery: &Recovery) -> Result<Done> {
    let locked = recovery.storage_locked(&vault.id)?;
    let json = json!({
        "id": vault.id,
        "name": vault.id.name(),
        "storageType": vault.redundancy,
        "storageTypeState": if locked { "Locked" } else { "Unlocked" },
        "crossRegionRestoreFlag": vault.cross_region_restore,
        "softDeleteFeatureState": vault.soft_delete.state,
        "softDeleteRetentionPeriodInDays": vault.soft_delete.retention_days,
    });
    let rows = [vec![
        vault.id.name().to_owned(),
        format!("{:?}{}", vault.redundancy, if locked { " (locked)" } else { "" }),
        if vault.cross_region_restore { "on" } else { "off" }.to_owned(),
        format!("{:?}, {} days", vault.soft_delete.state, vault.soft_delete.retention_days),
    ]];
    let text = table("", &["NAME", "REDUNDANCY", "CROSS-REGION RESTORE", "SOFT DELETE"], &rows);
    Done::new(&json, text, Exit::Ok)
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

/// Cleans up after all items of a vault. One that cannot be cleaned up does not keep the others from it.
fn clean_up(vault: &RecoveryVault, recovery: &Recovery, context: &Context) -> Result<Done> {
    let (mut rows, mut items, mut failed) = (Vec::new(), Vec::new(), None);
    for item in recovery.items(Some(&vault.id))? {
        let done = match recovery.clean_up(&item.id, &context.progress, &context.cancel) {
            Ok(done) => done,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        rows.extend(
            done.expired.iter().map(|n| vec![item.friendly_name.clone(), n.clone(), "deleted".to_owned()]),
        );
        rows.extend(
            done.kept
                .iter()
                .map(|n| vec![item.friendly_name.clone(), n.clone(), "kept: the last".to_owned()]),
        );
        items.push(json!({
            "name": item.friendly_name,
            "expired": done.expired,
            "kept": done.kept,
            "prune": done.prune.map(|p| json!({
                "packsDeleted": p.packs_deleted,
                "bytesFreed": p.bytes_freed,
                "packsWaiting": p.packs_waiting,
                "waitingFor": p.waiting_for,
            })),
        }));
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    let text = table("No recovery point is past its date.", &["MACHINE", "POINT", "WAS"], &rows);
    Done::new(&json!({"items": items}), text, Exit::Ok)
}

pub(crate) fn run(command: VaultCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let recovery = &home.recovery;
    let id = |args: &NameArgs| recovery.vault_id(&args.group.resource_group, &args.name);
    match command {
        VaultCommand::Create(args) => {
            let location = args.location.as_deref().unwrap_or(&home.config.place.location);
            let group = &args.vault.group.resource_group;
            let vault = recovery.create_vault(group, &args.vault.name, location, args.redundancy.into())?;
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
        VaultCommand::Update(args) => {
            let tags = args.tags.map(|tags| tags.into_iter().collect());
            let change = VaultChange { tags, ..VaultChange::default() };
            let vault = recovery.update_vault(&id(&args.vault)?, &change)?;
            Done::new(&answer(&vault), text(std::slice::from_ref(&vault)), Exit::Ok)
        }
        VaultCommand::BackupProperties(BackupPropertiesCommand::Show(args)) => {
            properties(&recovery.vault(&id(&args)?)?, recovery)
        }
        VaultCommand::BackupProperties(BackupPropertiesCommand::Set(args)) => {
            let vault = recovery.vault(&id(&args.vault)?)?;
            properties(&recovery.update_vault(&vault.id, &args.change(&vault))?, recovery)
        }
        VaultCommand::Delete(args) => {
            confirmed(args.yes, &format!("deleting the vault {}", args.vault.name))?;
            let id = id(&args.vault)?;
            recovery.delete_vault(&id)?;
            Done::new(&json!({"deleted": id}), format!("Vault {} was deleted.\n", id.name()), Exit::Ok)
        }
        VaultCommand::CleanUp(args) => clean_up(&recovery.vault(&id(&args)?)?, recovery, context),
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
