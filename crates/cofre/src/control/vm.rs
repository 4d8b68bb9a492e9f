//! `cofre vm …`: the machines that are known.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use cofre_arm::{ObjectUrl, Result as ApiResult};
use cofre_compute::{
    DataDisk, DeploymentModel, Disk, EncryptionSettings, Image, OsType, PowerState, ProvisioningState,
    VirtualMachine,
    encryption::{KeyReference, SecretReference, SubResource},
};
use cofre_disk::ImageFormat;
use cofre_recovery::key_vault_id;
use serde_json::json;

use crate::{
    Context,
    control::{
        protection::class,
        selection::{GroupArgs, confirmed, machine_id},
        table::table,
    },
    exit::Exit,
    home::{DEFAULT_GROUP, Home},
    output::Done,
    report::{Report, Result},
};

const CREATE: &str = "The machine itself stays as it is: cofre is told of its disks and of the keys that open them. The format of an
image is fixed here and never guessed from its bytes, which the guest can write. Images lie in folders that
`cofre host allow-folder` allowed.

Examples:
  cofre vm create --name web --os-disk /vm/web.qcow2 --data-disk 0=/vm/data.raw
  cofre vm create --name web --os-disk /vm/web.raw --secret-url https://kv1.vault.localhost/secrets/web/VERSION \\
      --key-url https://kv1.vault.localhost/keys/kek/VERSION";

const ENCRYPTION: &str = "Example:
  cofre vm encryption set --name web --secret-url https://kv1.vault.localhost/secrets/web/VERSION \\
      --key-url https://kv1.vault.localhost/keys/kek/VERSION";

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Takes up a machine
    #[command(after_help = CREATE, alias = "import")]
    Create(Box<CreateArgs>),
    /// Lists the machines
    List,
    /// Shows a machine
    Show(NameArgs),
    /// Forgets a machine; its images and recovery points stay
    Delete(DeleteArgs),
    /// Which keys open the machine's disks
    #[command(subcommand)]
    Encryption(EncryptionCommand),
    /// Says whether the machine runs
    SetPowerState(PowerArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EncryptionCommand {
    /// Names the secret and the key
    #[command(after_help = ENCRYPTION)]
    Set(SetArgs),
    /// Says that the machine is not encrypted
    Clear(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the machine, or its resource id
    #[arg(long, short = 'n', value_name = "NAME")]
    name: String,
    #[command(flatten)]
    group: GroupArgs,
}

/// Where secret and key are.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// URL of the secret that holds the disk key, with its version
    #[arg(long, value_name = "URL")]
    secret_url: Option<String>,
    /// URL of the key that wraps it, with its version
    #[arg(long, value_name = "URL", requires = "secret_url")]
    key_url: Option<String>,
    /// Resource id of the secret's key vault [default: the one of this home that the URL names]
    #[arg(long, value_name = "ID", requires = "secret_url")]
    secret_vault: Option<String>,
    /// Resource id of the key's key vault [default: the one of this home that the URL names]
    #[arg(long, value_name = "ID", requires = "key_url")]
    key_vault: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    machine: NameArgs,
    /// Image of the disk it boots from; the format is raw, or qcow2 for a path that ends in `.qcow2`
    #[arg(long, value_name = "PATH[,format=raw|qcow2|vhd]")]
    os_disk: ImageSpec,
    /// Another disk and its slot; may be given several times
    #[arg(long = "data-disk", value_name = "LUN=PATH[,format=…][,name=NAME]")]
    data_disks: Vec<DataDiskSpec>,
    /// Size, as deployment templates name it
    #[arg(long, value_name = "SIZE", default_value = "Standard_D2s_v3")]
    size: String,
    /// Kind of the guest's system
    #[arg(long, value_enum, default_value = "Linux")]
    os_type: OsTypeName,
    /// Region [default: that of the home]
    #[arg(long, short = 'l', value_name = "REGION")]
    location: Option<String>,
    /// Whether it runs
    #[arg(long, value_enum, default_value = "deallocated")]
    power_state: PowerStateName,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    machine: NameArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    machine: NameArgs,
    /// Confirms it
    #[arg(long, short = 'y')]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    #[command(flatten)]
    machine: NameArgs,
    /// The state
    #[arg(value_enum)]
    state: PowerStateName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum OsTypeName {
    Linux,
    Windows,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PowerStateName {
    Running,
    Stopped,
    Deallocated,
}

impl From<PowerStateName> for PowerState {
    fn from(name: PowerStateName) -> Self {
        match name {
            PowerStateName::Running => Self::Running,
            PowerStateName::Stopped => Self::Stopped,
            PowerStateName::Deallocated => Self::Deallocated,
        }
    }
}

/// `PATH[,format=…][,name=…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageSpec {
    path: PathBuf,
    format: ImageFormat,
    name: Option<String>,
}

/// `LUN=PATH[,format=…][,name=…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDiskSpec {
    lun: u32,
    image: ImageSpec,
}

impl FromStr for ImageSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // Paths may hold commas and equals signs: only known options are cut off the end.
        let (mut rest, mut format, mut name) = (text, None, None);
        while let Some((before, option)) = rest.rsplit_once(',') {
            match option.split_once('=') {
                Some(("format", value)) if format.is_none() => {
                    format = Some(value.parse().map_err(|e| format!("{e}"))?)
                }
                Some(("name", value)) if name.is_none() => name = Some(value.to_owned()),
                _ => break,
            }
            rest = before;
        }
        if rest.is_empty() {
            return Err(format!("{text:?} names no image"));
        }
        let path = std::path::absolute(rest).map_err(|e| format!("{rest}: {e}"))?;
        Ok(Self { format: format.unwrap_or_else(|| ImageFormat::from_suffix(rest)), path, name })
    }
}

impl FromStr for DataDiskSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (lun, image) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form LUN=PATH"))?;
        let lun = lun.parse().map_err(|_| format!("{lun:?} is no slot: 0 to 63"))?;
        Ok(Self { lun, image: image.parse()? })
    }
}

fn disk(spec: &ImageSpec, default_name: &str) -> Disk {
    Disk {
        name: spec.name.clone().unwrap_or_else(|| default_name.to_owned()),
        image: Image { path: spec.path.clone(), format: spec.format },
        encryption_settings: None,
    }
}

impl KeyArgs {
    /// The settings; none where no secret is named.
    fn settings(&self, home: &Home) -> Result<Option<EncryptionSettings>> {
        let Some(secret_url) = &self.secret_url else { return Ok(None) };
        let vault = |given: &Option<String>, url: &str| -> Result<SubResource> {
            let id = match given {
                Some(id) => id.parse()?,
                None => vault_named(home, url)?,
            };
            Ok(SubResource { id })
        };
        let key = self.key_url.as_ref().map(|key_url| -> Result<KeyReference> {
            Ok(KeyReference { key_url: key_url.clone(), source_vault: vault(&self.key_vault, key_url)? })
        });
        Ok(Some(EncryptionSettings {
            enabled: true,
            disk_encryption_key: SecretReference {
                secret_url: secret_url.clone(),
                source_vault: vault(&self.secret_vault, secret_url)?,
            },
            key_encryption_key: key.transpose()?,
        }))
    }
}

/// The id of the key vault that a URL names: that of the home, where there is one, else the one it would
/// have here.
fn vault_named(home: &Home, url: &str) -> ApiResult<cofre_arm::ResourceId> {
    let url: ObjectUrl = url.parse()?;
    match home.key_vaults.vault(&url.vault) {
        Ok(vault) => vault.id.parse(),
        Err(_) => key_vault_id(&home.config.place.subscription_id, DEFAULT_GROUP, &url.vault),
    }
}

fn text(machines: &[VirtualMachine]) -> String {
    let row = |m: &VirtualMachine| {
        vec![
            m.name().to_owned(),
            m.id.resource_group().unwrap_or_default().to_owned(),
            m.location.clone(),
            format!("{:?}", m.os_type),
            format!("{:?}", m.power_state),
            format!("{:?}", m.encryption_class()),
            m.disks().map(|d| d.name.clone()).collect::<Vec<_>>().join(", "),
        ]
    };
    let rows: Vec<_> = machines.iter().map(row).collect();
    table(
        "There are no machines.",
        &["NAME", "GROUP", "LOCATION", "SYSTEM", "POWER", "ENCRYPTION", "DISKS"],
        &rows,
    )
}

fn show(machine: &VirtualMachine) -> String {
    let mut text = text(std::slice::from_ref(machine));
    text.push_str(&format!("  id {}\n  {}\n", machine.id, class(machine.encryption_class())));
    for disk in machine.disks() {
        text.push_str(&format!(
            "  disk {}: {} ({})\n",
            disk.name,
            disk.image.path.display(),
            disk.image.format
        ));
    }
    for set in machine.key_sets() {
        text.push_str(&format!("  secret {}\n", set.settings.disk_encryption_key.secret_url));
        let key = set.settings.key_encryption_key.map_or("none".to_owned(), |k| k.key_url);
        text.push_str(&format!("  key    {key}\n"));
    }
    text
}

fn create(args: &CreateArgs, home: &Home) -> Result<VirtualMachine> {
    let machine = VirtualMachine {
        id: machine_id(home, &args.machine.group.resource_group, &args.machine.name)?,
        vm_id: cofre_recovery::new_guid()?,
        location: args.location.clone().unwrap_or_else(|| home.config.place.location.clone()),
        model: DeploymentModel::ResourceManager,
        vm_size: args.size.clone(),
        os_type: match args.os_type {
            OsTypeName::Linux => OsType::Linux,
            OsTypeName::Windows => OsType::Windows,
        },
        provisioning_state: ProvisioningState::Succeeded,
        power_state: args.power_state.into(),
        os_disk: disk(&args.os_disk, "os"),
        data_disks: args
            .data_disks
            .iter()
            .map(|d| DataDisk { lun: d.lun, disk: disk(&d.image, &format!("data-{}", d.lun)) })
            .collect(),
        encryption_settings: args.keys.settings(home)?,
        tags: BTreeMap::new(),
    };
    home.recovery.register_machine(&machine)?;
    Ok(machine)
}

pub(crate) fn run(command: VmCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let recovery = &home.recovery;
    let id = |args: &NameArgs| machine_id(&home, &args.group.resource_group, &args.name);
    let machine = match command {
        VmCommand::Create(args) => create(&args, &home)?,
        VmCommand::List => {
            let machines = recovery.machines()?;
            return Done::new(&json!({"machines": machines}), text(&machines), Exit::Ok);
        }
        VmCommand::Show(args) => recovery.machine(&id(&args)?)?,
        VmCommand::Delete(args) => {
            confirmed(args.yes, &format!("forgetting the machine {}", args.machine.name))?;
            let id = id(&args.machine)?;
            let protected = recovery.protecting(&id)?;
            recovery.delete_machine(&id)?;
            let mut text = format!("Machine {} was forgotten; its images stay.\n", id.name());
            if protected.is_some() {
                text.push_str(
                    "It is still protected: its recovery points stay, and backups fail until it is back.\n",
                );
            }
            return Done::new(&json!({"deleted": id, "protectedItem": protected}), text, Exit::Ok);
        }
        VmCommand::Encryption(EncryptionCommand::Set(args)) => {
            let Some(settings) = args.keys.settings(&home)? else {
                return Err(
                    Report::usage("no secret is named").recommend("Give `--secret-url` and `--key-url`.")
                );
            };
            recovery.update_machine(&id(&args.machine)?, |m| {
                m.encryption_settings = Some(settings);
                Ok(())
            })?
        }
        VmCommand::Encryption(EncryptionCommand::Clear(args)) => {
            recovery.update_machine(&id(&args)?, |m| {
                m.encryption_settings = None;
                Ok(())
            })?
        }
        VmCommand::SetPowerState(args) => recovery.update_machine(&id(&args.machine)?, |m| {
            m.power_state = args.state.into();
            Ok(())
        })?,
    };
    Done::new(&machine, show(&machine), Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_their_options() {
        let parse = |text: &str| text.parse::<ImageSpec>().unwrap();
        assert_eq!(parse("/a/b.qcow2").format, ImageFormat::Qcow2);
        assert_eq!(parse("/a/b.qcow2,format=raw,name=x").format, ImageFormat::Raw);
        assert_eq!(parse("/a/b,name=x").name.as_deref(), Some("x"));
        assert_eq!(parse("/a,b=c").path, PathBuf::from("/a,b=c"));
        assert!(parse("a.raw").path.is_absolute());
        assert!("/a,format=vmdk".parse::<ImageSpec>().is_err());
        assert!(",format=raw".parse::<ImageSpec>().is_err());
        let disk: DataDiskSpec = "3=/a=b.raw,name=data".parse().unwrap();
        assert_eq!((disk.lun, disk.image.path), (3, PathBuf::from("/a=b.raw")));
        assert!("/a.raw".parse::<DataDiskSpec>().is_err());
        assert!("x=/a.raw".parse::<DataDiskSpec>().is_err());
    }
}
