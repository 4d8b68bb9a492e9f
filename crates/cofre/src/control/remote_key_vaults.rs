//! `cofre host key-vaults …`: key vaults of other services.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cofre_arm::{ApiError, Problem};
use cofre_keyvault_client::VaultAddress;
use serde_json::json;

use crate::{
    Context,
    control::table::table,
    exit::Exit,
    home::{Config, Layout, RemoteService},
    output::Done,
    report::Result,
};

const ADD: &str = "A key vault whose URL has the suffix is asked over HTTPS, as the principal that is named here; all others are those of
this home. The principal needs what the template `AzureBackup` grants. Nothing is sent until a backup needs it.

The secret is sent to the authority and the resource endpoint that are named here alone, and for key vaults of
Azure to its own login; a key vault that says to log in elsewhere is not followed.

Examples:
  cofre host key-vaults add --suffix vault.example:8443 --client-id GUID --secret-file /etc/cofre/other.secret \\
      --ca-file /etc/cofre/other.pem --arm-endpoint https://backup.example:8443
  cofre host key-vaults add --suffix vault.azure.net --client-id GUID --secret-file /etc/cofre/azure.secret \\
      --arm-endpoint https://management.azure.com";

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVaultsCommand {
    /// Adds the key vaults of a service, or changes how they are reached
    #[command(after_help = ADD)]
    Add(Box<AddArgs>),
    /// Lists them
    List,
    /// Removes them; machines that name them are then taken to name key vaults of this home
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What follows the name of a key vault in its host, with the port where there is one
    #[arg(long, value_name = "DOMAIN[:PORT]")]
    suffix: String,
    /// Application id of the principal that reads them for backups
    #[arg(long, value_name = "GUID")]
    client_id: String,
    /// File with its secret; nobody else may read it
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// File with the certificates to trust, as PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A proxy that takes CONNECT [default: what HTTPS_PROXY says]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Where the secret may be sent to log in, besides the resource endpoint
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
    /// Where the ids of key vaults are asked for
    #[arg(long, value_name = "URL")]
    arm_endpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The suffix
    #[arg(long, value_name = "DOMAIN[:PORT]")]
    suffix: String,
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| ApiError::invalid(format!("{} is no path", path.display())).because(e).into())
}

fn add(args: &AddArgs, config: &mut Config, context: &Context) -> Result<()> {
    let service = RemoteService {
        suffix: args.suffix.to_ascii_lowercase(),
        client_id: args.client_id.clone(),
        secret_file: absolute(&args.secret_file)?,
        ca_file: args.ca_file.as_deref().map(absolute).transpose()?,
        proxy: args.proxy.clone(),
        authority: args.authority.clone(),
        arm_endpoint: args.arm_endpoint.clone(),
    };
    let bad = |error: cofre_keyvault_client::ClientError| {
        let api = ApiError::invalid(error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => api.because(source.to_string()),
            None => api,
        }
    };
    VaultAddress::new("name", &service.suffix).map_err(bad)?;
    if service.domain().eq_ignore_ascii_case(&config.settings.key_vault_suffix) {
        return Err(ApiError::invalid(format!(
            "{} is the suffix of this home's own key vaults: they would no longer be found",
            service.domain()
        ))
        .recommend("Give one of the two services another suffix (`settings.keyVaultSuffix` in config.json).")
        .into());
    }
    // Files and addresses are tried now, not in the night of the first backup.
    service.client(&context.cancel).map_err(bad)?;
    config.remote_key_vaults.retain(|known| !known.domain().eq_ignore_ascii_case(service.domain()));
    config.remote_key_vaults.push(service);
    Ok(())
}

pub(crate) fn run(
    command: KeyVaultsCommand,
    mut config: Config,
    layout: &Layout,
    context: &Context,
) -> Result<Done> {
    match command {
        KeyVaultsCommand::List => {}
        KeyVaultsCommand::Add(args) => {
            add(&args, &mut config, context)?;
            config.replace(layout)?;
        }
        KeyVaultsCommand::Remove(args) => {
            let before = config.remote_key_vaults.len();
            config.remote_key_vaults.retain(|known| {
                !known.suffix.eq_ignore_ascii_case(&args.suffix)
                    && !known.domain().eq_ignore_ascii_case(&args.suffix)
            });
            if config.remote_key_vaults.len() == before {
                let message = format!("no key vaults elsewhere have the suffix {}", args.suffix);
                return Err(ApiError::new(Problem::NotFound, message)
                    .recommend("`cofre host key-vaults list` shows them.")
                    .into());
            }
            config.replace(layout)?;
        }
    }
    let row = |service: &RemoteService| {
        let endpoint = service.arm_endpoint.clone().unwrap_or_else(|| "none".to_owned());
        vec![
            service.suffix.clone(),
            service.client_id.clone(),
            service.secret_file.display().to_string(),
            endpoint,
        ]
    };
    let rows: Vec<_> = config.remote_key_vaults.iter().map(row).collect();
    let text = table(
        "All key vaults are those of this home.",
        &["SUFFIX", "CLIENT", "SECRET FILE", "RESOURCE ENDPOINT"],
        &rows,
    );
    Done::new(&json!({"remoteKeyVaults": config.remote_key_vaults}), text, Exit::Ok)
}
