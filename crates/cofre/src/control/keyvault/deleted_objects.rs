//! Keys and secrets that are deleted.

use clap::Args;
use cofre_arm::ObjectKind;
use cofre_keyvault::{DeletedItem, Deletion, ItemProperties};
use cofre_recovery::key_vault_error;
use serde_json::{Value, json};

use super::{
    deleted_vaults::confirm_final,
    keys::{self, NameArgs, VaultArgs, all},
    properties, secrets,
};
use crate::{
    control::table::{instant, table},
    exit::Exit,
    home::Home,
    output::Done,
    report::Result,
};

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    object: NameArgs,
    /// Accepted: nothing is asked before what can be recovered
    #[arg(long, short = 'y', hide = true)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    object: NameArgs,
    /// Confirms it
    #[arg(long, short = 'y')]
    yes: bool,
}

fn noun(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Key => "key",
        ObjectKind::Secret => "secret",
    }
}

/// Recovery points that hold a copy of an object.
fn copies(kind: ObjectKind, vault: &str, name: &str, home: &Home) -> Result<usize> {
    Ok(home.recovery.copies(|url| {
        url.kind == kind && url.vault.eq_ignore_ascii_case(vault) && url.name.eq_ignore_ascii_case(name)
    })?)
}

fn answer(home: &Home, vault: &str, kind: ObjectKind, item: &ItemProperties, deletion: Deletion) -> Value {
    let url = home.object_url(vault, kind, &item.name, &item.version).to_string();
    let mut answer = properties(&url, item);
    let suffix = &home.config.settings.key_vault_suffix;
    let place = format!("https://{vault}.{suffix}/deleted{}/{}", kind.collection(), item.name);
    answer["recoveryId"] = json!(place);
    answer["deletedDate"] = json!(deletion.deleted);
    answer["scheduledPurgeDate"] = json!(deletion.scheduled_purge);
    answer
}

pub(super) fn delete(kind: ObjectKind, args: &DeleteArgs, home: &Home) -> Result<Done> {
    let DeleteArgs { object: NameArgs { vault: VaultArgs { vault_name: vault }, name }, .. } = args;
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    let copies = copies(kind, vault, name, home)?;
    let deletion = match kind {
        ObjectKind::Key => vaults.delete_key(&operator, vault, name).map(|d| d.deletion),
        ObjectKind::Secret => vaults.delete_secret(&operator, vault, name).map(|d| d.deletion),
    };
    let deletion = deletion.map_err(key_vault_error)?;
    let text = format!(
        "The {} {name} was deleted. It can be recovered until {}. Recovery points that hold a copy of it: {copies}.\n",
        noun(kind),
        instant(deletion.scheduled_purge)
    );
    let json = json!({
        "deleted": name,
        "deletedDate": deletion.deleted,
        "scheduledPurgeDate": deletion.scheduled_purge,
        "recoveryPointsWithCopies": copies,
    });
    Done::new(&json, text, Exit::Ok)
}

pub(super) fn list(kind: ObjectKind, args: &VaultArgs, home: &Home) -> Result<Done> {
    let (operator, vaults, vault) = (home.operator(), &home.key_vaults, &args.vault_name);
    let items = all(|page| match kind {
        ObjectKind::Key => vaults.list_deleted_keys(&operator, vault, page),
        ObjectKind::Secret => vaults.list_deleted_secrets(&operator, vault, page),
    })?;
    let row = |i: &DeletedItem| {
        vec![i.properties.name.clone(), instant(i.deletion.deleted), instant(i.deletion.scheduled_purge)]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let values: Vec<_> = items.iter().map(|i| answer(home, vault, kind, &i.properties, i.deletion)).collect();
    let text = table("There are none.", &["NAME", "DELETED", "RECOVERABLE UNTIL"], &rows);
    Done::new(&json!({"value": values}), text, Exit::Ok)
}

pub(super) fn show(kind: ObjectKind, args: &NameArgs, home: &Home) -> Result<Done> {
    let NameArgs { vault: VaultArgs { vault_name: vault }, name } = args;
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    let (item, deletion) = match kind {
        ObjectKind::Key => {
            let deleted = vaults.deleted_key(&operator, vault, name).map_err(key_vault_error)?;
            let key = deleted.key;
            let (attributes, tags, recovery) = (key.attributes, key.tags, key.recovery);
            let (name, version, content_type) = (key.name, key.version, None);
            (ItemProperties { name, version, content_type, attributes, tags, recovery }, deleted.deletion)
        }
        ObjectKind::Secret => {
            let deleted = vaults.deleted_secret(&operator, vault, name).map_err(key_vault_error)?;
            (deleted.properties, deleted.deletion)
        }
    };
    let text = format!(
        "The {} {}\n  deleted            {}\n  recoverable until  {}\n  recovery level     {}\n",
        noun(kind),
        item.name,
        instant(deletion.deleted),
        instant(deletion.scheduled_purge),
        item.recovery.level()
    );
    Done::new(&answer(home, vault, kind, &item, deletion), text, Exit::Ok)
}

pub(super) fn recover(kind: ObjectKind, args: &NameArgs, home: &Home) -> Result<Done> {
    let NameArgs { vault: VaultArgs { vault_name: vault }, name } = args;
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    match kind {
        ObjectKind::Key => {
            keys::shown(home, vault, &vaults.recover_key(&operator, vault, name).map_err(key_vault_error)?)
        }
        ObjectKind::Secret => {
            let item = vaults.recover_secret(&operator, vault, name).map_err(key_vault_error)?;
            secrets::shown(home, vault, &item)
        }
    }
}

pub(super) fn purge(kind: ObjectKind, args: &PurgeArgs, home: &Home) -> Result<Done> {
    let PurgeArgs { object: NameArgs { vault: VaultArgs { vault_name: vault }, name }, yes } = args;
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    let copies = copies(kind, vault, name, home)?;
    confirm_final(*yes, &format!("the {} {name} with all of its versions", noun(kind)), copies)?;
    match kind {
        ObjectKind::Key => vaults.purge_key(&operator, vault, name),
        ObjectKind::Secret => vaults.purge_secret(&operator, vault, name),
    }
    .map_err(key_vault_error)?;
    let text =
        format!("The {} {name} was purged. Recovery points that hold a copy of it: {copies}.\n", noun(kind));
    Done::new(&json!({"purged": name, "recoveryPointsWithCopies": copies}), text, Exit::Ok)
}
