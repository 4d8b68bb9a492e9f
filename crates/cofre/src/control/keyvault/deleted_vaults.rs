//! Key vaults that are deleted.

use clap::Args;
use cofre_arm::{ApiError, Problem};
use cofre_keyvault::DeletedVault;
use cofre_recovery::key_vault_error;
use serde_json::{Value, json};

use super::{
    keys::all,
    vaults::{NameArgs, answer as vault_answer, shown},
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
    vault: NameArgs,
    /// Accepted: nothing is asked before what can be recovered
    #[arg(long, short = 'y', hide = true)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// Confirms it
    #[arg(long, short = 'y')]
    yes: bool,
}

fn copies(name: &str, home: &Home) -> Result<usize> {
    Ok(home.recovery.copies(|url| url.vault.eq_ignore_ascii_case(name))?)
}

fn answer(deleted: &DeletedVault, home: &Home) -> Value {
    let mut answer = vault_answer(&deleted.vault, home);
    answer["deletionDate"] = json!(deleted.deletion.deleted);
    answer["scheduledPurgeDate"] = json!(deleted.deletion.scheduled_purge);
    answer
}

/// Refuses what is final unless it was confirmed; says how many recovery points hold a copy.
pub(super) fn confirm_final(yes: bool, what: &str, copies: usize) -> Result<()> {
    if yes {
        return Ok(());
    }
    let held = match copies {
        0 => "no recovery point holds a copy of it".to_owned(),
        1 => "1 recovery point holds a copy of it".to_owned(),
        many => format!("{many} recovery points hold a copy of it"),
    };
    let message = format!("purging {what} is final, and {held}");
    Err(ApiError::new(Problem::Conflict, message).recommend("Add `--yes` to purge it all the same.").into())
}

pub(super) fn delete(args: &DeleteArgs, home: &Home) -> Result<Done> {
    let name = &args.vault.name;
    let copies = copies(name, home)?;
    let deleted = home.key_vaults.delete_vault(&home.operator(), name).map_err(key_vault_error)?;
    let text = format!(
        "Key vault {name} was deleted. It can be recovered until {}. Recovery points that hold copies of its keys: \
         {copies}.\n",
        instant(deleted.deletion.scheduled_purge)
    );
    let json = json!({
        "deleted": name,
        "deletionDate": deleted.deletion.deleted,
        "scheduledPurgeDate": deleted.deletion.scheduled_purge,
        "recoveryPointsWithCopies": copies,
    });
    Done::new(&json, text, Exit::Ok)
}

pub(super) fn list(home: &Home) -> Result<Done> {
    let vaults = all(|page| home.key_vaults.list_deleted_vaults(page))?;
    let row = |d: &DeletedVault| {
        let protected = if d.vault.purge_protection { "yes" } else { "no" };
        vec![
            d.vault.name.clone(),
            instant(d.deletion.deleted),
            instant(d.deletion.scheduled_purge),
            protected.to_owned(),
        ]
    };
    let rows: Vec<_> = vaults.iter().map(row).collect();
    let headings = ["NAME", "DELETED", "RECOVERABLE UNTIL", "PURGE PROTECTION"];
    let json = json!({"deletedKeyVaults": vaults.iter().map(|d| answer(d, home)).collect::<Vec<_>>()});
    Done::new(&json, table("No key vaults are deleted.", &headings, &rows), Exit::Ok)
}

pub(super) fn show(args: &NameArgs, home: &Home) -> Result<Done> {
    let deleted = home.key_vaults.deleted_vault(&args.name).map_err(key_vault_error)?;
    let text = format!(
        "{} ({})\n  deleted            {}\n  recoverable until  {}\n",
        deleted.vault.name,
        deleted.vault.id,
        instant(deleted.deletion.deleted),
        instant(deleted.deletion.scheduled_purge)
    );
    Done::new(&answer(&deleted, home), text, Exit::Ok)
}

pub(super) fn recover(args: &NameArgs, home: &Home) -> Result<Done> {
    shown(&home.key_vaults.recover_vault(&home.operator(), &args.name).map_err(key_vault_error)?, home)
}

pub(super) fn purge(args: &PurgeArgs, home: &Home) -> Result<Done> {
    let name = &args.vault.name;
    home.key_vaults.deleted_vault(name).map_err(key_vault_error)?;
    let copies = copies(name, home)?;
    confirm_final(args.yes, &format!("the key vault {name} with all of its keys and secrets"), copies)?;
    home.key_vaults.purge_vault(&home.operator(), name).map_err(key_vault_error)?;
    let text =
        format!("Key vault {name} was purged. Recovery points that hold copies of its keys: {copies}.\n");
    Done::new(&json!({"purged": name, "recoveryPointsWithCopies": copies}), text, Exit::Ok)
}

pub(super) fn purge_due(home: &Home) -> Result<Done> {
    let count = home.key_vaults.purge_due(&home.operator()).map_err(key_vault_error)?;
    let text = format!("Key vaults, keys and secrets purged because their date had come: {count}.\n");
    Done::new(&json!({"purged": count}), text, Exit::Ok)
}
