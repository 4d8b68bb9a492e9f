//! The service as a whole: vaults, root key, tampering, concurrency, audit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cofre_keyvault::{
    AccessPolicy, AuditEvent, Caller, ErrorKind, KeySpec, KeyVaults, Operation, Outcome, PageRequest,
    Permissions, Principal, Recorded, Scope, VaultSpec, VaultUpdate,
    state::{Change, MemoryState, Record, State, StateError},
};
use support::{Home, kind, place, root_key, secret};

fn spec(name: &str) -> VaultSpec {
    VaultSpec {
        id: format!("/SUBSCRIPTIONS/sub-1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/{name}"),
        name: name.into(),
        ..VaultSpec::default()
    }
}

/// Opens the vaults of a home once more, as another process would.
fn open_again(home: &Home, root: u8) -> Result<KeyVaults, cofre_keyvault::KeyVaultError> {
    KeyVaults::open(home.state.clone(), &root_key(root), home.clock.clone(), home.vaults.place())
}

#[test]
fn vaults_are_made_changed_and_deleted() {
    let home = Home::new().with_vault("Vault-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    assert_eq!(kind(vaults.create_vault(admin, &spec("VAULT-1"))), ErrorKind::VaultExists);
    for bad in ["ab", "1ab", "a--b", "a_b", ""] {
        assert_eq!(kind(vaults.create_vault(admin, &spec(bad))), ErrorKind::Invalid, "{bad}");
        assert_eq!((home.last_event().vault, home.last_event().outcome), (None, Outcome::Refused));
    }
    for id in [
        "/subscriptions/sub-2/x",
        "subscriptions/sub-1",
        "/subscriptions",
        "/x/sub-1",
        "/subscriptions/sub-1\n",
    ] {
        let elsewhere = VaultSpec { id: id.into(), ..spec("vault-2") };
        assert_eq!(kind(vaults.create_vault(admin, &elsewhere)), ErrorKind::Invalid, "{id}");
    }
    let vault = vaults.vault("vault-1").unwrap();
    assert_eq!((vault.name.as_str(), vault.enabled_for_disk_encryption), ("Vault-1", true));
    assert_eq!(vault.created, support::START.parse().unwrap());
    let update = VaultUpdate { enabled_for_deployment: Some(true), ..VaultUpdate::default() };
    let changed = vaults.update_vault(admin, "vault-1", &update).unwrap();
    assert_eq!(changed, cofre_keyvault::Vault { enabled_for_deployment: true, ..vault });
    assert_eq!(vaults.vault("vault-1").unwrap(), changed);

    home.set("vault-1", "bek", "x");
    assert_eq!(vaults.delete_vault(admin, "vault-1").unwrap().vault, changed);
    assert_eq!(kind(vaults.vault("vault-1")), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.delete_vault(admin, "vault-1")), ErrorKind::VaultNotFound);
    vaults.purge_vault(admin, "vault-1").unwrap();
    assert_eq!(home.state.list("", None, 100).unwrap().len(), 1, "only the ring is left");

    let home = home.with_vault("vault-1");
    assert_eq!(kind(home.vaults.secret(&home.admin, "vault-1", "bek", None)), ErrorKind::ObjectNotFound);
}

#[test]
fn places_share_a_storage_but_see_their_own_vaults() {
    let home = Home::new().with_vault("vault-1");
    let there =
        KeyVaults::open(home.state.clone(), &home.root, home.clock.clone(), &place("sub-2", "europe"))
            .unwrap();
    assert_eq!(kind(there.vault("vault-1")), ErrorKind::VaultNotFound);
    assert_eq!(kind(there.secret(&home.admin, "vault-1", "x", None)), ErrorKind::VaultNotFound);
    assert!(there.list_vaults(PageRequest::default()).unwrap().items.is_empty());
    let taken = VaultSpec { id: "/subscriptions/sub-2/x".into(), ..spec("vault-1") };
    assert_eq!(kind(there.create_vault(&home.admin, &taken)), ErrorKind::VaultExists);
    for (subscription, geography) in [("", "europe"), ("s", ""), ("s\n", "e")] {
        let bad = KeyVaults::open(
            home.state.clone(),
            &home.root,
            home.clock.clone(),
            &place(subscription, geography),
        );
        assert_eq!(kind(bad), ErrorKind::Invalid);
    }
}

#[test]
fn a_new_root_key_changes_one_record() {
    let home = Home::new().with_vault("kv-1");
    home.set("kv-1", "bek", "value");
    let blob = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
    assert_eq!(kind(open_again(&home, 2)), ErrorKind::RootKey);

    let before = home.state.list("", None, 100).unwrap();
    home.vaults.rotate_root(&home.admin, &root_key(2)).unwrap();
    let after = home.state.list("", None, 100).unwrap();
    let changed: Vec<_> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.path.as_str()).collect();
    assert_eq!((changed, before.len()), (vec!["ring"], after.len()));
    assert_eq!(home.last_event().operation, Operation::RotateRootKey);

    assert_eq!(home.vaults.secret(&home.admin, "kv-1", "bek", None).unwrap().value.expose(), "value");
    assert_eq!(kind(open_again(&home, 1)), ErrorKind::RootKey);
    let again = open_again(&home, 2).unwrap();
    assert_eq!(again.secret(&home.admin, "kv-1", "bek", None).unwrap().value.expose(), "value");
    again.delete_secret(&home.admin, "kv-1", "bek").unwrap();
    again.purge_secret(&home.admin, "kv-1", "bek").unwrap();
    again.restore_secret(&home.admin, "kv-1", &blob).unwrap();
}

#[test]
fn the_root_key_may_change_under_load() {
    let home = Home::new().with_vault("kv-1");
    home.set("kv-1", "bek", "value");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let (home, done) = (&home, &done);
            scope.spawn(move || {
                for round in 0.. {
                    home.vaults.secret(&home.admin, "kv-1", "bek", None).unwrap();
                    home.vaults.create_vault(&home.admin, &spec(&format!("{name}-{round}"))).unwrap();
                    if done.load(Ordering::Relaxed) && round >= 5 {
                        break;
                    }
                }
            });
        }
        for root in 2..20 {
            home.vaults.rotate_root(&home.admin, &root_key(root)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let again = open_again(&home, 19).unwrap();
    for name in ["a-5", "b-5"] {
        assert_eq!(again.vault(name).unwrap().name, name);
    }
}

/// Puts other bytes in the place of a record.
fn put(state: &MemoryState, path: &str, body: &[u8]) {
    let revision = state.read(path).unwrap().unwrap().revision;
    state.commit(&[Change::Replace { path: path.into(), revision, body: body.to_vec() }], &[]).unwrap();
}

/// Reads everything there is in two vaults.
fn read_all(vaults: &KeyVaults, home: &Home) -> Vec<Result<(), ErrorKind>> {
    let mut results = Vec::new();
    let mut note = |result: Result<(), cofre_keyvault::KeyVaultError>| {
        results.push(result.map_err(|error| error.kind()));
    };
    for vault in ["kv-1", "kv-2"] {
        for name in ["one", "two"] {
            match vaults.list_secret_versions(&home.admin, vault, name, PageRequest::default()) {
                Err(error) => note(Err(error)),
                Ok(page) => page.items.iter().for_each(|item| {
                    note(vaults.secret(&home.admin, vault, name, Some(&item.version)).map(drop));
                }),
            }
            note(vaults.secret(&home.admin, vault, name, None).map(drop));
        }
        note(vaults.key(&home.admin, vault, "kek", None).map(drop));
    }
    results
}

fn furnished() -> (Home, Vec<Record>) {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    for vault in ["kv-1", "kv-2"] {
        for name in ["one", "two"] {
            home.set(vault, name, "first");
            home.set(vault, name, "second");
        }
        home.vaults.create_key(&home.admin, vault, "kek", &KeySpec::default()).unwrap();
    }
    assert!(read_all(&home.vaults, &home).iter().all(Result::is_ok));
    let records = home.state.list("", None, 1000).unwrap();
    // ring, two vaults, two secrets of two versions and a key in each
    assert_eq!(records.len(), 1 + 2 + 2 * (2 * 3 + 2));
    (home, records)
}

#[test]
fn records_cannot_be_swapped() {
    let (home, records) = furnished();
    for to in &records {
        for from in &records {
            if from.path == to.path {
                continue;
            }
            put(&home.state, &to.path, &from.body);
            let results = read_all(&home.vaults, &home);
            let refused = results.contains(&Err(ErrorKind::Damaged));
            assert!(refused, "{} in the place of {}: {results:?}", from.path, to.path);
            put(&home.state, &to.path, &to.body);
        }
    }
    assert!(read_all(&home.vaults, &home).iter().all(Result::is_ok));
}

#[test]
fn every_region_of_every_record_counts() {
    let (home, records) = furnished();
    for Record { path, body, .. } in &records {
        // Every byte of the header, and the content in steps.
        for at in (0..34).chain((34..body.len()).step_by(41)).chain([body.len() - 1]) {
            let mut bad = body.clone();
            bad[at] ^= 1;
            put(&home.state, path, &bad);
            let results = read_all(&home.vaults, &home);
            let refused = results.iter().any(|r| matches!(r, Err(ErrorKind::Damaged | ErrorKind::RootKey)));
            assert!(refused, "byte {at} of {path}: {results:?}");
        }
        for length in [0, 1, 33, 34, 49, body.len() - 1] {
            put(&home.state, path, &body[..length]);
            assert!(read_all(&home.vaults, &home).iter().any(Result::is_err), "{length} bytes of {path}");
        }
        put(&home.state, path, body);
    }
}

#[test]
fn a_lost_ring_is_not_replaced() {
    let home = Home::new().with_vault("kv-1");
    let ring = home.state.read("ring").unwrap().unwrap();
    home.state.commit(&[Change::Delete { path: ring.path.clone(), revision: ring.revision }], &[]).unwrap();
    assert_eq!(kind(open_again(&home, 1)), ErrorKind::Damaged);
    assert_eq!(kind(home.vaults.vault("kv-1")), ErrorKind::Damaged);
    home.state.commit(&[Change::Create { path: ring.path, body: ring.body }], &[]).unwrap();
    open_again(&home, 1).unwrap().vault("kv-1").unwrap();
}

#[test]
fn no_version_is_lost_between_threads() {
    const EACH: usize = 60;
    let home = Home::new().with_vault("kv-1");
    let set = |thread: usize| -> Vec<(String, String)> {
        (0..EACH)
            .map(|i| {
                let text = format!("{thread}/{i}");
                (home.set("kv-1", "bek", &text), text)
            })
            .collect()
    };
    let made: BTreeMap<_, _> = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| set(0)), scope.spawn(|| set(1))];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.len(), 2 * EACH);
    for (version, text) in &made {
        let found = home.vaults.secret(&home.admin, "kv-1", "bek", Some(version)).unwrap();
        assert_eq!(found.value.expose(), text);
    }
    let current = home.vaults.secret(&home.admin, "kv-1", "bek", None).unwrap();
    let lasts = [format!("0/{}", EACH - 1), format!("1/{}", EACH - 1)];
    assert!(lasts.contains(&current.value.expose().to_owned()));
    let sets: Vec<_> =
        home.state.events().into_iter().filter(|event| event.operation == Operation::Set).collect();
    let audited: BTreeSet<_> = sets.iter().filter_map(|event| event.version.clone()).collect();
    assert_eq!((sets.len(), audited), (2 * EACH, made.into_keys().collect()));
}

/// A storage whose commits can be made to fail.
struct Unreliable {
    inner: MemoryState,
    fails: AtomicBool,
}

impl State for Unreliable {
    fn read(&self, path: &str) -> Result<Option<Record>, StateError> {
        self.inner.read(path)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.inner.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StateError::Failed("the disk is full".into()));
        }
        self.inner.commit(changes, events)
    }

    fn version(&self) -> Result<u64, StateError> {
        self.inner.version()
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StateError::Failed("the disk is full".into()));
        }
        self.inner.append(events, as_of)
    }
}

#[test]
fn what_others_changed_counts_with_the_next_answer() {
    let home = Home::new().with_vault("kv-1");
    home.set("kv-1", "bek", "one");
    let read = || home.vaults.secret(&home.admin, "kv-1", "bek", None);
    assert_eq!(read().unwrap().value.expose(), "one");
    assert_eq!(read().unwrap().value.expose(), "one", "from memory");
    // Another process, which shares nothing with this one but the storage.
    let other = open_again(&home, 1).unwrap();
    other.set_secret(&home.admin, "kv-1", "bek", &secret("two")).unwrap();
    assert_eq!(read().unwrap().value.expose(), "two");
    other.remove_access_policy(&home.admin, "kv-1", &Principal::from(&home.admin)).unwrap();
    assert_eq!(read().unwrap_err().kind(), ErrorKind::Forbidden);
    let events = home.state.events();
    let last = &events[events.len() - 1];
    assert_eq!(last.reason.as_deref(), Some("KeyVaultForbidden"), "audited once, as it was decided last");
    assert_eq!(events.iter().filter(|event| event.operation == Operation::Get).count(), 4);
}

/// What is answered without waiting is what was looked at before, and counts when its event is on record.
#[test]
fn answers_at_once_rest_on_what_is_in_memory() {
    let home = Home::new().with_vault("kv-1");
    let version = home.set("kv-1", "bek", "one");
    let at_once = |caller: &Caller, name: &str, version: Option<&str>| {
        let (told, outcome) = std::sync::mpsc::channel();
        let bundle =
            home.vaults.secret_at_once(caller, "kv-1", name, version, move |r| told.send(r).unwrap());
        // Nobody is told where nothing was answered.
        bundle.map(|bundle| (bundle.value.expose().to_owned(), outcome.recv().unwrap())).ok_or(outcome.recv())
    };
    let gets = || home.state.events().iter().filter(|event| event.operation == Operation::Get).count();
    assert!(at_once(&home.admin, "bek", None).is_err(), "nothing is in memory");
    home.vaults.secret(&home.admin, "kv-1", "bek", None).unwrap();
    assert_eq!(gets(), 1);
    let (value, recorded) = at_once(&home.admin, "bek", None).unwrap();
    assert!(value == "one" && matches!(recorded, Recorded::Yes));
    assert_eq!(gets(), 2);
    let last = home.state.events().pop().unwrap();
    assert_eq!((last.outcome, last.object.as_deref()), (Outcome::Allowed, Some("bek")));
    assert_eq!(last.version.as_deref(), Some(&*version));
    for (caller, name, version) in [
        (&home.admin, "bek", Some(&*version)),
        (&home.admin, "other", None),
        (&home.admin, &*format!("bek {version}"), None),
        (&Caller { object_id: "nobody".into(), ..home.admin.clone() }, "bek", None),
    ] {
        assert!(at_once(caller, name, version).is_err(), "{name} {version:?}");
    }
    assert_eq!(gets(), 2);
    // Another process removes the policy: what is decided from memory does not count any more.
    let other = open_again(&home, 1).unwrap();
    other.remove_access_policy(&home.admin, "kv-1", &Principal::from(&home.admin)).unwrap();
    let (_, recorded) = at_once(&home.admin, "bek", None).unwrap();
    assert!(matches!(recorded, Recorded::Anew), "{recorded:?}");
    assert_eq!(gets(), 2, "what does not count is not on record");
    assert_eq!(kind(home.vaults.secret(&home.admin, "kv-1", "bek", None)), ErrorKind::Forbidden);
    assert!(at_once(&home.admin, "bek", None).is_err());
}

#[test]
fn names_are_looked_at_before_what_is_in_memory() {
    let home = Home::new().with_vault("kv-1");
    let version = home.set("kv-1", "bek", "one");
    let read =
        |name: &str, version: Option<&str>| kind(home.vaults.secret(&home.admin, "kv-1", name, version));
    home.vaults.secret(&home.admin, "kv-1", "bek", Some(&version)).unwrap();
    assert_eq!(read(&format!("bek {version}"), None), ErrorKind::Invalid);
    assert_eq!(read("bek", Some(&format!("{version} "))), ErrorKind::Invalid);
    home.vaults.secret(&home.admin, "KV-1", "BEK", Some(&version.to_uppercase())).unwrap();
}

#[test]
fn without_audit_there_is_no_answer() {
    let state = Arc::new(Unreliable { inner: MemoryState::new(), fails: AtomicBool::new(false) });
    let home = Home::new();
    let vaults = KeyVaults::open(state.clone(), &home.root, home.clock.clone(), home.vaults.place()).unwrap();
    let everything = Home::new().with_vault("kv-1").vaults.vault("kv-1").unwrap();
    let spec = VaultSpec { access_policies: everything.access_policies, ..spec("kv-1") };
    vaults.create_vault(&home.admin, &spec).unwrap();
    vaults.set_secret(&home.admin, "kv-1", "bek", &secret("one")).unwrap();

    state.fails.store(true, Ordering::Relaxed);
    let error = vaults.secret(&home.admin, "kv-1", "bek", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Audit);
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(kind(vaults.secret(&support::caller("nobody"), "kv-1", "bek", None)), ErrorKind::Audit);
    assert_eq!(kind(vaults.set_secret(&home.admin, "kv-1", "bek", &secret("two"))), ErrorKind::State);
    assert_eq!(kind(vaults.rotate_root(&home.admin, &root_key(2))), ErrorKind::State);
    state.fails.store(false, Ordering::Relaxed);
    assert_eq!(vaults.secret(&home.admin, "kv-1", "bek", None).unwrap().value.expose(), "one");
}

type Step<'a> = &'a dyn Fn() -> Result<(), cofre_keyvault::KeyVaultError>;

#[test]
fn what_is_done_to_vaults_and_ring_is_audited() {
    let home = Home::new();
    let (vaults, admin) = (&home.vaults, &home.admin);
    let policy = AccessPolicy { principal: Principal::from(admin), permissions: Permissions::default() };
    let kit = vaults.export_ring_for_kit(admin).unwrap();
    assert_eq!(home.state.events().len(), 1);
    let steps: [(Operation, Step<'_>); 12] = [
        (Operation::CreateVault, &|| vaults.create_vault(admin, &spec("kv-1")).map(drop)),
        (Operation::UpdateVault, &|| vaults.update_vault(admin, "kv-1", &VaultUpdate::default()).map(drop)),
        (Operation::SetAccessPolicy, &|| vaults.set_access_policy(admin, "kv-1", &policy).map(drop)),
        (Operation::RemoveAccessPolicy, &|| {
            vaults.remove_access_policy(admin, "kv-1", &policy.principal).map(drop)
        }),
        (Operation::DeleteVault, &|| vaults.delete_vault(admin, "kv-1").map(drop)),
        (Operation::RecoverVault, &|| vaults.recover_vault(admin, "kv-1").map(drop)),
        (Operation::DeleteVault, &|| vaults.delete_vault(admin, "kv-1").map(drop)),
        (Operation::PurgeVault, &|| vaults.purge_vault(admin, "kv-1")),
        (Operation::RotateBlobKey, &|| vaults.rotate_blob_key(admin).map(drop)),
        (Operation::ExportBlobKeys, &|| vaults.export_ring_for_kit(admin).map(drop)),
        (Operation::ImportBlobKeys, &|| vaults.import_blob_keys(admin, &kit).map(drop)),
        (Operation::RotateRootKey, &|| vaults.rotate_root(admin, &root_key(2))),
    ];
    for (operation, step) in steps {
        let before = home.state.events().len();
        step().unwrap();
        let events = home.state.events();
        assert_eq!(events.len(), before + 1, "{operation:?}");
        let scope = if before < 9 { Scope::Vault } else { Scope::Service };
        assert_eq!((events[before].operation, events[before].scope), (operation, scope));
        assert_eq!(events[before].outcome, Outcome::Allowed);
    }
    assert_eq!(kind(vaults.import_blob_keys(admin, b"[]")), ErrorKind::Invalid);
    assert_eq!(
        (home.last_event().operation, home.last_event().outcome),
        (Operation::ImportBlobKeys, Outcome::Refused)
    );
    assert_eq!(kind(vaults.update_vault(admin, "kv-1", &VaultUpdate::default())), ErrorKind::VaultNotFound);
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyVaultNotFound"));
}

#[test]
fn events_are_json_lines() {
    let home = Home::new().with_vault("kv-1");
    let version = home.set("kv-1", "bek", "value");
    let events = home.state.events();
    let line = serde_json::to_string(&events[1]).unwrap();
    assert_eq!(
        line,
        format!(
            r#"{{"time":"2026-03-01T12:00:00Z","tenant":"tenant","caller":"admin","callerName":"the admin","operation":"set","scope":"secrets","vault":"kv-1","object":"bek","version":"{version}","outcome":"allowed"}}"#
        )
    );
    assert_eq!(serde_json::from_str::<AuditEvent>(&line).unwrap(), events[1]);
    let long = cofre_keyvault::Caller { name: "x\n".repeat(4000), ..home.admin.clone() };
    let _ = home.vaults.secret(&long, "kv-1", "bek", None);
    assert!(home.last_event().caller_name.len() <= 400 && !home.last_event().caller_name.contains('\n'));
}
