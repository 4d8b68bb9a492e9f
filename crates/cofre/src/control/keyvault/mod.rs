//! `cofre keyvault …`: key vaults, their access policies, keys and secrets.

mod deleted_objects;
mod deleted_vaults;
mod disk_key;
mod files;
mod keys;
mod policies;
mod root_key;
mod secrets;
mod vaults;

use clap::Subcommand;
use cofre_keyvault::{Attributes, ItemProperties, Recovery};
use serde_json::{Value, json};

use crate::{Context, output::Done, report::Result};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyvaultCommand {
    /// Makes a key vault; whoever makes it may use it fully
    #[command(after_help = vaults::CREATE)]
    Create(vaults::CreateArgs),
    /// Lists the key vaults
    List,
    /// Shows a key vault and its access policies
    Show(vaults::NameArgs),
    /// Changes what a key vault is enabled for
    Update(vaults::UpdateArgs),
    /// Deletes a key vault with all of its keys and secrets; it can be recovered
    Delete(deleted_vaults::DeleteArgs),
    /// Lists the key vaults that are deleted and can be recovered
    ListDeleted,
    /// Shows a key vault that is deleted
    ShowDeleted(vaults::NameArgs),
    /// Brings a deleted key vault back, with all that is in it
    Recover(vaults::NameArgs),
    /// Ends a deleted key vault with all of its keys and secrets, for good
    Purge(deleted_vaults::PurgeArgs),
    /// Removes what is deleted and past its date, in all key vaults
    PurgeDue,
    /// Says what a principal may do
    #[command(after_help = policies::SET)]
    SetPolicy(policies::SetArgs),
    /// Takes everything from a principal
    DeletePolicy(policies::PrincipalArgs),
    /// Access policies by template
    #[command(subcommand)]
    AccessPolicy(policies::AccessPolicyCommand),
    /// Keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Secrets
    #[command(subcommand)]
    Secret(secrets::SecretCommand),
    /// Wraps the key of a disk and keeps it as a secret, as machines name it
    #[command(after_help = disk_key::EXAMPLES)]
    WrapDiskKey(disk_key::WrapArgs),
    /// Seals the key vaults under a new root key
    #[command(after_help = root_key::EXAMPLES)]
    RotateRootKey(root_key::RotateArgs),
}

pub(crate) fn run(command: KeyvaultCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        KeyvaultCommand::Create(args) => vaults::create(&args, &home),
        KeyvaultCommand::List => vaults::list(&home),
        KeyvaultCommand::Show(args) => vaults::show(&args, &home),
        KeyvaultCommand::Update(args) => vaults::update(&args, &home),
        KeyvaultCommand::Delete(args) => deleted_vaults::delete(&args, &home),
        KeyvaultCommand::ListDeleted => deleted_vaults::list(&home),
        KeyvaultCommand::ShowDeleted(args) => deleted_vaults::show(&args, &home),
        KeyvaultCommand::Recover(args) => deleted_vaults::recover(&args, &home),
        KeyvaultCommand::Purge(args) => deleted_vaults::purge(&args, &home),
        KeyvaultCommand::PurgeDue => deleted_vaults::purge_due(&home),
        KeyvaultCommand::SetPolicy(args) => policies::set(&args, &home),
        KeyvaultCommand::DeletePolicy(args) => policies::delete(&args, &home),
        KeyvaultCommand::AccessPolicy(command) => policies::run(command, &home),
        KeyvaultCommand::Key(command) => keys::run(command, &home),
        KeyvaultCommand::Secret(command) => secrets::run(command, &home),
        KeyvaultCommand::WrapDiskKey(args) => disk_key::wrap(&args, &home),
        KeyvaultCommand::RotateRootKey(args) => root_key::rotate(&args, &home, context),
    }
}

/// Attributes, in the published names.
fn attributes(attributes: &Attributes, recovery: Recovery) -> Value {
    json!({
        "enabled": attributes.enabled,
        "notBefore": attributes.not_before,
        "expires": attributes.expires,
        "created": attributes.created,
        "updated": attributes.updated,
        "recoveryLevel": recovery.level(),
        "recoverableDays": recovery.days,
    })
}

/// A version of a key or secret, without material.
fn properties(id: &str, item: &ItemProperties) -> Value {
    json!({
        "id": id,
        "name": item.name,
        "version": item.version,
        "contentType": item.content_type,
        "attributes": attributes(&item.attributes, item.recovery),
        "tags": item.tags,
    })
}
