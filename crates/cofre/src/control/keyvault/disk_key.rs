//! `cofre keyvault wrap-disk-key`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cofre_arm::ApiError;
use cofre_compute::OsType;
use serde_json::json;

use super::files;
use crate::{exit::Exit, home::Home, output::Done, report::Result};

pub(super) const EXAMPLES: &str = "The file is taken byte for byte: a newline at its end is part of the key, as it is for `cryptsetup --key-file`.

Examples:
  cofre keyvault wrap-disk-key --vault-name kv1 --key kek --secret web --key-file web.key
  cofre keyvault wrap-disk-key --vault-name kv1 --key kek --secret web --generate --to web.key";

/// Longest disk key: what RSA-OAEP can carry with the longest key is less.
const LONGEST: usize = 1024;

#[derive(Debug, Args)]
pub(crate) struct WrapArgs {
    /// Name of the key vault
    #[arg(long, value_name = "VAULT")]
    vault_name: String,
    /// Name of the key that wraps; its newest version is used
    #[arg(long, value_name = "NAME")]
    key: String,
    /// Name of the secret to make
    #[arg(long, value_name = "NAME")]
    secret: String,
    /// File with the disk's key: passphrase or key file
    #[arg(long, value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    key_file: Option<PathBuf>,
    /// Draw a new key, as the Linux tool does: 127 random bytes as base64 text
    #[arg(long, requires = "to")]
    generate: bool,
    /// New file for the key that was drawn; only its owner may read it
    #[arg(long, value_name = "FILE", requires = "generate")]
    to: Option<PathBuf>,
    /// Kind of the guest's system
    #[arg(long, value_enum, default_value = "linux")]
    os: Os,
    /// Name of the machine, for the secret's tags
    #[arg(long, value_name = "NAME", default_value = "")]
    machine: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Os {
    Linux,
    Windows,
}

pub(super) fn wrap(args: &WrapArgs, home: &Home) -> Result<Done> {
    let disk_key = match &args.key_file {
        Some(file) => files::read(file, LONGEST)?,
        None => cofre_recovery::disk_key::generate()?,
    };
    if disk_key.is_empty() {
        return Err(ApiError::invalid("the disk key is empty").into());
    }
    if let Some(to) = &args.to {
        files::write_new(to, &disk_key)?;
    }
    let os_type = match args.os {
        Os::Linux => OsType::Linux,
        Os::Windows => OsType::Windows,
    };
    let wrapped =
        home.wrap_disk_key(&args.vault_name, &args.key, &args.secret, &disk_key, &args.machine, os_type)?;
    let (secret, key) = (wrapped.secret.to_string(), wrapped.key.to_string());
    let text = format!("secret  {secret}\nkey     {key}\n");
    Done::new(&json!({"secretUrl": secret, "keyUrl": key}), text, Exit::Ok)
}
