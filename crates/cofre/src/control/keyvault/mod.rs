//! `cofre keyvault …`: key vaults, their access policies, keys and secrets.

mod disk_key;
mod files;
mod keys;
mod policies;
mod root_key;
mod secrets;
mod vaults;

use clap::Subcommand;
use cofre_keyvault::{Attributes, ItemProperties};
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
    /// Deletes a key vault with all of its keys and secrets, for good
    Delete(vaults::DeleteArgs),
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
        KeyvaultCommand::Delete(args) => vaults::delete(&args, &home),
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
fn attributes(attributes: &Attributes) -> Value {
    json!({
        "enabled": attributes.enabled,
        "notBefore": attributes.not_before,
        "expires": attributes.expires,
        "created": attributes.created,
        "updated": attributes.updated,
    })
}

/// A version of a key or secret, without material.
fn properties(id: &str, item: &ItemProperties) -> Value {
    json!({
        "id": id,
        "name": item.name,
        "version": item.version,
        "contentType": item.content_type,
        "attributes": attributes(&item.attributes),
        "tags": item.tags,
    })
}
