//! A session: a lock and a lease that are kept alive while work is done.

use std::{
    error::Error,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use super::Repository;
use crate::{
    error::{ErrorKind, RepoError, Result},
    lease::{Lease, Purpose},
    lock::{Access, Lock},
    progress::Progress,
};

/// How often lock and lease are renewed. They count for 30 minutes, so many renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(120);

struct Held {
    lock: Lock,
    lease: Lease,
    over: bool,
}

struct Shared {
    repository: Repository,
    held: Mutex<Held>,
    wake: Condvar,
}

impl Shared {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock and a lease. Dropping it gives both back.
pub struct Session {
    shared: Arc<Shared>,
    renewer: Option<JoinHandle<()>>,
}

impl Session {
    /// Takes a lock and a lease, and sweeps away what dead writers left half written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Locked`], [`crate::ErrorKind::Storage`].
    pub fn begin(repository: &Repository, access: Access, purpose: Purpose, subject: &str) -> Result<Self> {
        let lock = Lock::acquire(repository, access)?;
        let lease = match Lease::acquire(repository, purpose, subject) {
            Ok(lease) => lease,
            Err(e) => {
                let _ = lock.release(repository);
                return Err(e);
            }
        };
        let shared = Arc::new(Shared {
            repository: repository.clone(),
            held: Mutex::new(Held { lock, lease, over: false }),
            wake: Condvar::new(),
        });
        let renewer = std::thread::Builder::new().name("cofre-lease".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || renew(&shared)
        });
        let session = Self { shared, renewer: renewer.ok() };
        repository.storage().sweep()?;
        Ok(session)
    }

    /// As [`begin`](Self::begin), for work that only reads. Where nothing can be written — the storage is
    /// full, or may only be read — the work goes on without a lock, with a warning: that is no time to
    /// refuse a restore.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Locked`], [`crate::ErrorKind::Storage`].
    pub fn begin_reading(
        repository: &Repository,
        purpose: Purpose,
        progress: &dyn Progress,
    ) -> Result<Option<Self>> {
        match Self::begin(repository, Access::Shared, purpose, "") {
            Ok(session) => Ok(Some(session)),
            Err(e) if is_unwritable(&e) => {
                progress.warn(&format!(
                    "no lock can be written ({e}); going on without one: let no prune run meanwhile"
                ));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The lease's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.held().lease.epoch()
    }

    /// Whether lock and lease are still ours.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LeaseLost`].
    pub fn verify(&self) -> Result<()> {
        let held = self.shared.held();
        held.lock.verify(&self.shared.repository)?;
        held.lease.verify(&self.shared.repository)
    }
}

/// Whether an error says that the storage takes no new objects.
fn is_unwritable(error: &RepoError) -> bool {
    let cause = error.source().and_then(|s| s.downcast_ref::<io::Error>()).map(io::Error::kind);
    let refused = matches!(cause, Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied));
    error.kind() == ErrorKind::StorageFull || error.kind() == ErrorKind::Storage && refused
}

fn renew(shared: &Shared) {
    let mut held = shared.held();
    while !held.over {
        held = shared.wake.wait_timeout(held, RENEW_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        if !held.over {
            // A failure is not final: the next try, or the check before publishing, decides.
            let _ = held.lock.renew(&shared.repository);
            let _ = held.lease.renew(&shared.repository);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.held().over = true;
        self.shared.wake.notify_all();
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
        let held = self.shared.held();
        let _ = held.lease.release(&self.shared.repository);
        let _ = held.lock.release(&self.shared.repository);
    }
}
