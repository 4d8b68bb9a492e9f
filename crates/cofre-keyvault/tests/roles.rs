//! Role-based vaults: roles decide, access policies do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use cofre_keyvault::{
    ErrorKind, KeyPermission, KeyVaults, PageRequest, Permissions, Principal, RolePermissions,
    SecretPermission, VaultUpdate,
};
use support::{Home, caller, kind, secret};

/// Roles of one principal on one vault, or none to be read.
struct Roles(Mutex<Option<(String, String, Permissions)>>);

impl RolePermissions for Roles {
    fn permissions(
        &self,
        principal: &Principal,
        vault_id: &str,
    ) -> Result<Permissions, Box<dyn Error + Send + Sync>> {
        let roles = self.0.lock().unwrap();
        let (who, vault, permissions) = roles.as_ref().ok_or("the directory does not answer")?;
        let fits = *who == principal.object_id && vault_id.ends_with(vault.as_str());
        Ok(if fits { permissions.clone() } else { Permissions::default() })
    }
}

/// A home with the role-based vault `kv-1`, whose policies allow the administrator everything, and the same
/// service with roles.
fn home(role: Option<(String, String, Permissions)>) -> (Home, KeyVaults, Arc<Roles>) {
    let home = Home::new().with_vault("kv-2");
    let mut spec = home.spec("kv-1");
    spec.role_based = true;
    assert_eq!(spec.access_policies.len(), 1);
    home.vaults.create_vault(&home.admin, &spec).unwrap();
    let roles = Arc::new(Roles(Mutex::new(role)));
    let vaults = KeyVaults::open(home.state.clone(), &home.root, home.clock.clone(), home.vaults.place());
    let vaults = vaults.unwrap().with_roles(roles.clone());
    (home, vaults, roles)
}

fn officer() -> Permissions {
    let secrets = [SecretPermission::Set, SecretPermission::Get].into();
    Permissions { secrets, keys: [KeyPermission::List].into(), ..Permissions::default() }
}

#[test]
fn without_roles_nobody_may_do_anything() {
    let (home, ..) = home(None);
    let error = home.vaults.list_secrets(&home.admin, "kv-1", PageRequest::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.to_string().contains("secrets/list") && error.to_string().ends_with("assign a role"),
        "{error}"
    );
    let all = Permissions { keys: KeyPermission::ALL.iter().copied().collect(), ..officer() };
    assert_eq!(home.vaults.missing_permissions("kv-1", &(&home.admin).into(), &all).unwrap(), all);
    assert!(home.vaults.missing_permissions("kv-2", &(&home.admin).into(), &all).unwrap().is_empty());
}

#[test]
fn roles_allow_exactly_what_they_say_from_the_next_operation_on() {
    let (home, vaults, roles) = home(Some(("officer".into(), "/vaults/kv-1".into(), officer())));
    let officer_calls = caller("officer");
    vaults.set_secret(&officer_calls, "kv-1", "bek", &secret("x")).unwrap();
    vaults.secret(&officer_calls, "kv-1", "bek", None).unwrap();
    vaults.list_keys(&officer_calls, "kv-1", PageRequest::default()).unwrap();
    assert_eq!(kind(vaults.delete_secret(&officer_calls, "kv-1", "bek")), ErrorKind::Forbidden);
    assert_eq!(
        kind(vaults.secret(&home.admin, "kv-1", "bek", None)),
        ErrorKind::Forbidden,
        "by policy alone"
    );
    // In a vault that goes by policies roles are not asked.
    assert_eq!(kind(vaults.set_secret(&officer_calls, "kv-2", "bek", &secret("x"))), ErrorKind::Forbidden);
    vaults.set_secret(&home.admin, "kv-2", "bek", &secret("x")).unwrap();

    let needed = Permissions { secrets: SecretPermission::ALL.iter().copied().collect(), ..officer() };
    let missing = vaults.missing_permissions("kv-1", &(&officer_calls).into(), &needed).unwrap();
    assert_eq!(missing, needed.without(&officer()));

    roles.0.lock().unwrap().as_mut().unwrap().2 = Permissions::default();
    assert_eq!(kind(vaults.secret(&officer_calls, "kv-1", "bek", None)), ErrorKind::Forbidden);

    // A vault can go from one model to the other.
    let by_policy = VaultUpdate { role_based: Some(false), ..VaultUpdate::default() };
    vaults.update_vault(&home.admin, "kv-1", &by_policy).unwrap();
    vaults.secret(&home.admin, "kv-1", "bek", None).unwrap();
}

#[test]
fn roles_that_cannot_be_read_allow_nothing() {
    let (home, vaults, _) = home(None);
    let error = vaults.secret(&home.admin, "kv-1", "bek", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert_eq!(error.source().unwrap().to_string(), "the directory does not answer");
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyVaultStateFailed"));
    let missing = vaults.missing_permissions("kv-1", &(&home.admin).into(), &officer());
    assert_eq!(kind(missing), ErrorKind::State);
}
