//! Roles instead of access policies: who may do what is decided elsewhere.

use std::error::Error;

use crate::policy::{Permissions, Principal};

/// Says what the roles of a principal allow in vaults that are role-based.
pub trait RolePermissions: Send + Sync {
    /// What `principal` may do with keys and secrets of the vault with the resource id `vault_id`, as it is now. An
    /// answer is used again only while the storage has the version that it had before the question: where roles lie in
    /// the same storage, a change counts from the next operation on.
    ///
    /// # Errors
    /// When the roles cannot be read; the operation is then refused.
    fn permissions(
        &self,
        principal: &Principal,
        vault_id: &str,
    ) -> Result<Permissions, Box<dyn Error + Send + Sync>>;
}
