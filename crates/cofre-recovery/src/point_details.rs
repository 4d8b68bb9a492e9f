//! What a recovery point says beyond its row: the machine as it was, and the keys that were captured with it.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_compute::VirtualMachine;
use zeroize::Zeroizing;

use crate::{
    captured::{CapturedKeys, CapturedSet},
    documents,
    item::ProtectedItem,
    points::{LOST, RecoveryPoint},
    service::Recovery,
};

/// A recovery point, read from its repository.
pub struct PointDetails {
    /// The machine as it was.
    pub machine: VirtualMachine,
    /// What was captured of its keys; none when it was not encrypted.
    pub keys: Option<CapturedKeys>,
    blobs: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl PointDetails {
    /// The backup blob of a set's key.
    #[must_use]
    pub fn key_backup(&self, set: &CapturedSet) -> Option<&[u8]> {
        self.blobs.get(&set.key_backup).map(|blob| blob.as_slice())
    }
}

impl Recovery {
    /// Opens a recovery point that is there and reads what it says of its machine.
    ///
    /// # Errors
    /// `NotFound`, also when it is gone from its repository; `TransferFailed` when that cannot be read.
    pub fn point_details(&self, item: &ResourceId, point: &RecoveryPoint) -> Result<PointDetails> {
        let item = documents::load::<ProtectedItem>(self.store(), item)?.value;
        if point.state == LOST {
            let message = format!("recovery point {} is gone from its repository", point.name);
            return Err(ApiError::new(Problem::NotFound, message).recommend("Take another recovery point."));
        }
        let open = self.open_point(&item, point)?;
        Ok(PointDetails { machine: open.record.virtual_machine, keys: open.keys, blobs: open.blobs })
    }

    /// Notes in the audit that somebody is given the keys of a recovery point, as they lie in it.
    ///
    /// # Errors
    /// `StateUnavailable`: then the keys are not to be given.
    pub fn note_keys_shown(&self, item: &ResourceId, point: &RecoveryPoint) -> Result<()> {
        let object = format!("{item}/recoveryPoints/{}", point.name);
        let mut batch = self.batch();
        batch.events.push(self.event("recoverypoint.showKeys", object, None)?);
        self.commit(&batch)
    }
}
