//! Who may do what in a key vault.

use clap::{Args, Subcommand, ValueEnum};
use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{AccessPolicy, AccessTemplate, KeyPermission, Permissions, Principal, SecretPermission};
use cofre_recovery::key_vault_error;

use super::vaults::{NameArgs, shown};
use crate::{
    home::Home,
    output::Done,
    report::{Report, Result},
};

pub(super) const SET: &str = "Replaces what the principal could do before. Takes effect at once.

Example:
  cofre keyvault set-policy --name kv1 --spn \"Backup Management Service\" \\
      --key-permissions get list backup --secret-permissions get list backup";

const TEMPLATE: &str =
    "The template azure-backup gives get, list and backup, for keys and for secrets; never unwrap.

Example:
  cofre keyvault access-policy from-template --name kv1 --template azure-backup";

#[derive(Debug, Subcommand)]
pub(crate) enum AccessPolicyCommand {
    /// Gives a principal the permissions of a template
    #[command(after_help = TEMPLATE)]
    FromTemplate(TemplateArgs),
    /// Lists the access policies of a key vault
    List(NameArgs),
}

/// Whom a policy is for.
#[derive(Debug, Args)]
pub(crate) struct PrincipalArgs {
    #[command(flatten)]
    vault: NameArgs,
    /// Object id of the principal
    #[arg(long, value_name = "GUID", conflicts_with = "spn")]
    object_id: Option<String>,
    /// Name or application id of a principal of the home: `Backup Management Service`
    #[arg(long, value_name = "NAME|APPLICATION")]
    spn: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    principal: PrincipalArgs,
    /// What it may do with keys: names of permissions, or `all`
    #[arg(long, value_name = "PERMISSION", num_args = 0..)]
    key_permissions: Vec<String>,
    /// What it may do with secrets: names of permissions, or `all`
    #[arg(long, value_name = "PERMISSION", num_args = 0..)]
    secret_permissions: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    #[command(flatten)]
    principal: PrincipalArgs,
    /// The template
    #[arg(long, value_enum, default_value = "azure-backup")]
    template: TemplateName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TemplateName {
    /// What the backup service needs
    AzureBackup,
}

impl PrincipalArgs {
    /// The principal; without one, `default` where there is a sensible one.
    fn principal(&self, home: &Home, default: Option<&str>) -> Result<Principal> {
        let config = &home.config;
        let object_id = match (&self.object_id, &self.spn) {
            (Some(id), _) => id.clone(),
            (None, Some(name)) => {
                let known = [&config.backup_service, &config.operator];
                let fits = |p: &&&crate::home::Principal| {
                    p.display_name.eq_ignore_ascii_case(name)
                        || p.application_id.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(name))
                };
                let Some(found) = known.iter().find(fits) else {
                    return Err(Report::usage(format!("{name:?} is no principal of this home"))
                        .recommend("Give its object id with `--object-id`."));
                };
                found.object_id.clone()
            }
            (None, None) => match default {
                Some(id) => id.to_owned(),
                None => {
                    return Err(Report::usage("no principal is named")
                        .recommend("Give `--object-id` or `--spn \"Backup Management Service\"`."));
                }
            },
        };
        Ok(Principal { tenant: config.place.tenant_id.clone(), object_id })
    }
}

fn parse<T>(names: &[String], all: &[T]) -> Result<std::collections::BTreeSet<T>>
where
    T: std::str::FromStr<Err = cofre_keyvault::KeyVaultError> + Copy + Ord,
{
    let mut set = std::collections::BTreeSet::new();
    // several after one option, or with commas between them
    for name in names.iter().flat_map(|n| n.split([',', ' '])).filter(|n| !n.is_empty()) {
        if name.eq_ignore_ascii_case("all") {
            set.extend(all.iter().copied());
        } else {
            set.insert(name.parse().map_err(key_vault_error)?);
        }
    }
    Ok(set)
}

fn store(policy: &AccessPolicy, vault: &str, home: &Home) -> Result<Done> {
    if home.key_vaults.vault(vault).map_err(key_vault_error)?.role_based {
        let message = format!("the key vault {vault} goes by roles: access policies are not looked at there");
        return Err(ApiError::new(Problem::Conflict, message)
            .recommend("Assign a role, or `cofre keyvault update --enable-rbac-authorization false` first.")
            .into());
    }
    let vault =
        home.key_vaults.set_access_policy(&home.operator(), vault, policy).map_err(key_vault_error)?;
    shown(&vault, home)
}

pub(super) fn set(args: &SetArgs, home: &Home) -> Result<Done> {
    let permissions = Permissions {
        keys: parse(&args.key_permissions, KeyPermission::ALL)?,
        secrets: parse(&args.secret_permissions, SecretPermission::ALL)?,
        ..Permissions::default()
    };
    if permissions.is_empty() {
        return Err(Report::usage("no permission is named")
            .recommend("Give `--key-permissions` or `--secret-permissions`, or use `delete-policy`."));
    }
    let principal = args.principal.principal(home, None)?;
    store(&AccessPolicy { principal, permissions }, &args.principal.vault.name, home)
}

pub(super) fn delete(args: &PrincipalArgs, home: &Home) -> Result<Done> {
    let principal = args.principal(home, None)?;
    let vault = home
        .key_vaults
        .remove_access_policy(&home.operator(), &args.vault.name, &principal)
        .map_err(key_vault_error)?;
    shown(&vault, home)
}

pub(super) fn run(command: AccessPolicyCommand, home: &Home) -> Result<Done> {
    match command {
        AccessPolicyCommand::FromTemplate(args) => {
            let TemplateName::AzureBackup = args.template;
            let principal = args.principal.principal(home, Some(&home.config.backup_service.object_id))?;
            store(&AccessTemplate::AzureBackup.policy(principal), &args.principal.vault.name, home)
        }
        AccessPolicyCommand::List(args) => super::vaults::show(&args, home),
    }
}
