//! The directory as key vaults of the role-based model ask it.

use std::error::Error;

use cofre_keyvault::{Permissions, Principal, RolePermissions};

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
        Ok(self.fresh()?.data_permissions(&object_id, vault_id))
    }
}
