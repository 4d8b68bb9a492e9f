//! Roles instead of access policies: who may do what is decided elsewhere.

use std::error::Error;

use crate::{
    permission::Permission,
    policy::{Permissions, Principal},
};

/// Says what the roles of a principal allow in vaults that are role-based.
pub trait RolePermissions: Send + Sync {
    /// What `principal` may do with keys and secrets of the vault with the resource id `vault_id`. Asked
    /// anew for every operation, so that a change counts from the next one on.
    ///
    /// # Errors
    /// When the roles cannot be read; the operation is then refused.
    fn permissions(
        &self,
        principal: &Principal,
        vault_id: &str,
    ) -> Result<Permissions, Box<dyn Error + Send + Sync>>;

    /// Whether `principal` has a permission, if that can be told from memory: who answers from memory asks this, and
    /// [`permissions`](Self::permissions) where there is no answer.
    fn allows_at_once(
        &self,
        _principal: &Principal,
        _vault_id: &str,
        _permission: Permission,
    ) -> Option<bool> {
        None
    }
}
