//! Who may use the service of a home from the start: the operator, who logs in with a secret, and the principal that
//! reads key vaults for backups, who never does.

use std::{collections::BTreeMap, sync::Arc};

use cofre_arm::RoleDefinition;
use cofre_keyvault::{Clock as _, SystemClock};
use cofre_server::{
    directory::{Actor, Credential, DEFAULT_GROUP, Directory, NewAssignment, NewSecret},
    identity::TokenKey,
};
use cofre_store::Store;

use super::{Config, Layout};
use crate::report::Result;

/// The role of the operator.
const OWNER: &str = "Owner";

impl Config {
    /// The directory of the home.
    pub(crate) fn directory(&self, store: Arc<Store>) -> Directory {
        let place = &self.place;
        Directory::new(store, Arc::new(SystemClock), &place.tenant_id, &place.subscription_id)
    }
}

/// Whoever uses the home from the command line, for the audit.
pub(crate) fn operator_actor(config: &Config) -> Actor {
    Actor { object_id: config.operator.object_id.clone(), request_id: None }
}

/// Makes what a service needs to know its callers; what is there stays. Returns the operator's first secret.
pub(super) fn establish(layout: &Layout, config: &Config, directory: &Directory) -> Result<NewSecret> {
    let actor = operator_actor(config);
    for principal in [&config.operator, &config.backup_service] {
        directory.create_principal(
            &actor,
            &principal.display_name,
            Some(&principal.object_id),
            principal.application_id.as_deref(),
        )?;
    }
    let (credential, secret) = Credential::secret(SystemClock.now(), None)?;
    directory.add_credential(&actor, &config.operator.object_id, credential)?;
    let role = RoleDefinition::find(OWNER).map_or(OWNER, |role| role.id);
    directory.assign(
        &actor,
        NewAssignment {
            id: None,
            scope: &directory.subscription_scope(),
            role,
            principal: &config.operator.object_id,
        },
    )?;
    directory.put_group(&actor, DEFAULT_GROUP, &config.place.location, BTreeMap::new())?;
    TokenKey::create_file(&layout.token_key())?;
    layout.tls().ensure_authority(SystemClock.now(), &config.place.tenant_id)?;
    Ok(secret)
}
