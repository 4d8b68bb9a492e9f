//! What a backup warns of: keys that do not fit the disks.

use cofre_arm::Result;
use cofre_compute::VirtualMachine;
use cofre_repo::Repository;

use crate::{
    backup::Taken,
    header::{self, Found},
    item_repository::transfer_failed,
    job::{ErrorDetail, JobRun},
    key_source::ProofState,
    points::MachineRecord,
    service::Recovery,
};

impl Recovery {
    /// Says at once what would otherwise be found at the restore.
    pub(crate) fn warn_of_keys(
        &self,
        run: &JobRun<'_>,
        repository: &Repository,
        taken: &Taken,
    ) -> Result<()> {
        for (disk, proof) in taken.snapshot.disks.iter().zip(&taken.proofs) {
            match &proof.state {
                ProofState::DoesNotOpen => run.warn(ErrorDetail::warning(
                    "KeysDoNotOpenDisk",
                    format!("the secret and key that the machine names do not open disk {}", disk.name),
                    "Correct the machine's encryption settings, or put the right secret into the key vault, and back up \
                     again: today this point could not be opened with its keys.",
                ))?,
                ProofState::Missing { reason } => run.warn(ErrorDetail::warning(
                    "KeysMissing",
                    format!("no keys were captured for disk {}: {reason}", disk.name),
                    "Give the machine encryption settings that name the disk's secret and key, or keep its passphrase \
                     elsewhere.",
                ))?,
                ProofState::Proven | ProofState::Captured { .. } | ProofState::NotEncrypted => {}
            }
        }
        for disk in self.headers_changed(repository, taken).unwrap_or_default() {
            run.warn(ErrorDetail::warning(
                "VolumeKeyChanged",
                format!("the volume key of disk {disk} changed since the last point, its secret did not"),
                "Make sure that this was meant: the secret that the machine names may no longer be the disk's.",
            ))?;
        }
        Ok(())
    }

    /// Disks whose volume key is another than in the last point, though the secret's URL is the same
    /// and was not just proven to open the new header.
    fn headers_changed(&self, repository: &Repository, taken: &Taken) -> Result<Vec<String>> {
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, _) = repository.points(&index).map_err(transfer_failed)?;
        let Some(last) = points.last() else { return Ok(Vec::new()) };
        let Some(before) = MachineRecord::of(&last.document)? else { return Ok(Vec::new()) };
        let urls = |machine: &VirtualMachine, disk: &str| -> Vec<String> {
            let sets = machine.key_sets().into_iter().filter(|s| s.disks.iter().any(|d| d == disk));
            sets.map(|s| s.settings.disk_encryption_key.secret_url).collect()
        };
        let mut changed = Vec::new();
        for ((disk, found), proof) in taken.snapshot.disks.iter().zip(&taken.headers).zip(&taken.proofs) {
            let (Found::Header { record, .. }, Some(entry)) = (found, last.document.disk(&disk.name)) else {
                continue;
            };
            let document = repository.disk_document(&index, last, entry).map_err(transfer_failed)?;
            let old: Option<header::HeaderRecord> =
                document.encryption.and_then(|e| serde_json::from_value(e).ok());
            let same_secret = urls(&before.virtual_machine, &disk.name) == urls(&taken.machine, &disk.name);
            let other_key = old.is_some_and(|o| o.volume_key_digest != record.volume_key_digest);
            if same_secret && other_key && proof.state != ProofState::Proven {
                changed.push(disk.name.clone());
            }
        }
        Ok(changed)
    }
}
