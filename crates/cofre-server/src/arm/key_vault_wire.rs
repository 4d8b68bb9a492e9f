//! Key vaults in the shape of the contract.

use std::{collections::BTreeMap, str::FromStr};

use cofre_arm::{ApiError, Result};
use cofre_keyvault::{AccessPolicy, Deletion, Permissions, Principal, Vault};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::addresses::Addresses;

/// Body of a vault to be made or replaced; clients send more fields, which are read-only or have no meaning here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VaultBody {
    pub(super) location: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) properties: VaultProperties,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VaultProperties {
    pub(super) tenant_id: Option<String>,
    pub(super) sku: Option<Sku>,
    pub(super) access_policies: Option<Vec<PolicyBody>>,
    pub(super) enabled_for_deployment: Option<bool>,
    pub(super) enabled_for_disk_encryption: Option<bool>,
    pub(super) enabled_for_template_deployment: Option<bool>,
    pub(super) enable_soft_delete: Option<bool>,
    pub(super) soft_delete_retention_in_days: Option<u64>,
    pub(super) enable_purge_protection: Option<bool>,
    pub(super) enable_rbac_authorization: Option<bool>,
    pub(super) create_mode: Option<String>,
    pub(super) public_network_access: Option<String>,
    pub(super) network_acls: Option<NetworkRules>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sku {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NetworkRules {
    default_action: Option<String>,
    ip_rules: Option<Vec<Value>>,
    virtual_network_rules: Option<Vec<Value>>,
}

/// `PUT …/accessPolicies/add` and its like.
#[derive(Debug, Deserialize)]
pub(super) struct PoliciesBody {
    pub(super) properties: Policies,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Policies {
    pub(super) access_policies: Vec<PolicyBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyBody {
    tenant_id: String,
    object_id: String,
    application_id: Option<String>,
    #[serde(default)]
    permissions: PermissionsBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PermissionsBody {
    keys: Option<Vec<String>>,
    secrets: Option<Vec<String>>,
    certificates: Option<Vec<String>>,
}

/// Permissions by their names, or `all`.
fn permissions<T>(names: Option<&Vec<String>>, all: &[T]) -> Result<std::collections::BTreeSet<T>>
where
    T: FromStr<Err = cofre_keyvault::KeyVaultError> + Copy + Ord,
{
    let mut found = std::collections::BTreeSet::new();
    for name in names.into_iter().flatten() {
        if name.eq_ignore_ascii_case("all") {
            found.extend(all);
        } else {
            found.insert(
                name.parse()
                    .map_err(|error: cofre_keyvault::KeyVaultError| ApiError::invalid(error.to_string()))?,
            );
        }
    }
    Ok(found)
}

impl PolicyBody {
    pub(super) fn principal(&self) -> Principal {
        Principal { tenant: self.tenant_id.clone(), object_id: self.object_id.clone() }
    }

    /// The policy, with the permissions as sets. Those for storage accounts have no meaning here.
    pub(super) fn policy(&self, tenant: &str) -> Result<AccessPolicy> {
        if !self.tenant_id.eq_ignore_ascii_case(tenant) {
            return Err(ApiError::invalid(format!("an access policy names another tenant than {tenant}")));
        }
        if self.application_id.as_ref().is_some_and(|id| !id.is_empty()) {
            return Err(ApiError::invalid(
                "access policies for an application on behalf of somebody (applicationId) are not supported",
            ));
        }
        let PermissionsBody { keys, secrets, certificates } = &self.permissions;
        let permissions = Permissions {
            keys: permissions(keys.as_ref(), cofre_keyvault::KeyPermission::ALL)?,
            secrets: permissions(secrets.as_ref(), cofre_keyvault::SecretPermission::ALL)?,
            certificates: permissions(certificates.as_ref(), cofre_keyvault::CertificatePermission::ALL)?,
        };
        Ok(AccessPolicy { principal: self.principal(), permissions })
    }
}

impl VaultProperties {
    /// Whether the sku is premium.
    pub(super) fn premium(&self) -> Result<Option<bool>> {
        match &self.sku {
            None => Ok(None),
            Some(sku) if sku.name.eq_ignore_ascii_case("standard") => Ok(Some(false)),
            Some(sku) if sku.name.eq_ignore_ascii_case("premium") => Ok(Some(true)),
            Some(_) => Err(ApiError::invalid("the sku of a key vault is standard or premium")),
        }
    }

    /// The days that deleted things are kept.
    pub(super) fn retention(&self) -> Result<Option<u8>> {
        let days = self.soft_delete_retention_in_days.map(u8::try_from).transpose();
        days.map_err(|_| ApiError::invalid("softDeleteRetentionInDays is from 7 to 90"))
    }

    /// The policies.
    pub(super) fn policies(&self, tenant: &str) -> Result<Option<Vec<AccessPolicy>>> {
        let policies = self.access_policies.as_ref();
        policies.map(|policies| policies.iter().map(|policy| policy.policy(tenant)).collect()).transpose()
    }

    /// Refuses what would be promised and not kept.
    pub(super) fn check_supported(&self, tenant: &str) -> Result<()> {
        if self.tenant_id.as_ref().is_some_and(|id| !id.eq_ignore_ascii_case(tenant)) {
            return Err(ApiError::invalid(format!("the key vault would be of another tenant than {tenant}")));
        }
        if self.enable_soft_delete == Some(false) {
            return Err(ApiError::invalid("soft delete cannot be switched off")
                .recommend("Choose the days it lasts: --retention-days 7 to 90."));
        }
        let allows = |rule: &str| rule.eq_ignore_ascii_case("Allow");
        let closed = self.network_acls.as_ref().is_some_and(|rules| {
            !rules.default_action.as_deref().is_none_or(allows)
                || [&rules.ip_rules, &rules.virtual_network_rules]
                    .iter()
                    .any(|list| list.as_ref().is_some_and(|list| !list.is_empty()))
        });
        let private =
            self.public_network_access.as_ref().is_some_and(|access| access.eq_ignore_ascii_case("Disabled"));
        if closed || private {
            return Err(ApiError::invalid("network rules of a key vault are not supported").recommend(
                "Close the service's port to others with a firewall, or listen on loopback alone.",
            ));
        }
        Ok(())
    }
}

fn policy_json(policy: &AccessPolicy) -> Value {
    let AccessPolicy { principal, permissions } = policy;
    json!({
        "tenantId": principal.tenant,
        "objectId": principal.object_id,
        "permissions": {
            "keys": permissions.keys,
            "secrets": permissions.secrets,
            "certificates": permissions.certificates,
            "storage": [],
        },
    })
}

/// A vault as a resource.
pub(crate) fn vault_json(vault: &Vault, addresses: &Addresses) -> Value {
    let mut properties = json!({
        "tenantId": vault.tenant,
        "sku": {"family": "A", "name": if vault.premium { "premium" } else { "standard" }},
        "accessPolicies": vault.access_policies.iter().map(policy_json).collect::<Vec<_>>(),
        "enabledForDeployment": vault.enabled_for_deployment,
        "enabledForDiskEncryption": vault.enabled_for_disk_encryption,
        "enabledForTemplateDeployment": vault.enabled_for_template_deployment,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": vault.soft_delete_retention_days,
        "enableRbacAuthorization": vault.role_based,
        "vaultUri": addresses.key_vault_uri(&vault.name),
        "provisioningState": "Succeeded",
        "publicNetworkAccess": "Enabled",
    });
    if vault.purge_protection {
        // Clients take `false` for a wish to switch it off, so that it is there only when it is on.
        properties["enablePurgeProtection"] = json!(true);
    }
    json!({
        "id": vault.id,
        "name": vault.name,
        "type": cofre_arm::names::KEY_VAULT,
        "location": vault.location,
        "tags": vault.tags,
        "systemData": {"createdAt": vault.created.to_string(), "lastModifiedAt": vault.created.to_string()},
        "properties": properties,
    })
}

/// A deleted vault.
pub(super) fn deleted_vault_json(vault: &Vault, deletion: &Deletion, subscription: &str) -> Value {
    let mut properties = json!({
        "vaultId": vault.id,
        "location": vault.location,
        "deletionDate": deletion.deleted.to_string(),
        "scheduledPurgeDate": deletion.scheduled_purge.to_string(),
        "tags": vault.tags,
    });
    if vault.purge_protection {
        properties["purgeProtectionEnabled"] = json!(true);
    }
    json!({
        "id": format!(
            "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            vault.location, vault.name
        ),
        "name": vault.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": properties,
    })
}
