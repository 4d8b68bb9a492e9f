//! Access policies: who may do what in a key vault. What no policy allows is refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    caller::Caller,
    permission::{CertificatePermission, KeyPermission, SecretPermission},
};

/// A principal in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// The directory.
    pub tenant: String,
    /// The object id there.
    pub object_id: String,
}

impl Principal {
    /// Whether `other` is the same one: without regard to case.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.tenant.eq_ignore_ascii_case(&other.tenant)
            && self.object_id.eq_ignore_ascii_case(&other.object_id)
    }
}

impl From<&Caller> for Principal {
    fn from(caller: &Caller) -> Self {
        Self { tenant: caller.tenant.clone(), object_id: caller.object_id.clone() }
    }
}

/// Sets of permissions for keys, secrets and certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permissions {
    /// For keys.
    pub keys: BTreeSet<KeyPermission>,
    /// For secrets.
    pub secrets: BTreeSet<SecretPermission>,
    /// For certificates.
    pub certificates: BTreeSet<CertificatePermission>,
}

impl Permissions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.secrets.is_empty() && self.certificates.is_empty()
    }

    /// What is in these and not in `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        Self {
            keys: self.keys.difference(&others.keys).copied().collect(),
            secrets: self.secrets.difference(&others.secrets).copied().collect(),
            certificates: self.certificates.difference(&others.certificates).copied().collect(),
        }
    }
}

/// What one principal may do, with all keys and secrets of a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessPolicy {
    /// Whom it is for.
    pub principal: Principal,
    /// What is allowed.
    pub permissions: Permissions,
}

/// Permissions chosen in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessTemplate {
    /// *Azure Backup*: get, list and backup, for keys and for secrets.
    AzureBackup,
}

impl AccessTemplate {
    /// What the template fills in.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        match self {
            Self::AzureBackup => Permissions {
                keys: [KeyPermission::Get, KeyPermission::List, KeyPermission::Backup].into(),
                secrets: [SecretPermission::Get, SecretPermission::List, SecretPermission::Backup].into(),
                certificates: BTreeSet::new(),
            },
        }
    }

    /// A policy with the template's permissions.
    #[must_use]
    pub fn policy(self, principal: Principal) -> AccessPolicy {
        AccessPolicy { principal, permissions: self.permissions() }
    }
}
