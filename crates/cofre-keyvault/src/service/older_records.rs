//! Records as they were written before deletion could be undone still open.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{KeyVaults, seal_record};
use crate::{
    audit::AuditEvent,
    bundle::{PageRequest, SecretSpec},
    caller::Caller,
    clock::SystemClock,
    permission::SecretPermission,
    place::Place,
    policy::{AccessPolicy, Permissions, Principal},
    root_key::RootKey,
    secret_value::SecretValue,
    state::{Change, MemoryState, State as _},
    vault::VaultSpec,
};

const VAULT: &str = r#"{"place":{"tenant":"t","subscription":"s","geography":"g"},"vault":{"id":"/subscriptions/s/x","name":"Kv-1","location":"local","tenant":"t","enabledForDiskEncryption":true,"enabledForDeployment":false,"enabledForTemplateDeployment":true,"accessPolicies":[{"principal":{"tenant":"t","objectId":"o"},"permissions":{"keys":[],"secrets":["get","list","set","delete","recover"],"certificates":[]}}],"created":"2026-02-03T04:05:06Z"}}"#;

#[test]
fn older_vaults_and_heads_are_live_and_get_the_defaults() {
    let (state, place) = (Arc::new(MemoryState::new()), ("t".to_owned(), "s".to_owned(), "g".to_owned()));
    let place = Place { tenant: place.0, subscription: place.1, geography: place.2 };
    let root = RootKey::from_bytes(&Zeroizing::new([1; 32]));
    let vaults = KeyVaults::open(state.clone(), &root, Arc::new(SystemClock), &place).unwrap();
    let caller = Caller { object_id: "o".into(), tenant: "t".into(), ..Caller::default() };
    let secrets = SecretPermission::ALL.iter().copied().collect();
    let permissions = Permissions { secrets, ..Permissions::default() };
    let spec = VaultSpec {
        id: "/subscriptions/s/x".into(),
        name: "Kv-1".into(),
        access_policies: vec![AccessPolicy { principal: Principal::from(&caller), permissions }],
        purge_protection: true,
        ..VaultSpec::default()
    };
    vaults.create_vault(&caller, &spec).unwrap();
    let value = SecretValue::new(Zeroizing::new("x".into())).unwrap();
    let (attributes, tags) = Default::default();
    let secret = SecretSpec { value, content_type: None, attributes, tags };
    let version = vaults.set_secret(&caller, "kv-1", "Bek", &secret).unwrap().properties.version;

    // The same records, as the version before this one wrote them.
    let open = vaults.open_vault("kv-1").unwrap();
    let replace = |path: &str, json: &str| {
        let body = seal_record(&open.key, path, &serde_json::from_str::<serde_json::Value>(json).unwrap());
        let revision = state.read(path).unwrap().unwrap().revision;
        let change = Change::Replace { path: path.to_owned(), revision, body: body.unwrap() };
        state.commit(&[change], &[]).unwrap();
    };
    replace("vaults/kv-1", VAULT);
    let head = format!(r#"{{"name":"Bek","current":"{version}","next":1,"created":"2026-02-03T04:05:06Z"}}"#);
    replace(&format!("secrets/{}/bek", open.key.id), &head);

    let vault = vaults.vault("kv-1").unwrap();
    assert_eq!((vault.soft_delete_retention_days, vault.tags.len()), (90, 0));
    assert!(!vault.purge_protection && !vault.premium && !vault.role_based);
    assert!(vault.enabled_for_disk_encryption && vault.enabled_for_template_deployment);
    let read = vaults.secret(&caller, "kv-1", "bek", None).unwrap();
    assert_eq!((read.value.expose(), read.properties.recovery.level()), ("x", "Recoverable+Purgeable"));
    assert_eq!(vaults.list_vaults(PageRequest::default()).unwrap().items, std::slice::from_ref(&vault));
    vaults.delete_secret(&caller, "kv-1", "bek").unwrap();
    vaults.recover_secret(&caller, "kv-1", "bek").unwrap();
    assert_eq!(vaults.delete_vault(&caller, "kv-1").unwrap().vault, vault);

    // What is not deleted is still written as it was.
    vaults.recover_vault(&caller, "kv-1").unwrap();
    let record = state.read(&format!("secrets/{}/bek", open.key.id)).unwrap().unwrap();
    let stored: serde_json::Value = super::open_record(&open.key, &record.path, &record.body).unwrap();
    assert_eq!(stored, serde_json::from_str::<serde_json::Value>(&head).unwrap());
}

#[test]
fn older_events_and_callers_are_read() {
    let event = r#"{"time":"2026-03-01T12:00:00Z","tenant":"t","caller":"o","callerName":"n","operation":"get","scope":"keys","outcome":"allowed"}"#;
    let read: AuditEvent = serde_json::from_str(event).unwrap();
    assert_eq!((read.request_id.as_ref(), serde_json::to_string(&read).unwrap().as_str()), (None, event));
    let caller = r#"{"objectId":"o","tenant":"t","name":"n"}"#;
    let read: Caller = serde_json::from_str(caller).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), caller);
}
