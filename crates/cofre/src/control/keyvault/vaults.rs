//! Key vaults themselves.

use clap::Args;
use cofre_keyvault::{
    AccessPolicy, KeyPermission, Permissions, Principal, SecretPermission, Vault, VaultSpec, VaultUpdate,
};
use cofre_recovery::{key_vault_error, key_vault_id};
use serde_json::{Value, json};

use super::keys::all;
use crate::{
    control::{
        selection::GroupArgs,
        table::{instant, table},
    },
    exit::Exit,
    home::Home,
    output::Done,
    report::Result,
};

pub(super) const CREATE: &str = "Machines can only start from keys of a vault that is enabled for disk encryption, and only there can keys be proven.

Example:
  cofre keyvault create --name kv1 --enabled-for-disk-encryption true";

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the key vault
    #[arg(long, short = 'n', value_name = "VAULT", visible_alias = "vault-name")]
    pub(super) name: String,
}

/// What the platform may do with its secrets, who decides, and what becomes of what is deleted.
#[derive(Debug, Args)]
pub(crate) struct FlagArgs {
    /// Machines may start from its keys, and keys can be proven
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enabled_for_disk_encryption: Option<bool>,
    /// Kept and shown
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enabled_for_deployment: Option<bool>,
    /// Kept and shown
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enabled_for_template_deployment: Option<bool>,
    /// Days that it, and what is deleted in it, can be recovered: 7 to 90 [default: 90]; stays as it was made
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u8>,
    /// Nothing of it can be purged before these days are over; cannot be switched off
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enable_purge_protection: Option<bool>,
    /// Roles say who may use it; access policies are not looked at
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enable_rbac_authorization: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    vault: NameArgs,
    #[command(flatten)]
    group: GroupArgs,
    /// Region [default: that of the home]
    #[arg(long, short = 'l', value_name = "REGION")]
    location: Option<String>,
    #[command(flatten)]
    flags: FlagArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    vault: NameArgs,
    #[command(flatten)]
    flags: FlagArgs,
}

fn principal_name(principal: &Principal, home: &Home) -> String {
    let known = [&home.config.operator, &home.config.backup_service];
    let known = known.into_iter().find(|p| p.object_id.eq_ignore_ascii_case(&principal.object_id));
    known.map_or_else(|| "-".to_owned(), |p| p.display_name.clone())
}

pub(super) fn answer(vault: &Vault, home: &Home) -> Value {
    json!({
        "id": vault.id,
        "name": vault.name,
        "location": vault.location,
        "vaultUri": format!("https://{}.{}/", vault.name, home.config.settings.key_vault_suffix),
        "enabledForDiskEncryption": vault.enabled_for_disk_encryption,
        "enabledForDeployment": vault.enabled_for_deployment,
        "enabledForTemplateDeployment": vault.enabled_for_template_deployment,
        "accessPolicies": vault.access_policies.iter().map(|p| json!({
            "tenantId": p.principal.tenant,
            "objectId": p.principal.object_id,
            "displayName": principal_name(&p.principal, home),
            "permissions": p.permissions,
        })).collect::<Vec<_>>(),
        "created": vault.created,
        "sku": if vault.premium { "premium" } else { "standard" },
        "tags": vault.tags,
        "softDeleteRetentionInDays": vault.soft_delete_retention_days,
        "enablePurgeProtection": vault.purge_protection,
        "enableRbacAuthorization": vault.role_based,
    })
}

pub(super) fn text(vault: &Vault, home: &Home) -> String {
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let mut text = format!(
        "{} ({})\n  url                 https://{}.{}/\n  for disk encryption {}\n  made                {}\n  \
         deleted things stay {} days, purge protection: {}\n",
        vault.name,
        vault.id,
        vault.name,
        home.config.settings.key_vault_suffix,
        yes(vault.enabled_for_disk_encryption),
        instant(vault.created),
        vault.soft_delete_retention_days,
        yes(vault.purge_protection),
    );
    if vault.role_based {
        text.push_str("Roles say who may use it.\n");
        return text;
    }
    let join = |names: Vec<&str>, all: usize| match names.len() {
        0 => "-".to_owned(),
        many if many == all => "all".to_owned(),
        _ => names.join(" "),
    };
    let rows: Vec<_> = vault
        .access_policies
        .iter()
        .map(|p| {
            vec![
                principal_name(&p.principal, home),
                p.principal.object_id.clone(),
                join(p.permissions.keys.iter().map(|k| k.as_str()).collect(), KeyPermission::ALL.len()),
                join(p.permissions.secrets.iter().map(|s| s.as_str()).collect(), SecretPermission::ALL.len()),
            ]
        })
        .collect();
    text.push_str(&table("Nobody may use it.", &["WHO", "OBJECT ID", "KEYS", "SECRETS"], &rows));
    text
}

pub(super) fn shown(vault: &Vault, home: &Home) -> Result<Done> {
    Done::new(&answer(vault, home), text(vault, home), Exit::Ok)
}

pub(super) fn create(args: &CreateArgs, home: &Home) -> Result<Done> {
    let place = &home.config.place;
    let id = key_vault_id(&place.subscription_id, &args.group.resource_group, &args.vault.name)?;
    let operator = home.operator();
    let everything = Permissions {
        keys: KeyPermission::ALL.iter().copied().collect(),
        secrets: SecretPermission::ALL.iter().copied().collect(),
        ..Permissions::default()
    };
    let role_based = args.flags.enable_rbac_authorization.unwrap_or_default();
    let policy = AccessPolicy { principal: Principal::from(&operator), permissions: everything };
    let spec = VaultSpec {
        id: id.to_string(),
        name: args.vault.name.clone(),
        location: args.location.clone().unwrap_or_else(|| place.location.clone()),
        tenant: place.tenant_id.clone(),
        enabled_for_disk_encryption: args.flags.enabled_for_disk_encryption.unwrap_or_default(),
        enabled_for_deployment: args.flags.enabled_for_deployment.unwrap_or_default(),
        enabled_for_template_deployment: args.flags.enabled_for_template_deployment.unwrap_or_default(),
        access_policies: if role_based { Vec::new() } else { vec![policy] },
        soft_delete_retention_days: args.flags.retention_days,
        purge_protection: args.flags.enable_purge_protection.unwrap_or_default(),
        role_based,
        ..VaultSpec::default()
    };
    let vault = home.key_vaults.create_vault(&operator, &spec).map_err(key_vault_error)?;
    shown(&vault, home)
}

pub(super) fn list(home: &Home) -> Result<Done> {
    let vaults = all(|page| home.key_vaults.list_vaults(page))?;
    let row = |v: &Vault| {
        let enabled = if v.enabled_for_disk_encryption { "yes" } else { "no" };
        vec![
            v.name.clone(),
            v.location.clone(),
            enabled.to_owned(),
            v.access_policies.len().to_string(),
            instant(v.created),
        ]
    };
    let rows: Vec<_> = vaults.iter().map(row).collect();
    let headings = ["NAME", "LOCATION", "FOR DISK ENCRYPTION", "POLICIES", "MADE"];
    let json = json!({"keyVaults": vaults.iter().map(|v| answer(v, home)).collect::<Vec<_>>()});
    Done::new(&json, table("There are no key vaults.", &headings, &rows), Exit::Ok)
}

pub(super) fn show(args: &NameArgs, home: &Home) -> Result<Done> {
    shown(&home.key_vaults.vault(&args.name).map_err(key_vault_error)?, home)
}

pub(super) fn update(args: &UpdateArgs, home: &Home) -> Result<Done> {
    let update = VaultUpdate {
        enabled_for_disk_encryption: args.flags.enabled_for_disk_encryption,
        enabled_for_deployment: args.flags.enabled_for_deployment,
        enabled_for_template_deployment: args.flags.enabled_for_template_deployment,
        soft_delete_retention_days: args.flags.retention_days,
        purge_protection: args.flags.enable_purge_protection,
        role_based: args.flags.enable_rbac_authorization,
        ..VaultUpdate::default()
    };
    let vault =
        home.key_vaults.update_vault(&home.operator(), &args.vault.name, &update).map_err(key_vault_error)?;
    shown(&vault, home)
}
