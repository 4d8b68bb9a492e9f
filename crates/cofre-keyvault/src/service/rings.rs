//! The service's own keys: a new root key, new blob keys, blob keys for a recovery kit and from one.

use std::sync::PoisonError;

use zeroize::Zeroizing;

use super::{ATTEMPTS, Done, KeyVaults, vaults::VAULTS};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    caller::Caller,
    envelope::{self, RING},
    error::{ErrorKind, KeyVaultError, Result},
    ring::{self, Ring},
    root_key::RootKey,
    state::{Change, State, StateError},
};

fn event(caller: &Caller, operation: Operation) -> AuditEvent {
    AuditEvent::begin(caller, operation, Scope::Service, "", "", None)
}

impl KeyVaults {
    /// Makes a ring where there is none, and a blob key where this place has none.
    pub(super) fn ensure_blob_key(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let change = if self.read(ring::PATH)?.is_some() {
                let mut open = self.open_ring()?;
                if open.ring.current_blob_key(&self.place)?.is_some() {
                    return Ok(());
                }
                open.ring.add_blob_key(&self.place, self.clock.now())?;
                self.replace_ring(&open)?
            } else {
                if !self.list(VAULTS, None, 1)?.is_empty() {
                    return Err(KeyVaultError::new(
                        ErrorKind::Damaged,
                        "there are key vaults but their ring is gone: restore the storage from a backup",
                    ));
                }
                let mut ring = Ring::new();
                ring.add_blob_key(&self.place, self.clock.now())?;
                let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
                Change::Create { path: ring::PATH.to_owned(), body: ring.seal(&root)? }
            };
            match self.state.commit(&[change], &[]) {
                Ok(()) => return Ok(()),
                Err(StateError::Conflict { .. }) => std::thread::yield_now(),
                Err(error) => return Err(KeyVaultError::state("write the ring", error)),
            }
        }
        Err(KeyVaultError::new(ErrorKind::Conflict, "others kept changing the ring: try again"))
    }

    /// The [id](RootKey::id) of the root key that the ring in a storage is sealed under, as its header states it: nothing is
    /// authenticated before the ring is opened. `None` where there is no ring yet.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when there is something else in the ring's place, [`ErrorKind::State`].
    pub fn root_key_id(state: &dyn State) -> Result<Option<String>> {
        let record = state.read(ring::PATH).map_err(|error| KeyVaultError::state("read the ring", error))?;
        let id = record.map(|record| {
            envelope::key_id(RING, &record.body).ok_or_else(|| KeyVaultError::damaged(ring::PATH))
        });
        id.transpose()
    }

    /// Seals the ring under another root key, in one write: before it the old key opens, after it the new
    /// one alone. Nothing else is sealed anew. Other processes that hold the old key must be started again
    /// with the new one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], and those of ring and storage. After [`ErrorKind::State`] either key may be
    /// the right one: keep both and open the service again.
    pub fn rotate_root(&self, caller: &Caller, new: &RootKey) -> Result<()> {
        let new = new.ring_key()?;
        // Whoever wants the ring meanwhile waits, and then finds key and ring to match.
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        self.audited(event(caller, Operation::RotateRootKey), |_| {
            let open = self.open_ring_under(&root)?;
            let body = open.ring.seal(&new)?;
            let changes =
                vec![Change::Replace { path: ring::PATH.to_owned(), revision: open.revision, body }];
            Ok(Done { answer: (), changes })
        })?;
        *root = new;
        Ok(())
    }

    /// Makes a new blob key for this place and returns its id. Blobs from now on are sealed under it; those
    /// sealed before stay readable, and exposed if an older key was.
    ///
    /// # Errors
    /// Those of ring and storage.
    pub fn rotate_blob_key(&self, caller: &Caller) -> Result<String> {
        self.audited(event(caller, Operation::RotateBlobKey), |event| {
            let mut open = self.open_ring()?;
            let id = open.ring.add_blob_key(&self.place, self.clock.now())?;
            event.set_context(&id);
            Ok(Done { answer: id, changes: vec![self.replace_ring(&open)?] })
        })
    }

    /// All blob keys of this place, in the clear (docs/keyvault-format.md): for a recovery kit, which seals
    /// them. Whoever reads this opens every backup blob of the place.
    ///
    /// # Errors
    /// Those of ring and storage.
    pub fn export_ring_for_kit(&self, caller: &Caller) -> Result<Zeroizing<Vec<u8>>> {
        self.audited(event(caller, Operation::ExportBlobKeys), |_| {
            Ok(Done::reading(self.open_ring()?.ring.export_blob_keys(&self.place)?))
        })
    }

    /// Adds the blob keys of a recovery kit, so that blobs made elsewhere in the same subscription and
    /// geography open here; they seal nothing new. Returns how many were not there yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when this is no such list, or is of another place; those of ring and storage.
    pub fn import_blob_keys(&self, caller: &Caller, export: &[u8]) -> Result<usize> {
        self.audited(event(caller, Operation::ImportBlobKeys), |event| {
            let mut open = self.open_ring()?;
            let added = open.ring.import_blob_keys(&self.place, export)?;
            event.set_context(&format!("{added} keys"));
            let changes = if added == 0 { Vec::new() } else { vec![self.replace_ring(&open)?] };
            Ok(Done { answer: added, changes })
        })
    }
}
