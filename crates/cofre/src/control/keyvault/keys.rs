//! Keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofre_arm::ObjectKind;
use cofre_keyvault::{
    AttributesChange, ItemProperties, KeyBundle, KeySpec, KeyUpdate, LONGEST_BLOB, PageRequest, RsaSize,
};
use cofre_recovery::{disk_key::wrapped_bytes, key_vault_error};
use serde_json::{Value, json};

use super::{attributes, deleted_objects, files, properties};
use crate::{
    control::table::{instant, table},
    exit::Exit,
    home::Home,
    output::Done,
    report::Result,
};

const CREATE: &str = "Of a name that is taken, a new version is made; older versions stay usable.

Example:
  cofre keyvault key create --vault-name kv1 --name kek --size 3072";

const BACKUP: &str = "The blob holds all versions, sealed: it opens in key vaults of the same subscription and geography alone.

Example:
  cofre keyvault key backup --vault-name kv1 --name kek --file kek.blob";

const UNWRAP: &str = "The plaintext goes to a new file that only its owner may read, never to the screen.

Example:
  cofre keyvault key unwrap --vault-name kv1 --name kek --file wrapped.txt --to web.key";

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes an RSA key, or a new version of one
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Lists the keys
    List(VaultArgs),
    /// Lists the versions of a key
    ListVersions(NameArgs),
    /// Shows a key: its public part
    Show(VersionArgs),
    /// Enables or disables a version of a key
    SetAttributes(AttributeArgs),
    /// Deletes a key with all of its versions; it can be recovered
    Delete(deleted_objects::DeleteArgs),
    /// Lists the keys that are deleted and can be recovered
    ListDeleted(VaultArgs),
    /// Shows a key that is deleted
    ShowDeleted(NameArgs),
    /// Brings a deleted key back with all of its versions
    Recover(NameArgs),
    /// Ends a deleted key with all of its versions, for good
    Purge(deleted_objects::PurgeArgs),
    /// Writes a sealed copy of a key to a file
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Brings a key back from a sealed copy
    Restore(RestoreArgs),
    /// Wraps the bytes of a file
    Wrap(WrapArgs),
    /// Unwraps what `wrap` gave
    #[command(after_help = UNWRAP)]
    Unwrap(UnwrapArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VaultArgs {
    /// Name of the key vault
    #[arg(long, value_name = "VAULT")]
    pub(super) vault_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    pub(super) vault: VaultArgs,
    /// Name of the object
    #[arg(long, short = 'n', value_name = "NAME")]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    pub(super) object: NameArgs,
    /// Its version [default: the newest]
    #[arg(long, short = 'v', value_name = "VERSION")]
    pub(super) version: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    key: NameArgs,
    /// Bits: 2048, 3072 or 4096
    #[arg(long, value_name = "BITS", default_value_t = 2048)]
    size: u32,
}

#[derive(Debug, Args)]
pub(crate) struct AttributeArgs {
    #[command(flatten)]
    pub(super) object: VersionArgs,
    /// Whether it may be used
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pub(super) enabled: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(super) object: NameArgs,
    /// The new file
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(super) vault: VaultArgs,
    /// The file
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct WrapArgs {
    #[command(flatten)]
    key: VersionArgs,
    /// Algorithm: RSA-OAEP or RSA-OAEP-256
    #[arg(long, value_name = "ALGORITHM", default_value = "RSA-OAEP")]
    algorithm: String,
    /// File with the bytes to wrap; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct UnwrapArgs {
    #[command(flatten)]
    key: VersionArgs,
    /// Algorithm: RSA-OAEP or RSA-OAEP-256
    #[arg(long, value_name = "ALGORITHM", default_value = "RSA-OAEP")]
    algorithm: String,
    /// File with the wrapped bytes in base64 or base64url; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// New file for the plaintext
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// What fits under the longest key, in base64, with room.
const LONGEST_WRAPPED: usize = 4096;

/// Every page of a list.
pub(super) fn all<T>(
    mut page: impl FnMut(
        PageRequest<'_>,
    ) -> std::result::Result<cofre_keyvault::Page<T>, cofre_keyvault::KeyVaultError>,
) -> Result<Vec<T>> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let got = page(PageRequest { after: after.as_deref(), limit: 250 }).map_err(key_vault_error)?;
        items.extend(got.items);
        after = got.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

/// A list of keys or secrets.
pub(super) fn listed(home: &Home, vault: &str, kind: ObjectKind, items: &[ItemProperties]) -> Result<Done> {
    let url = |i: &ItemProperties| home.object_url(vault, kind, &i.name, &i.version).to_string();
    let row = |i: &ItemProperties| {
        let enabled = if i.attributes.enabled { "yes" } else { "no" };
        vec![i.name.clone(), i.version.clone(), enabled.to_owned(), instant(i.attributes.created)]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let text = table("There are none.", &["NAME", "VERSION", "ENABLED", "MADE"], &rows);
    let json = json!({"value": items.iter().map(|i| properties(&url(i), i)).collect::<Vec<_>>()});
    Done::new(&json, text, Exit::Ok)
}

fn answer(home: &Home, vault: &str, key: &KeyBundle) -> Value {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    json!({
        "key": {
            "kid": home.object_url(vault, ObjectKind::Key, &key.name, &key.version).to_string(),
            "kty": "RSA",
            "n": Base64UrlUnpadded::encode_string(&key.n),
            "e": Base64UrlUnpadded::encode_string(&key.e),
            "keyOps": key.operations,
        },
        "attributes": attributes(&key.attributes, key.recovery),
        "tags": key.tags,
    })
}

pub(super) fn shown(home: &Home, vault: &str, key: &KeyBundle) -> Result<Done> {
    let url = home.object_url(vault, ObjectKind::Key, &key.name, &key.version);
    let enabled = if key.attributes.enabled { "enabled" } else { "disabled" };
    let text = format!(
        "{url}\n  RSA, {} bits, {enabled}, made {}\n",
        key.n.len() * 8,
        instant(key.attributes.created)
    );
    Done::new(&answer(home, vault, key), text, Exit::Ok)
}

pub(super) fn run(command: KeyCommand, home: &Home) -> Result<Done> {
    let (operator, vaults) = (home.operator(), &home.key_vaults);
    match command {
        KeyCommand::Create(args) => {
            let size = RsaSize::from_bits(args.size).map_err(key_vault_error)?;
            let (vault, name) = (&args.key.vault.vault_name, &args.key.name);
            let spec = KeySpec { size, ..KeySpec::default() };
            let key = vaults.create_key(&operator, vault, name, &spec).map_err(key_vault_error)?;
            shown(home, vault, &key)
        }
        KeyCommand::List(args) => {
            let items = all(|page| vaults.list_keys(&operator, &args.vault_name, page))?;
            listed(home, &args.vault_name, ObjectKind::Key, &items)
        }
        KeyCommand::ListVersions(args) => {
            let vault = &args.vault.vault_name;
            let items = all(|page| vaults.list_key_versions(&operator, vault, &args.name, page))?;
            listed(home, vault, ObjectKind::Key, &items)
        }
        KeyCommand::Show(args) => {
            let (vault, name) = (&args.object.vault.vault_name, &args.object.name);
            let key = vaults.key(&operator, vault, name, args.version.as_deref()).map_err(key_vault_error)?;
            shown(home, vault, &key)
        }
        KeyCommand::SetAttributes(args) => {
            let (vault, name) = (&args.object.object.vault.vault_name, &args.object.object.name);
            let change = KeyUpdate {
                attributes: AttributesChange { enabled: Some(args.enabled), ..AttributesChange::default() },
                ..KeyUpdate::default()
            };
            let version = args.object.version.as_deref();
            let key = vaults.update_key(&operator, vault, name, version, &change).map_err(key_vault_error)?;
            shown(home, vault, &key)
        }
        KeyCommand::Delete(args) => deleted_objects::delete(ObjectKind::Key, &args, home),
        KeyCommand::ListDeleted(args) => deleted_objects::list(ObjectKind::Key, &args, home),
        KeyCommand::ShowDeleted(args) => deleted_objects::show(ObjectKind::Key, &args, home),
        KeyCommand::Recover(args) => deleted_objects::recover(ObjectKind::Key, &args, home),
        KeyCommand::Purge(args) => deleted_objects::purge(ObjectKind::Key, &args, home),
        KeyCommand::Backup(args) => {
            let (vault, name) = (&args.object.vault.vault_name, &args.object.name);
            let blob = vaults.backup_key(&operator, vault, name).map_err(key_vault_error)?;
            files::write_new(&args.file, &blob)?;
            let file = args.file.display().to_string();
            Done::new(
                &json!({"file": file, "bytes": blob.len()}),
                format!("Key {name} was copied to {file}.\n"),
                Exit::Ok,
            )
        }
        KeyCommand::Restore(args) => {
            let blob = files::read(&args.file, LONGEST_BLOB)?;
            let vault = &args.vault.vault_name;
            let key = vaults.restore_key(&operator, vault, &blob).map_err(key_vault_error)?;
            shown(home, vault, &key)
        }
        KeyCommand::Wrap(args) => wrap(&args, home),
        KeyCommand::Unwrap(args) => unwrap(&args, home),
    }
}

fn wrap(args: &WrapArgs, home: &Home) -> Result<Done> {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let (vault, name) = (&args.key.object.vault.vault_name, &args.key.object.name);
    let plain = files::read(&args.file, LONGEST_WRAPPED)?;
    let version = args.key.version.as_deref();
    let wrapped = home
        .key_vaults
        .wrap_key(&home.operator(), vault, name, version, &args.algorithm, &plain)
        .map_err(key_vault_error)?;
    let url = home.object_url(vault, ObjectKind::Key, &wrapped.name, &wrapped.version).to_string();
    let result = Base64UrlUnpadded::encode_string(wrapped.value.expose());
    Done::new(&json!({"kid": url, "result": result}), format!("{result}\n"), Exit::Ok)
}

fn unwrap(args: &UnwrapArgs, home: &Home) -> Result<Done> {
    let (vault, name) = (&args.key.object.vault.vault_name, &args.key.object.name);
    let text = files::read(&args.file, LONGEST_WRAPPED)?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| cofre_arm::ApiError::invalid(format!("{} is no text", args.file.display())))?;
    let version = args.key.version.as_deref();
    let plain = home
        .key_vaults
        .unwrap_key(&home.operator(), vault, name, version, &args.algorithm, &wrapped_bytes(text)?)
        .map_err(key_vault_error)?;
    files::write_new(&args.to, plain.value.expose())?;
    let to = args.to.display().to_string();
    let bytes = plain.value.expose().len();
    Done::new(&json!({"file": to, "bytes": bytes}), format!("Unwrapped {bytes} bytes into {to}.\n"), Exit::Ok)
}
