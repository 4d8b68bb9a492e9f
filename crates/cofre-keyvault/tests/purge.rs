//! Purges of more than one batch, interrupted after every commit they make.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cofre_keyvault::{
    AuditEvent, ErrorKind, KeyVaults, Operation, Outcome, PageRequest,
    state::{Change, MemoryState, Record, State, StateError},
};
use support::{Home, kind, secret};

/// Versions of the secret that is purged: three batches of them.
const VERSIONS: usize = 600;
/// Most changes of one batch.
const MOST: usize = 251;

/// A storage that fails after some commits, as if the process had died there.
struct Mortal {
    inner: Arc<MemoryState>,
    left: AtomicUsize,
}

impl State for Mortal {
    fn read(&self, path: &str) -> Result<Option<Record>, StateError> {
        self.inner.read(path)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.inner.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        assert!(changes.len() <= MOST, "{} changes in one batch", changes.len());
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(StateError::Failed("the process died".into()));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        self.inner.commit(changes, events)
    }

    fn version(&self) -> Result<u64, StateError> {
        self.inner.version()
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        self.inner.append(events, as_of)
    }
}

/// A home with a secret of many versions in `kv-1`, and the same service over a storage that fails after
/// `commits` from now on.
fn mortal(commits: usize) -> (Home, KeyVaults, usize) {
    let home = Home::new().with_vault("kv-1");
    for _ in 0..VERSIONS {
        home.set("kv-1", "bek", "x");
    }
    let state = Arc::new(Mortal { inner: home.state.clone(), left: AtomicUsize::new(usize::MAX) });
    let vaults = KeyVaults::open(state.clone(), &home.root, home.clock.clone(), home.vaults.place()).unwrap();
    state.left.store(commits, Ordering::Relaxed);
    let events = home.state.events().len();
    (home, vaults, events)
}

fn purges(home: &Home, from: usize) -> Vec<AuditEvent> {
    let events = home.state.events().split_off(from).into_iter();
    let purge = [Operation::Purge, Operation::PurgeVault];
    events.filter(|event| event.outcome == Outcome::Allowed && purge.contains(&event.operation)).collect()
}

#[test]
fn a_purge_that_was_interrupted_has_happened_and_is_finished_later() {
    // Deleted with the first commit, decided with the second, done with the fourth.
    for commits in 1..=4 {
        let (home, vaults, from) = mortal(commits);
        vaults.delete_secret(&home.admin, "kv-1", "bek").unwrap();
        let result = vaults.purge_secret(&home.admin, "kv-1", "bek");
        assert_eq!(result.is_ok(), commits == 4, "{commits}");
        let versions = || home.state.list("secret-versions/", None, 1000).unwrap().len();
        if commits == 1 {
            assert_eq!((versions(), purges(&home, from).len()), (VERSIONS, 0));
            home.vaults.recover_secret(&home.admin, "kv-1", "bek").unwrap();
            continue;
        }
        assert_eq!(versions(), VERSIONS.saturating_sub(250 * (commits - 1)));
        for result in [
            home.vaults.recover_secret(&home.admin, "kv-1", "bek").map(drop),
            home.vaults.deleted_secret(&home.admin, "kv-1", "bek").map(drop),
            home.vaults.secret(&home.admin, "kv-1", "bek", None).map(drop),
            home.vaults.purge_secret(&home.admin, "kv-1", "bek"),
        ] {
            assert_eq!(kind(result), ErrorKind::ObjectNotFound, "{commits}");
        }
        if commits == 2 {
            // Whoever takes the name finishes it.
            home.set("kv-1", "bek", "new");
            let listed = home.vaults.list_secret_versions(&home.admin, "kv-1", "bek", PageRequest::default());
            assert_eq!((listed.unwrap().items.len(), versions()), (1, 1));
        } else {
            assert_eq!(home.vaults.purge_due(&home.admin).unwrap(), usize::from(commits == 3));
            assert!(home.state.list("secret", None, 9).unwrap().is_empty());
        }
        assert_eq!(purges(&home, from).len(), 1, "one purge is one event: {commits}");
    }
}

#[test]
fn a_due_purge_that_was_interrupted_is_one_event_too() {
    for commits in 1..=3 {
        let (home, vaults, from) = mortal(commits);
        home.vaults.delete_secret(&home.admin, "kv-1", "bek").unwrap();
        home.clock.advance_days(90);
        assert_eq!(vaults.purge_due(&home.admin).is_ok(), commits == 3);
        // Even if the clock is set back there is no way back.
        home.clock.advance_days(-1);
        assert_eq!(kind(home.vaults.recover_secret(&home.admin, "kv-1", "bek")), ErrorKind::ObjectNotFound);
        assert_eq!(home.vaults.purge_due(&home.admin).unwrap(), usize::from(commits < 3));
        assert!(home.state.list("secret", None, 9).unwrap().is_empty());
        assert_eq!(purges(&home, from).len(), 1);
    }
}

#[test]
fn a_vault_goes_in_batches_too() {
    for commits in 1..=4 {
        let (home, vaults, from) = mortal(commits);
        vaults.delete_vault(&home.admin, "kv-1").unwrap();
        assert_eq!(vaults.purge_vault(&home.admin, "kv-1").is_ok(), commits == 4);
        if commits == 1 {
            home.vaults.recover_vault(&home.admin, "kv-1").unwrap();
            home.vaults.secret(&home.admin, "kv-1", "bek", None).unwrap();
            continue;
        }
        assert_eq!(kind(home.vaults.recover_vault(&home.admin, "kv-1")), ErrorKind::VaultNotFound);
        assert_eq!(kind(home.vaults.deleted_vault("kv-1")), ErrorKind::VaultNotFound);
        home.vaults.create_vault(&home.admin, &home.spec("kv-1")).unwrap();
        assert_eq!(home.state.list("", None, 1000).unwrap().len(), 2, "ring and vault");
        assert_eq!(purges(&home, from).len(), 1);
    }
}

#[test]
fn what_lies_beside_stays() {
    let (home, vaults, _) = mortal(usize::MAX);
    // Names that begin alike, and a key of the same name.
    for name in ["be", "bek2", "bek-"] {
        vaults.set_secret(&home.admin, "kv-1", name, &secret("y")).unwrap();
    }
    vaults.create_key(&home.admin, "kv-1", "bek", &Default::default()).unwrap();
    home.end_secret("kv-1", "bek");
    for name in ["be", "bek2", "bek-"] {
        assert_eq!(vaults.secret(&home.admin, "kv-1", name, None).unwrap().value.expose(), "y");
    }
    vaults.key(&home.admin, "kv-1", "bek", None).unwrap();
}
