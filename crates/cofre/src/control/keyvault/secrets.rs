//! Secrets.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use cofre_arm::{ApiError, ObjectKind};
use cofre_keyvault::{
    AttributesChange, ItemProperties, LONGEST_BLOB, LONGEST_SECRET, SecretSpec, SecretUpdate, SecretValue,
};
use cofre_recovery::key_vault_error;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    deleted_objects, files,
    keys::{AttributeArgs, BackupArgs, NameArgs, RestoreArgs, VaultArgs, VersionArgs, all, listed},
    properties,
};
use crate::{control::table::instant, exit::Exit, home::Home, output::Done, report::Result};

const SET: &str = "The value comes from a file or from standard input, never from the command line, which other users of the
host can see. It is text, taken as it is: a newline at its end is part of it.

Examples:
  cofre keyvault secret set --vault-name kv1 --name web --file wrapped.txt --content-type \"Wrapped BEK\"
  printf %s \"$VALUE\" | cofre keyvault secret set --vault-name kv1 --name web --file -";

const DOWNLOAD: &str = "Example:
  cofre keyvault secret download --vault-name kv1 --name web --file value.txt";

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Keeps a secret, or a new version of one
    #[command(after_help = SET)]
    Set(SetArgs),
    /// Lists the secrets
    List(VaultArgs),
    /// Lists the versions of a secret
    ListVersions(NameArgs),
    /// Shows what is known of a secret, but not its value
    Show(VersionArgs),
    /// Writes the value to a new file that only its owner may read
    #[command(after_help = DOWNLOAD)]
    Download(DownloadArgs),
    /// Enables or disables a version of a secret
    SetAttributes(AttributeArgs),
    /// Deletes a secret with all of its versions; it can be recovered
    Delete(deleted_objects::DeleteArgs),
    /// Lists the secrets that are deleted and can be recovered
    ListDeleted(VaultArgs),
    /// Shows a secret that is deleted
    ShowDeleted(NameArgs),
    /// Brings a deleted secret back with all of its versions
    Recover(NameArgs),
    /// Ends a deleted secret with all of its versions, for good
    Purge(deleted_objects::PurgeArgs),
    /// Writes a sealed copy of a secret to a file
    Backup(BackupArgs),
    /// Brings a secret back from a sealed copy
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    secret: NameArgs,
    /// File with the value; `-` is standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// What the value is
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Tags
    #[arg(long, value_name = "NAME=VALUE", num_args = 0..)]
    tags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    secret: VersionArgs,
    /// The new file
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
}

fn tags(given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for tag in given {
        let (name, value) = tag
            .split_once('=')
            .ok_or_else(|| ApiError::invalid(format!("{tag:?} is not of the form NAME=VALUE")))?;
        tags.insert(name.to_owned(), value.to_owned());
    }
    Ok(tags)
}

pub(super) fn shown(home: &Home, vault: &str, item: &ItemProperties) -> Result<Done> {
    let url = home.object_url(vault, ObjectKind::Secret, &item.name, &item.version).to_string();
    let enabled = if item.attributes.enabled { "enabled" } else { "disabled" };
    let mut text = format!("{url}\n  {enabled}, made {}\n", instant(item.attributes.created));
    if let Some(kind) = &item.content_type {
        text.push_str(&format!("  content type {kind}\n"));
    }
    for (name, value) in &item.tags {
        text.push_str(&format!("  {name} = {value}\n"));
    }
    Done::new(&properties(&url, item), text, Exit::Ok)
}

pub(super) fn run(command: SecretCommand, home: &Home) -> Result<Done> {
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    match command {
        SecretCommand::Set(args) => {
            let bytes = files::read(&args.file, LONGEST_SECRET)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| {
                ApiError::invalid(format!("{} is no text", args.file.display()))
                    .recommend("Encode it as base64 first.")
            })?;
            let value = SecretValue::new(Zeroizing::new(text.to_owned())).map_err(key_vault_error)?;
            let (vault, name) = (&args.secret.vault.vault_name, &args.secret.name);
            let spec = SecretSpec {
                value,
                content_type: args.content_type.clone(),
                attributes: AttributesChange::default(),
                tags: tags(&args.tags)?,
            };
            let secret = vaults.set_secret(&operator, vault, name, &spec).map_err(key_vault_error)?;
            shown(home, vault, &secret.properties)
        }
        SecretCommand::List(args) => {
            let items = all(|page| vaults.list_secrets(&operator, &args.vault_name, page))?;
            listed(home, &args.vault_name, ObjectKind::Secret, &items)
        }
        SecretCommand::ListVersions(args) => {
            let vault = &args.vault.vault_name;
            let items = all(|page| vaults.list_secret_versions(&operator, vault, &args.name, page))?;
            listed(home, vault, ObjectKind::Secret, &items)
        }
        SecretCommand::Show(args) => {
            let (vault, name) = (&args.object.vault.vault_name, &args.object.name);
            let secret =
                vaults.secret(&operator, vault, name, args.version.as_deref()).map_err(key_vault_error)?;
            shown(home, vault, &secret.properties)
        }
        SecretCommand::Download(args) => {
            let object = &args.secret.object;
            let secret = vaults
                .secret(&operator, &object.vault.vault_name, &object.name, args.secret.version.as_deref())
                .map_err(key_vault_error)?;
            files::write_new(&args.file, secret.value.expose().as_bytes())?;
            let file = args.file.display().to_string();
            Done::new(&json!({"file": file}), format!("The value is in {file}.\n"), Exit::Ok)
        }
        SecretCommand::SetAttributes(args) => {
            let (vault, name) = (&args.object.object.vault.vault_name, &args.object.object.name);
            let change = SecretUpdate {
                attributes: AttributesChange { enabled: Some(args.enabled), ..AttributesChange::default() },
                ..SecretUpdate::default()
            };
            let version = args.object.version.as_deref();
            let item =
                vaults.update_secret(&operator, vault, name, version, &change).map_err(key_vault_error)?;
            shown(home, vault, &item)
        }
        SecretCommand::Delete(args) => deleted_objects::delete(ObjectKind::Secret, &args, home),
        SecretCommand::ListDeleted(args) => deleted_objects::list(ObjectKind::Secret, &args, home),
        SecretCommand::ShowDeleted(args) => deleted_objects::show(ObjectKind::Secret, &args, home),
        SecretCommand::Recover(args) => deleted_objects::recover(ObjectKind::Secret, &args, home),
        SecretCommand::Purge(args) => deleted_objects::purge(ObjectKind::Secret, &args, home),
        SecretCommand::Backup(args) => {
            let (vault, name) = (&args.object.vault.vault_name, &args.object.name);
            let blob = vaults.backup_secret(&operator, vault, name).map_err(key_vault_error)?;
            files::write_new(&args.file, &blob)?;
            let file = args.file.display().to_string();
            Done::new(
                &json!({"file": file, "bytes": blob.len()}),
                format!("Secret {name} was copied to {file}.\n"),
                Exit::Ok,
            )
        }
        SecretCommand::Restore(args) => {
            let blob = files::read(&args.file, LONGEST_BLOB)?;
            let vault = &args.vault.vault_name;
            let item = vaults.restore_secret(&operator, vault, &blob).map_err(key_vault_error)?;
            shown(home, vault, &item)
        }
    }
}
