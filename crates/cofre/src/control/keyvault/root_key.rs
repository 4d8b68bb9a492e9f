//! `cofre keyvault rotate-root-key`.

use clap::Args;
use serde_json::json;

use crate::{
    Context,
    exit::Exit,
    home::{Home, RootKeyKind},
    output::Done,
    report::Result,
};

pub(super) const EXAMPLES: &str = "Keys, secrets, backups of them, recovery points and the recovery kit stay as they are. A copy of the home from
before still opens with the old key: rotate the root key when somebody may have seen it, and delete old copies.

A new passphrase is read from the systemd credential cofre-root-passphrase-new, or from the file that
COFRE_NEW_ROOT_PASSPHRASE_FILE names, or from the terminal.

Example:
  cofre keyvault rotate-root-key --to passphrase";

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Where the new key comes from [default: from where the present one does]
    #[arg(long, value_name = "KIND", value_enum)]
    to: Option<RootKeyKind>,
}

pub(super) fn rotate(args: &RotateArgs, home: &Home, context: &Context) -> Result<Done> {
    let rotated = home.rotate_root_key(args.to, &context.cancel)?;
    let path = rotated.path.display().to_string();
    let json = json!({ "kind": rotated.kind.name(), "path": path, "keyId": rotated.id });
    let mut text = format!(
        "The key vaults are sealed under a new root key.\n  file     {path}\n  key id   {}\n",
        rotated.id
    );
    if rotated.kind == RootKeyKind::Passphrase {
        text.push_str(
            "\nWithout its passphrase the key vaults do not open again: keep it apart from this machine.\n",
        );
    }
    Done::new(&json, text, Exit::Ok)
}
