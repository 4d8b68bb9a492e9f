//! `cofre init`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde_json::json;

use crate::{
    Context,
    exit::Exit,
    home::{self, InitReport, InitRequest, Layout, NewRootKey, RootKeyKind, ServerSettings},
    output::Done,
    report::Result,
};

pub(crate) const EXAMPLES: &str = "The recovery kit opens every repository of the home, also after the home is gone. Move it to a safe place.

The passphrase of a root key is read from the systemd credential cofre-root-passphrase, or from the file that
COFRE_ROOT_PASSPHRASE_FILE names, or from the terminal.

Examples:
  cofre init --home /srv/cofre --image-folder /vm --kit /media/usb/recovery-kit.json
  cofre init --home /srv/cofre --database 'postgres://cofre@db.example/cofre?sslmode=verify-full'";

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Region of the home, of its vaults and machines
    #[arg(long, value_name = "NAME", default_value = "local")]
    location: String,
    /// A folder that images of machines may lie in; may be given several times
    #[arg(long = "image-folder", value_name = "DIR")]
    image_folders: Vec<PathBuf>,
    /// Where to write the recovery kit [default: recovery-kit.json in the home]
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,
    /// Address that `cofre serve` will listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Address of the proxy that finds key vaults by name
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    proxy_listen: SocketAddr,
    /// Name that clients on other hosts use for this one
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host_name: String,
    /// Keep the records in a PostgreSQL database instead of a file in the home; the password comes from a password file
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Where the root key comes from, which opens the key vaults
    #[arg(long, value_name = "KIND", value_enum, default_value = "file")]
    root_key: RootKeyKind,
}

pub(crate) fn run(args: InitArgs, context: &Context) -> Result<Done> {
    let folder = home::folder(context.home.as_deref())?;
    // Nobody is asked for a passphrase that is not going to be used.
    let root_key = if Layout::new(&folder).config().exists() {
        NewRootKey::File
    } else {
        NewRootKey::for_new_home(args.root_key, &context.cancel)?
    };
    let request = InitRequest {
        folder: folder.clone(),
        location: args.location,
        image_folders: args.image_folders,
        kit: args.kit,
        server: ServerSettings {
            listen: args.listen,
            proxy_listen: Some(args.proxy_listen),
            host: args.host_name,
            ..ServerSettings::default()
        },
        root_key,
        database: args.database,
    };
    report(&folder, &home::init(&request)?, args.root_key)
}

/// What was made, and how clients get to it.
fn report(folder: &std::path::Path, made: &InitReport, root_key: RootKeyKind) -> Result<Done> {
    let InitReport { config, kit, secret } = made;
    let server = &config.server;
    let endpoint = server.addresses(server.listen.port(), &config.settings.key_vault_suffix).base();
    let proxy = server.proxy_listen.map(|address| format!("http://{address}"));
    let authority = Layout::new(folder).tls().authority().display().to_string();
    let kit = kit.as_ref().map(|kit| kit.display().to_string());
    let json = json!({
        "home": folder.display().to_string(),
        "created": secret.is_some(),
        "tenantId": config.place.tenant_id,
        "subscriptionId": config.place.subscription_id,
        "location": config.place.location,
        "clientId": config.operator.application_id,
        "clientSecret": secret.as_ref().map(|new| new.secret.as_str()),
        "caFile": authority,
        "armEndpoint": endpoint,
        "connectProxy": proxy,
        "operatorObjectId": config.operator.object_id,
        "backupServiceObjectId": config.backup_service.object_id,
        "imageFolders": config.image_folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        "recoveryKit": kit,
        "database": config.database,
        "rootKey": made.secret.as_ref().map(|_| root_key.name()),
    });
    let what = if secret.is_some() {
        "A home was made in"
    } else {
        "There is a home already, and nothing was changed, in"
    };
    let mut text = format!(
        "{what} {}.\n  subscription     {}\n  location         {}\n  backup service   {}\n",
        folder.display(),
        config.place.subscription_id,
        config.place.location,
        config.backup_service.object_id
    );
    if let Some(kit) = kit {
        text.push_str(&format!(
            "\nThe recovery kit is {kit}. It opens everything that will ever be backed up here, also after this\nhome is gone: \
             move it to a safe place, off this machine. It is made once and does not age.\n"
        ));
    }
    let client = config.operator.application_id.as_deref().unwrap_or("CLIENT");
    let secret = secret.as_ref().map_or("SECRET", |new| new.secret.as_str());
    let proxy = proxy.map(|proxy| format!("  export HTTPS_PROXY={proxy}\n")).unwrap_or_default();
    text.push_str(&format!(
        "\nStart the service with `cofre serve --home {}`. For az, in a shell of its own:\n  export \
         REQUESTS_CA_BUNDLE={authority} SSL_CERT_FILE={authority}\n{proxy}  export AZURE_CORE_COLLECT_TELEMETRY=false\n  \
         az cloud register -n cofre --endpoint-resource-manager {endpoint}/\n  az cloud set -n cofre\n  az login \
         --service-principal -u {client} -p {secret} --tenant {}\n",
        folder.display(),
        config.place.tenant_id
    ));
    if made.secret.is_some() {
        text.push_str("The secret is shown this once.\n");
    } else {
        text.push_str(
            "The secret was shown when the home was made; `cofre principal credential add` makes another.\n",
        );
    }
    if root_key == RootKeyKind::Passphrase && made.secret.is_some() {
        text.push_str("\nThe key vaults open with the passphrase alone: keep it apart from this machine.\n");
    }
    if config.image_folders.is_empty() {
        text.push_str(
            "\nNo machine can be taken up yet: allow a folder with `cofre host allow-folder DIR`.\n",
        );
    }
    Done::new(&json, text, Exit::Ok)
}
