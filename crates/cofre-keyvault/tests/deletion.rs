//! Deleted keys and secrets: what they refuse, how they come back, and how they go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use cofre_keyvault::{
    ErrorKind, KeySpec, Operation, Outcome, PageRequest, SecretUpdate, VaultUpdate, state::State as _,
};
use jiff::Timestamp;
use support::{Home, kind, secret};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The paths of all records but the ring and the vaults.
fn objects(home: &Home) -> Vec<String> {
    let records = home.state.list("", None, 10_000).unwrap().into_iter().map(|record| record.path);
    records.filter(|path| path != "ring" && !path.starts_with("vaults/")).collect()
}

#[test]
fn a_deleted_key_keeps_its_versions_and_comes_back_with_them() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let first = vaults.create_key(admin, "kv-1", "Kek", &KeySpec::default()).unwrap();
    let second = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", b"k").unwrap();
    let before = objects(&home);

    let deleted = vaults.delete_key(admin, "kv-1", "KEK").unwrap();
    assert_eq!(deleted.key, second);
    assert_eq!(deleted.deletion.deleted, at(support::START));
    assert_eq!(deleted.deletion.scheduled_purge, at("2026-05-30T12:00:00Z"), "90 days");
    assert_eq!((second.recovery.level(), second.recovery.days), ("Recoverable+Purgeable", 90));
    assert_eq!(objects(&home), before, "nothing moves");

    // To whoever wants to use it, it is not there.
    for version in [None, Some(first.version.as_str()), Some(second.version.as_str())] {
        assert_eq!(kind(vaults.key(admin, "kv-1", "kek", version)), ErrorKind::ObjectNotFound);
        let unwrapped = vaults.unwrap_key(admin, "kv-1", "kek", version, "RSA-OAEP", wrapped.value.expose());
        assert_eq!(kind(unwrapped), ErrorKind::ObjectNotFound);
    }
    let error = vaults.key(admin, "kv-1", "kek", None).unwrap_err().to_string();
    assert!(error.contains("2026-05-30"), "{error}");
    assert_eq!(kind(vaults.backup_key(admin, "kv-1", "kek")), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.delete_key(admin, "kv-1", "kek")), ErrorKind::ObjectNotFound);
    let versions = vaults.list_key_versions(admin, "kv-1", "kek", PageRequest::default());
    assert_eq!(kind(versions), ErrorKind::ObjectNotFound);
    let update = vaults.update_key(admin, "kv-1", "kek", Some(&first.version), &Default::default());
    assert_eq!(kind(update), ErrorKind::ObjectNotFound);
    assert!(vaults.list_keys(admin, "kv-1", PageRequest::default()).unwrap().items.is_empty());

    assert_eq!(vaults.deleted_key(admin, "kv-1", "kek").unwrap(), deleted);
    assert_eq!(home.last_event().context.as_deref(), Some("deleted"));
    let listed = vaults.list_deleted_keys(admin, "kv-1", PageRequest::default()).unwrap();
    assert_eq!((listed.items.len(), listed.next), (1, None));
    assert_eq!(
        (listed.items[0].properties.name.as_str(), listed.items[0].deletion),
        ("Kek", deleted.deletion)
    );
    // A secret of the same name is something else.
    assert_eq!(kind(vaults.deleted_secret(admin, "kv-1", "kek")), ErrorKind::ObjectNotFound);
    home.set("kv-1", "kek", "a secret");

    home.clock.advance_days(89);
    assert_eq!(vaults.recover_key(admin, "kv-1", "kek").unwrap(), second);
    assert_eq!(home.last_event().operation, Operation::Recover);
    let opened = vaults.unwrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", wrapped.value.expose()).unwrap();
    assert_eq!((opened.value.expose(), opened.version), (&b"k"[..], second.version));
    assert_eq!(vaults.key(admin, "kv-1", "kek", Some(&first.version)).unwrap(), first);
    assert_eq!(kind(vaults.recover_key(admin, "kv-1", "kek")), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.purge_key(admin, "kv-1", "kek")), ErrorKind::ObjectNotFound, "it is not deleted");
    // The versions go on where they were, and a new deletion has a new date.
    let third = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    let deleted = vaults.delete_key(admin, "kv-1", "kek").unwrap();
    assert_eq!((deleted.key.version, deleted.deletion.deleted), (third.version, at("2026-05-29T12:00:00Z")));
}

#[test]
fn a_held_name_is_refused_to_everything_that_would_take_it() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    home.set("kv-1", "bek", "one");
    let key_blob = vaults.backup_key(admin, "kv-1", "kek").unwrap();
    let secret_blob = vaults.backup_secret(admin, "kv-1", "bek").unwrap();
    vaults.delete_key(admin, "kv-1", "kek").unwrap();
    vaults.delete_secret(admin, "kv-1", "bek").unwrap();

    let error = vaults.create_key(admin, "kv-1", "KEK", &KeySpec::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SoftDeleted);
    assert!(error.to_string().contains("recover it, or purge it"), "{error}");
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyVaultNameSoftDeleted"));
    assert_eq!(kind(vaults.restore_key(admin, "kv-1", &key_blob)), ErrorKind::SoftDeleted);
    assert_eq!(home.last_event().object.as_deref(), Some("kek"));
    assert_eq!(kind(vaults.set_secret(admin, "kv-1", "bek", &secret("two"))), ErrorKind::SoftDeleted);
    assert_eq!(kind(vaults.restore_secret(admin, "kv-1", &secret_blob)), ErrorKind::SoftDeleted);

    vaults.purge_key(admin, "kv-1", "kek").unwrap();
    vaults.purge_secret(admin, "kv-1", "bek").unwrap();
    assert!(objects(&home).is_empty());
    assert_eq!(kind(vaults.recover_secret(admin, "kv-1", "bek")), ErrorKind::ObjectNotFound);
    vaults.restore_key(admin, "kv-1", &key_blob).unwrap();
    vaults.restore_secret(admin, "kv-1", &secret_blob).unwrap();
    assert_eq!(kind(vaults.restore_secret(admin, "kv-1", &secret_blob)), ErrorKind::NameConflict);
}

#[test]
fn from_its_date_on_it_is_as_good_as_purged() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    home.set("kv-1", "bek", "old");
    let blob = vaults.backup_secret(admin, "kv-1", "bek").unwrap();
    vaults.delete_secret(admin, "kv-1", "bek").unwrap();
    home.clock.advance_days(90);
    home.clock.advance(-1);
    vaults.deleted_secret(admin, "kv-1", "bek").unwrap();
    home.clock.advance(1);
    assert_eq!(kind(vaults.deleted_secret(admin, "kv-1", "bek")), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.recover_secret(admin, "kv-1", "bek")), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.purge_secret(admin, "kv-1", "bek")), ErrorKind::ObjectNotFound);
    assert!(vaults.list_deleted_secrets(admin, "kv-1", PageRequest::default()).unwrap().items.is_empty());
    let error = vaults.secret(admin, "kv-1", "bek", None).unwrap_err().to_string();
    assert!(!error.contains("recovered"), "{error}");
    assert_eq!(objects(&home).len(), 2, "but nothing has removed it yet");

    // Whoever takes the name removes what is left, and says so.
    let before = home.state.events().len();
    let version = home.set("kv-1", "bek", "new");
    let events = &home.state.events()[before..];
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((events[0].operation, events[0].outcome), (Operation::Purge, Outcome::Allowed));
    assert_eq!((events[0].object.as_deref(), events[0].version.as_deref()), (Some("bek"), None));
    assert_eq!(events[0].context.as_deref(), Some("the scheduled date has come"));
    assert_eq!((events[1].operation, events[1].version.as_ref()), (Operation::Set, Some(&version)));
    assert!(events[1].context.is_none());
    let versions = vaults.list_secret_versions(admin, "kv-1", "bek", PageRequest::default()).unwrap();
    assert_eq!((versions.items.len(), objects(&home).len()), (1, 2));

    vaults.delete_secret(admin, "kv-1", "bek").unwrap();
    home.clock.advance_days(90);
    vaults.restore_secret(admin, "kv-1", &blob).unwrap();
    assert_eq!(vaults.secret(admin, "kv-1", "bek", None).unwrap().value.expose(), "old");
    assert_eq!(kind(vaults.secret(admin, "kv-1", "bek", Some(&version))), ErrorKind::ObjectNotFound);
}

#[test]
fn purge_protection_holds_until_the_date() {
    let home = Home::new();
    let (vaults, admin) = (&home.vaults, &home.admin);
    let mut spec = home.spec("kv-1");
    (spec.purge_protection, spec.soft_delete_retention_days) = (true, Some(7));
    vaults.create_vault(admin, &spec).unwrap();
    let set = vaults.set_secret(admin, "kv-1", "bek", &secret("one")).unwrap().properties;
    assert_eq!(set.recovery.level(), "CustomizedRecoverable");
    let deletion = vaults.delete_secret(admin, "kv-1", "bek").unwrap().deletion;
    assert_eq!(deletion.scheduled_purge, at("2026-03-08T12:00:00Z"));
    let error = vaults.purge_secret(admin, "kv-1", "bek").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PurgeProtected);
    assert!(error.to_string().contains("2026-03-08"), "{error}");
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyVaultPurgeProtected"));
    assert_eq!(vaults.purge_due(admin).unwrap(), 0);
    vaults.recover_secret(admin, "kv-1", "bek").unwrap();
    vaults.delete_secret(admin, "kv-1", "bek").unwrap();
    home.clock.advance_days(7);
    assert_eq!(vaults.purge_due(admin).unwrap(), 1);
    assert!(objects(&home).is_empty());
    home.set("kv-1", "bek", "two");
}

#[test]
fn protection_that_comes_later_holds_what_is_deleted_already() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    home.set("kv-1", "bek", "one");
    vaults.delete_secret(admin, "kv-1", "bek").unwrap();
    let on = VaultUpdate { purge_protection: Some(true), ..VaultUpdate::default() };
    assert!(vaults.update_vault(admin, "kv-1", &on).unwrap().purge_protection);
    assert_eq!(kind(vaults.purge_secret(admin, "kv-1", "bek")), ErrorKind::PurgeProtected);
    let off = VaultUpdate { purge_protection: Some(false), ..VaultUpdate::default() };
    assert_eq!(kind(vaults.update_vault(admin, "kv-1", &off)), ErrorKind::Invalid);
    assert_eq!(
        vaults.deleted_secret(admin, "kv-1", "bek").unwrap().properties.recovery.level(),
        "Recoverable"
    );
}

/// Names of a page, and where the next one begins.
type Names = (Vec<String>, Option<String>);

#[test]
fn lists_leave_out_the_others_and_still_come_in_pages() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    for i in 0..10 {
        home.set("kv-1", &format!("s-{i}"), "x");
    }
    for i in [0, 1, 3, 4, 5, 8] {
        vaults.delete_secret(admin, "kv-1", &format!("S-{i}")).unwrap();
    }
    let all = |list: &dyn Fn(PageRequest<'_>) -> Names| {
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = list(PageRequest { after: after.as_deref(), limit: 2 });
            assert!(next.is_none() || page.len() == 2, "only the last page is short: {page:?}");
            names.extend(page);
            after = next;
            if after.is_none() {
                return names.join(" ");
            }
        }
    };
    let live = all(&|page| {
        let page = vaults.list_secrets(admin, "kv-1", page).unwrap();
        (page.items.into_iter().map(|item| item.name).collect(), page.next)
    });
    let deleted = all(&|page| {
        let page = vaults.list_deleted_secrets(admin, "kv-1", page).unwrap();
        (page.items.into_iter().map(|item| item.properties.name).collect(), page.next)
    });
    assert_eq!((live.as_str(), deleted.as_str()), ("s-2 s-6 s-7 s-9", "s-0 s-1 s-3 s-4 s-5 s-8"));
    let update = SecretUpdate { content_type: Some("x".into()), ..SecretUpdate::default() };
    vaults.update_secret(admin, "kv-1", "s-2", None, &update).unwrap();
    assert_eq!(kind(vaults.update_secret(admin, "kv-1", "s-3", None, &update)), ErrorKind::ObjectNotFound);
}

type Step<'a> = &'a (dyn Fn() -> Result<(), cofre_keyvault::KeyVaultError> + Sync);

#[test]
fn of_those_who_delete_recover_purge_and_set_at_once_nobody_leaves_a_rest() {
    const ROUNDS: usize = 150;
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let expected = |result: Result<(), cofre_keyvault::KeyVaultError>| {
        if let Err(error) = result {
            let known = [ErrorKind::ObjectNotFound, ErrorKind::SoftDeleted];
            assert!(known.contains(&error.kind()), "{error}");
        }
    };
    let steps: [Step<'_>; 4] = [
        &|| vaults.set_secret(admin, "kv-1", "bek", &secret("x")).map(drop),
        &|| vaults.delete_secret(admin, "kv-1", "bek").map(drop),
        &|| vaults.recover_secret(admin, "kv-1", "bek").map(drop),
        &|| vaults.purge_secret(admin, "kv-1", "bek"),
    ];
    std::thread::scope(|scope| {
        for step in steps {
            scope.spawn(move || (0..ROUNDS).for_each(|_| expected(step())));
        }
    });
    let purged = |events: &[cofre_keyvault::AuditEvent]| {
        let allowed = events.iter().filter(|event| event.outcome == Outcome::Allowed);
        allowed.filter(|event| event.operation == Operation::Purge).count()
    };
    // What is there now: every version from the last purge on, and none from before.
    let events = home.state.events();
    let last = events
        .iter()
        .rposition(|event| event.operation == Operation::Purge && event.outcome == Outcome::Allowed);
    let since = &events[last.map_or(0, |at| at + 1)..];
    let set: std::collections::BTreeSet<_> = since
        .iter()
        .filter(|event| event.operation == Operation::Set && event.outcome == Outcome::Allowed)
        .filter_map(|event| event.version.clone())
        .collect();
    let stored = home.state.list("secret-versions/", None, 10_000).unwrap();
    let stored: std::collections::BTreeSet<_> =
        stored.iter().map(|record| record.path.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(stored, set, "{} purges", purged(&events));
    assert_eq!(home.state.list("secrets/", None, 9).unwrap().len(), usize::from(!set.is_empty()));
}
