//! Checking a repository: is every point whole, and if not, which disks are hit?
//!
//! Indexes are compared with the packs there are; every pack is read and its digest compared with its
//! name; every tree of every snapshot is walked and every chunk it names looked up. With `read_data`
//! each blob is opened as well, so that nothing rests on the pack's digest alone. In a pack whose
//! digest is wrong each blob is opened in any case, to tell which are lost.
//!
//! Damaged packs are noted in the repository: backups then store again what they need of them, and a
//! later check that finds such a pack sound takes the note away.

mod packs;
mod points;

use std::collections::HashSet;

use crate::{
    cancel::Cancel,
    error::Result,
    id::{BlobId, PackId},
    index::{Index, PackState},
    lease::Purpose,
    progress::Progress,
    repository::{Repository, Session},
    storage::Object,
};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Machine code: stable.
    pub code: &'static str,
    /// The object, point or disk.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub action: &'static str,
}

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Packs that were looked at.
    pub packs: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
    /// What is odd but loses nothing.
    pub warnings: Vec<String>,
}

/// What to do about a damaged pack.
const BACK_UP_AGAIN: &str = "Back up again from the source: what it still has of the lost chunks is stored \
                             anew, and heals older points too. Then run `cofre repo prune`.";
/// What to do about a damaged index.
const REBUILD: &str = "Rebuild it with `restic repair index` (0.14: `rebuild-index`), then check again.";

impl Repository {
    /// Checks the structure and every pack's digest; with `read_data` every blob is opened too.
    ///
    /// # Errors
    /// Only when the check itself cannot be done; damage is in the report.
    pub fn check(&self, read_data: bool, progress: &dyn Progress, cancel: &Cancel) -> Result<CheckReport> {
        let session = Session::begin_reading(self, Purpose::Check, progress)?;
        let mut report = CheckReport::default();
        let mut index = self.load_index()?;
        // A damage note is an old finding: this check looks for itself.
        let noted = self.damaged_packs()?;
        for (id, error) in index.unreadable() {
            report.findings.push(Finding {
                code: "IndexDamaged",
                object: format!("index/{id}"),
                message: error.to_string(),
                action: REBUILD,
            });
        }
        if !index.orphans().is_empty() {
            report.warnings.push(format!(
                "{} packs are in no index (an interrupted backup left them): the next backup reuses them, \
                 a prune deletes them",
                index.orphans().len()
            ));
        }
        let outcome = packs::check(self, &index, read_data, progress, cancel)?;
        report.packs = outcome.packs;
        report.bytes_read = outcome.bytes_read;
        report.findings.extend(outcome.findings);
        if session.is_some() {
            self.note_damage(&outcome.damaged, &noted, &index)?;
        }
        index.set_state(&outcome.damaged, PackState::Damaged);
        progress.begin("recovery points", 0);
        points::check(self, &index, &outcome.lost, &mut report, cancel)?;
        progress.end();
        session.map_or(Ok(()), |s| s.verify())?;
        Ok(report)
    }

    /// Brings the notes of damaged packs up to date.
    fn note_damage(&self, damaged: &HashSet<PackId>, noted: &HashSet<PackId>, index: &Index) -> Result<()> {
        for pack in damaged.difference(noted) {
            let note = serde_json::json!({ "version": 1, "pack": pack, "found": self.now() });
            let sealed = crate::unpacked::seal(self.key(), &note, false)?;
            self.storage().create(&Object::damage(*pack), &sealed)?;
        }
        let known: HashSet<_> = index.packs().iter().map(|p| p.id).collect();
        let over = noted.iter().filter(|p| !damaged.contains(p) || !known.contains(p));
        self.storage().delete(&over.map(|p| Object::damage(*p)).collect::<Vec<_>>())
    }
}

/// Blobs that no pack gives back intact, in the packs that were read.
type LostBlobs = HashSet<(PackId, BlobId)>;
