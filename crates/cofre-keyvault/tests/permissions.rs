//! Each permission allows exactly its own operations, and every operation leaves exactly one audit event.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use cofre_keyvault::{
    AccessPolicy, AccessTemplate, BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID, Caller, ErrorKind, KeyPermission,
    KeySpec, KeyUpdate, KeyVaultError, KeyVaults, Operation, Outcome, PageRequest, Permissions, Principal,
    Scope, SecretPermission, SecretUpdate, VaultUpdate,
};
use support::{Home, caller, kind, secret};

/// What there is before an operation.
struct Scene {
    wrapped: Vec<u8>,
    key_blob: Vec<u8>,
    secret_blob: Vec<u8>,
}

type Run = fn(&KeyVaults, &Caller, &Scene) -> Result<(), KeyVaultError>;

const ALG: &str = "RSA-OAEP";

/// Operation, the permission it needs, and how to do it.
const KEY_OPERATIONS: &[(Operation, KeyPermission, Run)] = &[
    (Operation::Create, KeyPermission::Create, |v, c, _| {
        v.create_key(c, "kv-1", "new", &KeySpec::default()).map(drop)
    }),
    (Operation::Get, KeyPermission::Get, |v, c, _| v.key(c, "kv-1", "kek", None).map(drop)),
    (Operation::List, KeyPermission::List, |v, c, _| {
        v.list_keys(c, "kv-1", PageRequest::default()).map(drop)
    }),
    (Operation::List, KeyPermission::List, |v, c, _| {
        v.list_key_versions(c, "kv-1", "kek", PageRequest::default()).map(drop)
    }),
    (Operation::Update, KeyPermission::Update, |v, c, _| {
        v.update_key(c, "kv-1", "kek", None, &KeyUpdate::default()).map(drop)
    }),
    (Operation::WrapKey, KeyPermission::WrapKey, |v, c, _| {
        v.wrap_key(c, "kv-1", "kek", None, ALG, b"x").map(drop)
    }),
    (Operation::Encrypt, KeyPermission::Encrypt, |v, c, _| {
        v.encrypt(c, "kv-1", "kek", None, ALG, b"x").map(drop)
    }),
    (Operation::UnwrapKey, KeyPermission::UnwrapKey, |v, c, s| {
        v.unwrap_key(c, "kv-1", "kek", None, ALG, &s.wrapped).map(drop)
    }),
    (Operation::Decrypt, KeyPermission::Decrypt, |v, c, s| {
        v.decrypt(c, "kv-1", "kek", None, ALG, &s.wrapped).map(drop)
    }),
    (Operation::Sign, KeyPermission::Sign, |v, c, _| {
        v.sign(c, "kv-1", "kek", None, "PS256", &[7; 32]).map(drop)
    }),
    (Operation::Verify, KeyPermission::Verify, |v, c, _| {
        v.verify(c, "kv-1", "kek", None, "PS256", &[7; 32], b"").map(drop)
    }),
    (Operation::Backup, KeyPermission::Backup, |v, c, _| v.backup_key(c, "kv-1", "kek").map(drop)),
    (Operation::Restore, KeyPermission::Restore, |v, c, s| v.restore_key(c, "kv-1", &s.key_blob).map(drop)),
    (Operation::Delete, KeyPermission::Delete, |v, c, _| v.delete_key(c, "kv-1", "kek").map(drop)),
    (Operation::Get, KeyPermission::Get, |v, c, _| v.deleted_key(c, "kv-1", "gone").map(drop)),
    (Operation::List, KeyPermission::List, |v, c, _| {
        v.list_deleted_keys(c, "kv-1", PageRequest::default()).map(drop)
    }),
    (Operation::Recover, KeyPermission::Recover, |v, c, _| v.recover_key(c, "kv-1", "gone").map(drop)),
    (Operation::Purge, KeyPermission::Purge, |v, c, _| v.purge_key(c, "kv-1", "gone")),
];

const SECRET_OPERATIONS: &[(Operation, SecretPermission, Run)] = &[
    (Operation::Set, SecretPermission::Set, |v, c, _| {
        v.set_secret(c, "kv-1", "bek", &secret("s2")).map(drop)
    }),
    (Operation::Get, SecretPermission::Get, |v, c, _| v.secret(c, "kv-1", "bek", None).map(drop)),
    (Operation::List, SecretPermission::List, |v, c, _| {
        v.list_secrets(c, "kv-1", PageRequest::default()).map(drop)
    }),
    (Operation::List, SecretPermission::List, |v, c, _| {
        v.list_secret_versions(c, "kv-1", "bek", PageRequest::default()).map(drop)
    }),
    (Operation::Update, SecretPermission::Set, |v, c, _| {
        v.update_secret(c, "kv-1", "bek", None, &SecretUpdate::default()).map(drop)
    }),
    (Operation::Backup, SecretPermission::Backup, |v, c, _| v.backup_secret(c, "kv-1", "bek").map(drop)),
    (Operation::Restore, SecretPermission::Restore, |v, c, s| {
        v.restore_secret(c, "kv-1", &s.secret_blob).map(drop)
    }),
    (Operation::Delete, SecretPermission::Delete, |v, c, _| v.delete_secret(c, "kv-1", "bek").map(drop)),
    (Operation::Get, SecretPermission::Get, |v, c, _| v.deleted_secret(c, "kv-1", "gone").map(drop)),
    (Operation::List, SecretPermission::List, |v, c, _| {
        v.list_deleted_secrets(c, "kv-1", PageRequest::default()).map(drop)
    }),
    (Operation::Recover, SecretPermission::Recover, |v, c, _| v.recover_secret(c, "kv-1", "gone").map(drop)),
    (Operation::Purge, SecretPermission::Purge, |v, c, _| v.purge_secret(c, "kv-1", "gone")),
];

/// A home with a key and a secret in `kv-1`, others that are deleted there, and blobs of others that are
/// not there.
fn home() -> (Home, Scene) {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    let (vaults, admin) = (&home.vaults, &home.admin);
    vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    vaults.create_key(admin, "kv-2", "other", &KeySpec::default()).unwrap();
    home.set("kv-1", "bek", "s1");
    home.set("kv-2", "other", "s1");
    delete_key(&home, true);
    delete_secret(&home, true);
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, ALG, b"x").unwrap().value.expose().to_vec();
    let key_blob = vaults.backup_key(admin, "kv-2", "other").unwrap();
    let secret_blob = vaults.backup_secret(admin, "kv-2", "other").unwrap();
    (home, Scene { wrapped, key_blob, secret_blob })
}

/// The key `gone`: made if need be, and deleted.
fn delete_key(home: &Home, make: bool) {
    if make {
        home.vaults.create_key(&home.admin, "kv-1", "gone", &KeySpec::default()).unwrap();
    }
    home.vaults.delete_key(&home.admin, "kv-1", "gone").unwrap();
}

/// The secret `gone`, likewise.
fn delete_secret(home: &Home, make: bool) {
    if make {
        home.set("kv-1", "gone", "s1");
    }
    home.vaults.delete_secret(&home.admin, "kv-1", "gone").unwrap();
}

/// Does one operation and checks answer and audit. What was made or deleted is put back.
fn check(
    home: &Home,
    scene: &Scene,
    scope: Scope,
    operation: Operation,
    run: Run,
    allowed: bool,
    what: &str,
) {
    let limited = caller("limited");
    let before = home.state.events().len();
    let result = run(&home.vaults, &limited, scene);
    match &result {
        Ok(()) => assert!(allowed, "{what}: {operation:?} was allowed"),
        Err(error) => {
            assert!(!allowed, "{what}: {operation:?}: {error}");
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{what}: {operation:?}: {error}");
        }
    }
    let events = home.state.events();
    assert_eq!(events.len(), before + 1, "{what}: {operation:?} leaves one event");
    let event = &events[before];
    assert_eq!((event.operation, event.scope, event.caller.as_str()), (operation, scope, "limited"));
    assert_eq!(event.outcome, if allowed { Outcome::Allowed } else { Outcome::Refused });
    assert_eq!(event.reason.as_deref(), if allowed { None } else { Some("KeyVaultForbidden") });
    assert_eq!(event.vault.as_deref(), Some("kv-1"));
    assert_eq!((event.time, event.tenant.as_str()), (support::START.parse().unwrap(), "tenant"));

    match (operation, scope) {
        _ if !allowed => {}
        (Operation::Delete, Scope::Keys) => {
            home.vaults.recover_key(&home.admin, "kv-1", "kek").unwrap();
        }
        (Operation::Delete, _) => {
            home.vaults.recover_secret(&home.admin, "kv-1", "bek").unwrap();
        }
        (Operation::Restore, Scope::Keys) => home.end_key("kv-1", "other"),
        (Operation::Restore, _) => home.end_secret("kv-1", "other"),
        (Operation::Recover | Operation::Purge, Scope::Keys) => {
            delete_key(home, operation == Operation::Purge);
        }
        (Operation::Recover | Operation::Purge, _) => delete_secret(home, operation == Operation::Purge),
        _ => {}
    }
}

fn check_all(home: &Home, scene: &Scene, keys: &[KeyPermission], secrets: &[SecretPermission]) {
    home.allow("kv-1", &caller("limited"), keys, secrets);
    let what = format!("{keys:?} {secrets:?}");
    for (operation, needed, run) in KEY_OPERATIONS {
        check(home, scene, Scope::Keys, *operation, *run, keys.contains(needed), &what);
    }
    for (operation, needed, run) in SECRET_OPERATIONS {
        check(home, scene, Scope::Secrets, *operation, *run, secrets.contains(needed), &what);
    }
}

#[test]
fn every_permission_allows_exactly_its_operations() {
    let (home, scene) = home();
    check_all(&home, &scene, &[], &[]);
    for permission in KeyPermission::ALL {
        check_all(&home, &scene, &[*permission], &[]);
    }
    for permission in SecretPermission::ALL {
        check_all(&home, &scene, &[], &[*permission]);
    }
    check_all(&home, &scene, KeyPermission::ALL, SecretPermission::ALL);
}

#[test]
fn the_backup_template_reads_and_backs_up() {
    let (home, scene) = home();
    let template = AccessTemplate::AzureBackup.permissions();
    check_all(
        &home,
        &scene,
        &template.keys.iter().copied().collect::<Vec<_>>(),
        &template.secrets.iter().copied().collect::<Vec<_>>(),
    );
    assert_eq!(template.keys, [KeyPermission::Get, KeyPermission::List, KeyPermission::Backup].into());
    assert_eq!(
        template.secrets,
        [SecretPermission::Get, SecretPermission::List, SecretPermission::Backup].into()
    );

    let service =
        Principal { tenant: "TENANT".into(), object_id: BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID.into() };
    assert_eq!(home.vaults.missing_permissions("kv-1", &service, &template).unwrap(), template);
    let policy = AccessTemplate::AzureBackup.policy(service.clone());
    home.vaults.set_access_policy(&home.admin, "KV-1", &policy).unwrap();
    assert!(home.vaults.missing_permissions("kv-1", &service, &template).unwrap().is_empty());
    let needed = Permissions { keys: [KeyPermission::Get, KeyPermission::UnwrapKey].into(), ..template };
    let missing = home.vaults.missing_permissions("kv-1", &service, &needed).unwrap();
    assert_eq!((missing.keys, missing.secrets.len()), ([KeyPermission::UnwrapKey].into(), 0));
}

#[test]
fn policies_take_effect_at_once() {
    let (home, _) = home();
    let limited = caller("limited");
    let get = || home.vaults.secret(&limited, "kv-1", "bek", None);
    let error = get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    let text = error.to_string();
    assert!(text.contains("secrets/get") && text.contains("kv-1") && text.contains("limited"), "{text}");

    home.allow("kv-1", &limited, &[], &[SecretPermission::Get]);
    get().unwrap();
    // Another directory's principal of the same object id is somebody else.
    let stranger = Caller { tenant: "elsewhere".into(), ..limited.clone() };
    assert_eq!(kind(home.vaults.secret(&stranger, "kv-1", "bek", None)), ErrorKind::Forbidden);
    let shouting = Caller { object_id: "LIMITED".into(), ..limited.clone() };
    home.vaults.secret(&shouting, "kv-1", "bek", None).unwrap();
    assert_eq!(kind(home.vaults.secret(&limited, "kv-2", "other", None)), ErrorKind::Forbidden);

    home.vaults.remove_access_policy(&home.admin, "kv-1", &Principal::from(&limited)).unwrap();
    assert_eq!(home.last_event().operation, Operation::RemoveAccessPolicy);
    assert_eq!(kind(get()), ErrorKind::Forbidden);
    // What is not there is not told to those who may not look.
    assert_eq!(kind(home.vaults.secret(&limited, "kv-1", "none", None)), ErrorKind::Forbidden);
}

#[test]
fn malformed_policies_are_refused() {
    let (home, _) = home();
    let policy = |object_id: &str| AccessPolicy {
        principal: Principal { tenant: "t".into(), object_id: object_id.into() },
        permissions: Permissions::default(),
    };
    let set = |policies: Vec<AccessPolicy>| {
        let update = VaultUpdate { access_policies: Some(policies), ..VaultUpdate::default() };
        home.vaults.update_vault(&home.admin, "kv-1", &update)
    };
    assert_eq!(kind(set(vec![policy("a"), policy("A")])), ErrorKind::Invalid);
    assert_eq!(kind(set(vec![policy("")])), ErrorKind::Invalid);
    assert_eq!(kind(set((0..1025).map(|i| policy(&i.to_string())).collect())), ErrorKind::Invalid);
    set((0..1024).map(|i| policy(&i.to_string())).collect()).unwrap();
    assert_eq!(home.vaults.vault("kv-1").unwrap().access_policies.len(), 1024);
}
