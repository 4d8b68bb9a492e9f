//! `cofre init`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    Context,
    exit::Exit,
    home::{self, InitRequest, NewRootKey, RootKeyKind},
    output::Done,
    report::Result,
};

pub(crate) const EXAMPLES: &str = "The recovery kit opens every repository of the home, also after the home is gone. Move it to a safe place.

The passphrase of a root key is read from the systemd credential cofre-root-passphrase, or from the file that
COFRE_ROOT_PASSPHRASE_FILE names, or from the terminal.

Example:
  cofre init --home /srv/cofre --image-folder /vm --kit /media/usb/recovery-kit.json";

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
    /// Where the root key comes from, which opens the key vaults
    #[arg(long, value_name = "KIND", value_enum, default_value = "file")]
    root_key: RootKeyKind,
}

pub(crate) fn run(args: InitArgs, context: &Context) -> Result<Done> {
    let folder = home::folder(context.home.as_deref())?;
    let request = InitRequest {
        folder: folder.clone(),
        location: args.location,
        image_folders: args.image_folders,
        kit: args.kit,
        root_key: NewRootKey::for_new_home(args.root_key, &context.cancel)?,
    };
    let made = home::init(&request)?;
    let (config, kit) = (&made.config, made.kit.display().to_string());
    let json = json!({
        "home": folder.display().to_string(),
        "tenantId": config.place.tenant_id,
        "subscriptionId": config.place.subscription_id,
        "location": config.place.location,
        "operatorObjectId": config.operator.object_id,
        "backupServiceObjectId": config.backup_service.object_id,
        "imageFolders": config.image_folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        "recoveryKit": kit,
        "rootKey": args.root_key.name(),
    });
    let mut text = format!(
        "A home was made in {}.\n  subscription     {}\n  location         {}\n  backup service   {}\n",
        folder.display(),
        config.place.subscription_id,
        config.place.location,
        config.backup_service.object_id
    );
    text.push_str(&format!(
        "\nThe recovery kit is {kit}. It opens everything that will ever be backed up here, also after this\nhome is gone: \
         move it to a safe place, off this machine. It is made once and does not age.\n"
    ));
    if args.root_key == RootKeyKind::Passphrase {
        text.push_str("\nThe key vaults open with the passphrase alone: keep it apart from this machine.\n");
    }
    if config.image_folders.is_empty() {
        text.push_str(
            "\nNo machine can be taken up yet: allow a folder with `cofre host allow-folder DIR`.\n",
        );
    }
    Done::new(&json, text, Exit::Ok)
}
