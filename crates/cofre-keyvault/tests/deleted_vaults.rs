//! Deleted vaults, and the service that removes what is due.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use cofre_keyvault::{
    Caller, ErrorKind, KeySpec, KeyVaults, Operation, Outcome, PageRequest, Scope, Tags, VaultUpdate,
    state::{Change, State as _},
};
use support::{Home, kind, place};

fn records(home: &Home) -> usize {
    home.state.list("", None, 10_000).unwrap().len()
}

#[test]
fn a_deleted_vault_keeps_its_name_and_comes_back_with_all_that_is_in_it() {
    let home = Home::new().with_vault("Kv-1").with_vault("kv-2");
    let (vaults, admin) = (&home.vaults, &home.admin);
    home.set("kv-1", "bek", "one");
    home.set("kv-1", "gone", "two");
    vaults.delete_secret(admin, "kv-1", "gone").unwrap();
    let before = vaults.vault("kv-1").unwrap();
    let count = records(&home);

    let deleted = vaults.delete_vault(admin, "kv-1").unwrap();
    assert_eq!((&deleted.vault, records(&home)), (&before, count));
    assert_eq!(deleted.deletion.scheduled_purge, "2026-05-30T12:00:00Z".parse().unwrap());
    for result in [
        vaults.vault("kv-1").map(drop),
        vaults.delete_vault(admin, "kv-1").map(drop),
        vaults.update_vault(admin, "kv-1", &VaultUpdate::default()).map(drop),
        vaults.secret(admin, "kv-1", "bek", None).map(drop),
        vaults.deleted_secret(admin, "kv-1", "gone").map(drop),
        vaults.purge_secret(admin, "kv-1", "gone"),
        vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).map(drop),
        vaults.missing_permissions("kv-1", &admin.into(), &Default::default()).map(drop),
    ] {
        assert_eq!(kind(result), ErrorKind::VaultNotFound);
    }
    let error = vaults.vault("kv-1").unwrap_err().to_string();
    assert!(error.contains("recovered until 2026-05-30"), "{error}");
    let error = vaults.create_vault(admin, &home.spec("KV-1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SoftDeleted);
    assert!(error.to_string().contains("recover it, or purge it"), "{error}");
    let names: Vec<_> = vaults.list_vaults(PageRequest::default()).unwrap().items;
    assert_eq!(names.iter().map(|vault| vault.name.as_str()).collect::<Vec<_>>(), ["kv-2"]);
    let listed = vaults.list_deleted_vaults(PageRequest { limit: 1, ..PageRequest::default() }).unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&deleted));
    let rest = PageRequest { after: listed.next.as_deref(), limit: 1 };
    assert!(vaults.list_deleted_vaults(rest).unwrap().items.is_empty());
    assert_eq!(vaults.deleted_vault("KV-1").unwrap(), deleted);
    assert_eq!(kind(vaults.deleted_vault("kv-2")), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.recover_vault(admin, "kv-2")), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.purge_vault(admin, "kv-2")), ErrorKind::VaultNotFound);
    // Another place neither sees it nor takes its name.
    let there =
        KeyVaults::open(home.state.clone(), &home.root, home.clock.clone(), &place("sub-2", "europe"))
            .unwrap();
    assert!(there.list_deleted_vaults(PageRequest::default()).unwrap().items.is_empty());
    assert_eq!(kind(there.recover_vault(admin, "kv-1")), ErrorKind::VaultNotFound);
    let mut spec = home.spec("kv-1");
    spec.id = "/subscriptions/sub-2/x".into();
    assert_eq!(kind(there.create_vault(admin, &spec)), ErrorKind::VaultExists);

    home.clock.advance_days(89);
    assert_eq!(vaults.recover_vault(admin, "kv-1").unwrap(), before);
    assert_eq!(
        (home.last_event().operation, home.last_event().scope),
        (Operation::RecoverVault, Scope::Vault)
    );
    assert_eq!(vaults.secret(admin, "kv-1", "bek", None).unwrap().value.expose(), "one");
    vaults.deleted_secret(admin, "kv-1", "gone").unwrap();
    assert_eq!(kind(vaults.deleted_vault("kv-1")), ErrorKind::VaultNotFound);
}

#[test]
fn from_its_date_on_a_vault_is_gone_and_its_name_is_free() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    home.set("kv-1", "bek", "one");
    vaults.delete_vault(admin, "kv-1").unwrap();
    home.clock.advance_days(90);
    assert_eq!(kind(vaults.deleted_vault("kv-1")), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.recover_vault(admin, "kv-1")), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.purge_vault(admin, "kv-1")), ErrorKind::VaultNotFound);
    assert!(vaults.list_deleted_vaults(PageRequest::default()).unwrap().items.is_empty());
    assert_eq!(records(&home), 4);

    let before = home.state.events().len();
    vaults.create_vault(admin, &home.spec("kv-1")).unwrap();
    let events = home.state.events();
    let operations: Vec<_> = events[before..].iter().map(|event| event.operation).collect();
    assert_eq!(operations, [Operation::PurgeVault, Operation::CreateVault]);
    assert_eq!(records(&home), 2, "ring and vault: of the old one nothing is left");
    assert_eq!(kind(vaults.secret(admin, "kv-1", "bek", None)), ErrorKind::ObjectNotFound);
}

#[test]
fn a_protected_vault_cannot_be_purged_before_its_date() {
    let home = Home::new();
    let (vaults, admin) = (&home.vaults, &home.admin);
    for days in [0, 6, 91, 255] {
        let mut spec = home.spec("kv-1");
        spec.soft_delete_retention_days = Some(days);
        assert_eq!(kind(vaults.create_vault(admin, &spec)), ErrorKind::Invalid, "{days}");
    }
    let mut spec = home.spec("kv-1");
    (spec.purge_protection, spec.soft_delete_retention_days) = (true, Some(10));
    (spec.premium, spec.tags) = (true, Tags::from([("team".into(), "x".into())]));
    let made = vaults.create_vault(admin, &spec).unwrap();
    assert_eq!((made.soft_delete_retention_days, made.premium, made.tags.len()), (10, true, 1));
    for days in [9, 90] {
        let update = VaultUpdate { soft_delete_retention_days: Some(days), ..VaultUpdate::default() };
        assert_eq!(kind(vaults.update_vault(admin, "kv-1", &update)), ErrorKind::Invalid, "{days}");
    }
    let same = VaultUpdate {
        soft_delete_retention_days: Some(10),
        purge_protection: Some(true),
        premium: Some(false),
        tags: Some(Tags::new()),
        ..VaultUpdate::default()
    };
    let changed = vaults.update_vault(admin, "kv-1", &same).unwrap();
    assert_eq!((changed.premium, changed.tags.len(), changed.purge_protection), (false, 0, true));
    let tags: Tags = (0..51).map(|i| (i.to_string(), String::new())).collect();
    let update = VaultUpdate { tags: Some(tags), ..VaultUpdate::default() };
    assert_eq!(kind(vaults.update_vault(admin, "kv-1", &update)), ErrorKind::Invalid);

    vaults.delete_vault(admin, "kv-1").unwrap();
    assert_eq!(kind(vaults.purge_vault(admin, "kv-1")), ErrorKind::PurgeProtected);
    home.clock.advance_days(9);
    vaults.recover_vault(admin, "kv-1").unwrap();
    vaults.delete_vault(admin, "kv-1").unwrap();
    home.clock.advance_days(10);
    assert_eq!(kind(vaults.purge_vault(admin, "kv-1")), ErrorKind::VaultNotFound);
    assert_eq!((vaults.purge_due(admin).unwrap(), records(&home)), (1, 1));
}

#[test]
fn what_is_due_is_removed_and_nothing_else() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2").with_vault("kv-3").with_vault("kv-4");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let there =
        KeyVaults::open(home.state.clone(), &home.root, home.clock.clone(), &place("sub-2", "europe"))
            .unwrap();
    let mut spec = home.spec("kv-9");
    spec.id = "/subscriptions/sub-2/x".into();
    there.create_vault(admin, &spec).unwrap();
    there.delete_vault(admin, "kv-9").unwrap();
    for vault in ["kv-1", "kv-2"] {
        vaults.create_key(admin, vault, "kek", &KeySpec::default()).unwrap();
        home.set(vault, "early", "x");
        home.set(vault, "late", "x");
        home.set(vault, "live", "x");
        vaults.delete_key(admin, vault, "kek").unwrap();
        vaults.delete_secret(admin, vault, "early").unwrap();
    }
    home.set("kv-3", "bek", "x");
    vaults.delete_vault(admin, "kv-3").unwrap();
    home.clock.advance_days(45);
    for vault in ["kv-1", "kv-2"] {
        vaults.delete_secret(admin, vault, "late").unwrap();
    }
    vaults.delete_vault(admin, "kv-2").unwrap();
    assert_eq!(vaults.purge_due(admin).unwrap(), 0);
    home.clock.advance_days(45);

    // A record that cannot be opened is told, and stops nothing.
    let bad = home.state.read("vaults/kv-4").unwrap().unwrap();
    let replace = |revision, body| Change::Replace { path: bad.path.clone(), revision, body };
    home.state.commit(&[replace(bad.revision, vec![0; 80])], &[]).unwrap();
    let before = home.state.events().len();
    assert_eq!(kind(vaults.purge_due(admin)), ErrorKind::Damaged);
    let purged: Vec<_> = home.state.events()[before..]
        .iter()
        .map(|event| {
            assert_eq!((event.outcome, event.caller.as_str()), (Outcome::Allowed, "admin"));
            let object = event.object.as_deref().unwrap_or_default();
            format!("{:?} {:?} {} {object}", event.operation, event.scope, event.vault.as_deref().unwrap())
        })
        .collect();
    let expected = [
        "Purge Keys kv-1 kek",
        "Purge Secrets kv-1 early",
        "Purge Keys kv-2 kek",
        "Purge Secrets kv-2 early",
        "PurgeVault Vault kv-3 ",
    ];
    assert_eq!(purged, expected);
    let now = home.state.read("vaults/kv-4").unwrap().unwrap();
    home.state.commit(&[replace(now.revision, bad.body.clone())], &[]).unwrap();
    assert_eq!(vaults.purge_due(admin).unwrap(), 0, "it was all done");

    vaults.deleted_secret(admin, "kv-1", "late").unwrap();
    vaults.secret(admin, "kv-1", "live", None).unwrap();
    vaults.recover_vault(admin, "kv-2").unwrap();
    vaults.deleted_secret(admin, "kv-2", "late").unwrap();
    assert!(home.state.read("vaults/kv-9").unwrap().is_some(), "another place's vault is its own affair");
    assert_eq!(there.purge_due(admin).unwrap(), 1);
}

#[test]
fn the_callers_request_is_in_the_audit() {
    let home = Home::new().with_vault("kv-1");
    let caller = Caller { request_id: Some(format!("r-1\n{}", "x".repeat(900))), ..home.admin.clone() };
    home.vaults.list_keys(&caller, "kv-1", PageRequest::default()).unwrap();
    let id = home.last_event().request_id.unwrap();
    assert!(id.starts_with("r-1 x") && id.len() == 400, "{id}");
    home.vaults.list_keys(&home.admin, "kv-1", PageRequest::default()).unwrap();
    assert!(!serde_json::to_string(&home.last_event()).unwrap().contains("requestId"));
}
