//! Deleting points whose date has passed.
//!
//! In this order, so that no list ever shows a point that is gone: the rows are called expired → the
//! snapshots go → the rows go → space is freed. A clean-up that was cut short is taken up by the next.

pub(crate) mod quiet;

use std::collections::HashSet;

use cofre_arm::{ResourceId, Result};
use cofre_repo::{
    Cancel, Repository, failpoint, progress::Progress, prune::PruneReport, repository::PointSelector,
};
use cofre_store::PointChange;
use jiff::{SignedDuration, Timestamp};

use crate::{
    documents::{self, Loaded},
    item::{ProtectedItem, ProtectionState},
    item_repository::transfer_failed,
    points::{EXPIRED, RecoveryPoint, VISIBLE},
    policy::Policy,
    service::Recovery,
};

/// What a clean-up did.
#[derive(Clone, Debug, Default)]
pub struct CleanUp {
    /// Points that were deleted, by number.
    pub expired: Vec<String>,
    /// The last point, by number, where it stays though its date has passed.
    pub kept: Option<String>,
    /// What became of the space, where there was something to free.
    pub prune: Option<PruneReport>,
}

/// Points that are changed in one transaction.
const BATCH: usize = 500;

/// The points that a repository has, by id.
struct Stored {
    readable: HashSet<String>,
    unreadable: HashSet<String>,
}

impl Stored {
    fn of(repository: &Repository) -> Result<Self> {
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, unreadable) = repository.points(&index).map_err(transfer_failed)?;
        Ok(Self {
            readable: points.iter().map(|p| p.document.id.to_hex()).collect(),
            unreadable: unreadable.iter().filter_map(|u| u.point.map(|p| p.to_hex())).collect(),
        })
    }

    fn holds(&self, point: &RecoveryPoint) -> bool {
        self.readable.contains(&point.point) || self.unreadable.contains(&point.point)
    }
}

/// The points whose date has passed, and the one of them that stays because there is no other. A point
/// that its repository has not, or cannot read, is no other.
fn expired<'a>(
    points: &'a [RecoveryPoint],
    stored: &Stored,
    now: Timestamp,
) -> (Vec<&'a RecoveryPoint>, Option<&'a RecoveryPoint>) {
    // newest first
    let good = || points.iter().filter(|p| p.state == VISIBLE && stored.readable.contains(&p.point));
    let all_over = good().all(|p| p.expiry <= now);
    let stays = good().next().filter(|_| all_over);
    let over = points.iter().filter(|p| match p.state.as_str() {
        EXPIRED => true,
        // what is lost needs no room, but its row goes at its time
        _ => p.expiry <= now && stays.is_none_or(|s| s.name != p.name),
    });
    (over.collect(), stays)
}

impl Recovery {
    /// Deletes the points of an item whose date has passed, and frees the space of what no point needs.
    /// The last point stays; of an item whose protection is stopped all do.
    ///
    /// # Errors
    /// `NotFound`, `StateUnavailable`, `OperationInProgress` when another prune runs, `TransferFailed`,
    /// `JobInterrupted`.
    pub fn clean_up(&self, item: &ResourceId, progress: &dyn Progress, cancel: &Cancel) -> Result<CleanUp> {
        let Loaded { value: item, revision } = documents::load::<ProtectedItem>(self.store(), item)?;
        let policy = documents::find::<Policy>(self.store(), &item.policy_id)?.map(|policy| policy.revision);
        let mut done = CleanUp::default();
        if item.protection_state == ProtectionState::ProtectionStopped || item.repository.is_none() {
            return Ok(done);
        }
        self.redate(&item.id)?;
        let points = self.recovery_points(&item.id)?;
        let repository = match self.open_repository(&item) {
            Ok(repository) => repository,
            // nothing to delete, and the first backup is still making the repository
            Err(_) if points.is_empty() => return Ok(done),
            Err(e) => return Err(e),
        };
        // after the rows: a point that comes in between has no row to be compared
        let stored = Stored::of(&repository)?;
        let (over, stays) = expired(&points, &stored, self.now());
        done.kept = stays.map(|p| p.name.clone());
        for chunk in over.chunks(BATCH) {
            cancel.check().map_err(transfer_failed)?;
            self.expire(&item.id, &repository, &stored, chunk)?;
            done.expired.extend(chunk.iter().map(|p| p.name.clone()));
        }
        if !done.expired.is_empty() || waits(&repository)? {
            let grace = SignedDuration::from_hours(i64::from(self.settings().prune_grace_hours));
            done.prune = Some(repository.prune(grace, progress, cancel).map_err(transfer_failed)?);
        }
        // what one prune marks, a later one deletes
        if !waits(&repository)? {
            let gone: HashSet<_> = over.iter().map(|p| p.name.as_str()).collect();
            let left = points.iter().filter(|p| !gone.contains(p.name.as_str()));
            self.note_quiet(&item.id, revision, policy, left)?;
        }
        Ok(done)
    }

    fn expire(
        &self,
        item: &ResourceId,
        repository: &Repository,
        stored: &Stored,
        over: &[&RecoveryPoint],
    ) -> Result<()> {
        let mut batch = self.batch();
        for point in over.iter().filter(|p| p.state != EXPIRED) {
            let tombstone = RecoveryPoint { state: EXPIRED.to_owned(), ..(*point).clone() };
            batch.points.push(PointChange::Replace(tombstone.row(item)?));
        }
        if !batch.is_empty() {
            let names: Vec<_> = over.iter().map(|p| p.name.as_str()).collect();
            batch.events.push(self.event(
                "points.expire",
                item,
                Some(serde_json::json!({"points": names})),
            )?);
            self.commit(&batch)?;
        }
        failpoint::reached("clean-up.rows-expired");
        let there = over.iter().filter(|p| stored.holds(p));
        let selectors: Vec<_> = there.map(|p| PointSelector::Id(p.point.clone())).collect();
        if !selectors.is_empty() {
            repository.forget(&selectors, None).map_err(transfer_failed)?;
        }
        failpoint::reached("clean-up.snapshots-deleted");
        let mut batch = self.batch();
        let gone = |p: &&RecoveryPoint| PointChange::Delete { item: item.key(), id: p.name.clone() };
        batch.points.extend(over.iter().map(gone));
        batch.events.push(self.event(
            "points.delete",
            item,
            Some(serde_json::json!({"points": over.len()})),
        )?);
        self.commit(&batch)?;
        failpoint::reached("clean-up.rows-deleted");
        Ok(())
    }
}

/// Whether an earlier prune left something to delete.
fn waits(repository: &Repository) -> Result<bool> {
    let marks = repository.storage().list(cofre_repo::storage::Kind::Mark).map_err(transfer_failed)?;
    Ok(!marks.is_empty())
}
