//! `cofre host …`: what machines may use of this host.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofre_arm::{ApiError, Problem};
use serde_json::json;

use crate::{
    Context,
    control::remote_key_vaults::{self, KeyVaultsCommand},
    exit::Exit,
    home::{self, Config, Layout},
    output::Done,
    report::Result,
};

const ALLOW: &str = "An image, and all of its backing files, must lie in a folder that was allowed.

Example:
  cofre host allow-folder /vm";

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Shows the folders that images of machines may lie in
    Show,
    /// Allows images in a folder and below
    #[command(after_help = ALLOW)]
    AllowFolder(FolderArgs),
    /// Allows images in a folder no longer
    DenyFolder(FolderArgs),
    /// Key vaults of other services
    #[command(subcommand)]
    KeyVaults(KeyVaultsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(command: HostCommand, context: &Context) -> Result<Done> {
    let layout = Layout::new(&home::folder(context.home.as_deref())?);
    let mut config = Config::read(&layout)?;
    match command {
        HostCommand::Show => {}
        HostCommand::KeyVaults(command) => return remote_key_vaults::run(command, config, &layout, context),
        HostCommand::AllowFolder(args) => {
            let folder = home::image_folder(&args.folder)?;
            if !config.image_folders.contains(&folder) {
                config.image_folders.push(folder);
                config.replace(&layout)?;
            }
        }
        HostCommand::DenyFolder(args) => {
            let folder = args.folder.canonicalize().unwrap_or(args.folder);
            let before = config.image_folders.len();
            config.image_folders.retain(|f| *f != folder);
            if config.image_folders.len() == before {
                let message = format!("{} is none of the allowed folders", folder.display());
                return Err(ApiError::new(Problem::NotFound, message)
                    .recommend("`cofre host show` lists them.")
                    .into());
            }
            config.replace(&layout)?;
        }
    }
    let folders: Vec<_> = config.image_folders.iter().map(|f| f.display().to_string()).collect();
    let text = match folders.as_slice() {
        [] => "Images of machines may lie in no folder.\n".to_owned(),
        some => format!("Images of machines may lie in:\n  {}\n", some.join("\n  ")),
    };
    Done::new(&json!({"imageFolders": folders}), text, Exit::Ok)
}
