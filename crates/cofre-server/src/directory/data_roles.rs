//! The directory as key vaults of the role-based model ask it.

use std::error::Error;

use cofre_keyvault::{Permission, Permissions, Principal, RolePermissions};

use super::Directory;

impl RolePermissions for Directory {
    fn permissions(
        &self,
        principal: &Principal,
        vault_id: &str,
    ) -> Result<Permissions, Box<dyn Error + Send + Sync>> {
        if !principal.tenant.eq_ignore_ascii_case(self.tenant()) {
            return Ok(Permissions::default());
        }
        let object_id = principal.object_id.to_ascii_lowercase();
        Ok(self.recent()?.data_permissions(&object_id, vault_id))
    }

    fn allows_at_once(&self, principal: &Principal, vault_id: &str, permission: Permission) -> Option<bool> {
        if !principal.tenant.eq_ignore_ascii_case(self.tenant()) {
            return Some(false);
        }
        let object_id = principal.object_id.to_ascii_lowercase();
        Some(self.known()?.allows_data(&object_id, permission, vault_id))
    }
}
