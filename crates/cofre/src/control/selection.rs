//! The options by which commands name vaults and items: those of `az backup`.

use clap::Args;
use cofre_arm::ResourceId;
use cofre_recovery::item::ProtectedItem;

use crate::{
    home::{DEFAULT_GROUP, Home},
    report::{Report, Result},
};

/// A resource group.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// Resource group
    #[arg(long, short = 'g', value_name = "GROUP", default_value = DEFAULT_GROUP)]
    pub(crate) resource_group: String,
}

/// A vault.
#[derive(Debug, Args)]
pub(crate) struct VaultArgs {
    /// Name of the vault
    #[arg(long, short = 'v', value_name = "VAULT")]
    pub(crate) vault_name: String,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
}

impl VaultArgs {
    pub(crate) fn id(&self, home: &Home) -> Result<ResourceId> {
        Ok(home.recovery.vault_id(&self.group.resource_group, &self.vault_name)?)
    }
}

/// A vault, or all of them.
#[derive(Debug, Args)]
pub(crate) struct AnyVaultArgs {
    /// Name of the vault [default: all vaults]
    #[arg(long, short = 'v', value_name = "VAULT")]
    vault_name: Option<String>,
    #[command(flatten)]
    group: GroupArgs,
}

impl AnyVaultArgs {
    /// The vault, which exists.
    pub(crate) fn id(&self, home: &Home) -> Result<Option<ResourceId>> {
        let Some(name) = &self.vault_name else { return Ok(None) };
        let id = home.recovery.vault_id(&self.group.resource_group, name)?;
        Ok(Some(home.recovery.vault(&id)?.id))
    }
}

/// A protected item.
#[derive(Debug, Args)]
pub(crate) struct ItemArgs {
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
    /// Name of the protected machine, or of its item
    #[arg(long, short = 'i', value_name = "NAME", visible_alias = "vm")]
    item_name: Option<String>,
    /// Name of the item's container; names the machine where `--item-name` does not
    #[arg(long, short = 'c', value_name = "NAME")]
    container_name: Option<String>,
    /// Accepted and checked: machines are all there is
    #[arg(long, value_name = "TYPE", value_parser = ["AzureIaasVM"], hide = true)]
    backup_management_type: Option<String>,
}

impl ItemArgs {
    pub(crate) fn item(&self, home: &Home) -> Result<ProtectedItem> {
        let name = match (&self.item_name, &self.container_name) {
            (Some(item), _) => item,
            // a container is called `iaasvmcontainer;iaasvmcontainerv2;GROUP;MACHINE`
            (None, Some(container)) => {
                container.rsplit_once(';').map_or(container.as_str(), |(_, name)| name)
            }
            (None, None) => {
                return Err(Report::usage("no machine is named").recommend("Give `--item-name NAME`."));
            }
        };
        let vault = home.recovery.vault(&self.vault.id(home)?)?;
        Ok(home.recovery.item_named(&vault.id, name)?)
    }
}

/// The id of a machine: what was given where that is one, else that of a name in a group.
pub(crate) fn machine_id(home: &Home, group: &str, given: &str) -> Result<ResourceId> {
    if given.starts_with('/') {
        return Ok(given.parse()?);
    }
    Ok(home.recovery.machine_id(group, given)?)
}

/// Refuses what cannot be undone where it was not confirmed.
pub(crate) fn confirmed(yes: bool, what: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    Err(Report::usage(format!("{what} was not confirmed")).recommend("Add `--yes` to confirm it."))
}
