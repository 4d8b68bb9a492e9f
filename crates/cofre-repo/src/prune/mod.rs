//! Deleting points, and what no point needs any more.
//!
//! [`Repository::forget`] deletes snapshots. [`Repository::prune`] works in two phases: it *marks*
//! packs while others read and write, after moving what is still needed out of them; and it *deletes*
//! marked packs under the exclusive lock, after a grace period, when no lease older than the mark
//! lives. An unfinished prune is taken up by the next one.

pub mod mark;
pub mod plan;
mod repack;
mod sweep;
mod usage;

use std::collections::HashSet;

use jiff::SignedDuration;

pub use plan::PrunePlan;

use self::mark::Mark;
use crate::{
    cancel::Cancel,
    error::{ErrorKind, RepoError, Result},
    failpoint,
    id::{PackId, PointId},
    lease::{self, Purpose},
    lock::Access,
    progress::Progress,
    repository::{PointSelector, Repository, Session, UnreadablePoint},
};

/// What a prune did.
#[derive(Clone, Debug, Default)]
pub struct PruneReport {
    /// Packs that were deleted.
    pub packs_deleted: u64,
    /// Bytes of those.
    pub bytes_freed: u64,
    /// Packs whose needed blobs were moved to new ones.
    pub packs_repacked: u64,
    /// Bytes of needed blobs that were moved.
    pub bytes_repacked: u64,
    /// Packs that are marked and wait.
    pub packs_waiting: u64,
    /// Why they wait.
    pub waiting_for: Option<String>,
    /// Bytes that stay unused in packs that stay.
    pub bytes_unused: u64,
    /// Bytes that points need.
    pub bytes_used: u64,
    /// Damaged packs that stay because a point needs something of which there is no other copy.
    pub packs_damaged: Vec<PackId>,
}

/// The points that cannot be read and answer to the beginning of an id, their own or their snapshot's.
fn unreadable_called<'a>(
    unreadable: &'a [UnreadablePoint],
    prefix: &str,
    name: Option<&str>,
) -> Vec<&'a UnreadablePoint> {
    let of_machine = |u: &&UnreadablePoint| name.is_none_or(|n| u.name.as_deref().is_none_or(|of| of == n));
    let called = |u: &&UnreadablePoint| {
        u.snapshot.to_hex().starts_with(prefix) || u.point.is_some_and(|p| p.to_hex().starts_with(prefix))
    };
    unreadable.iter().filter(of_machine).filter(called).collect()
}

impl Repository {
    /// Deletes recovery points; their data stay until a prune. A tag must fit exactly one point.
    ///
    /// # Errors
    /// [`ErrorKind::PointNotFound`], [`ErrorKind::PointAmbiguous`]: then nothing is deleted.
    pub fn forget(&self, selectors: &[PointSelector], name: Option<&str>) -> Result<Vec<PointId>> {
        let _session = Session::begin(self, Access::Shared, Purpose::Forget, "")?;
        let index = self.load_index()?;
        let (points, unreadable) = self.points(&index)?;
        let mut doomed = Vec::new();
        let mut broken = Vec::new();
        for selector in selectors {
            let lost = match selector {
                PointSelector::Id(prefix) => unreadable_called(&unreadable, prefix, name),
                _ => Vec::new(),
            };
            let point = match self.find_point(&points, selector, name) {
                Ok(point) if lost.is_empty() => point.document.id,
                Err(e) if e.kind() == ErrorKind::PointNotFound && lost.len() == 1 => {
                    broken.extend(lost);
                    continue;
                }
                Err(e) if lost.is_empty() => return Err(e),
                _ => {
                    return Err(RepoError::new(
                        ErrorKind::PointAmbiguous,
                        format!("{selector} fits several recovery points; none was deleted"),
                    )
                    .recommend("Name the point by more digits of its id."));
                }
            };
            if let PointSelector::Tag(tag) = selector {
                let carriers: HashSet<_> = points
                    .iter()
                    .filter(|p| name.is_none_or(|n| p.document.name == n) && p.document.tags.contains(tag))
                    .map(|p| p.document.id)
                    .collect();
                if carriers.len() > 1 {
                    return Err(RepoError::new(
                        ErrorKind::PointAmbiguous,
                        format!("{} recovery points have the tag {tag:?}; none was deleted", carriers.len()),
                    )
                    .recommend("Name the points by their ids."));
                }
            }
            if !doomed.contains(&point) {
                doomed.push(point);
            }
        }
        // copies of a snapshot that restic made go with it
        let snapshots: Vec<_> = points
            .iter()
            .filter(|p| doomed.contains(&p.document.id))
            .map(|p| p.snapshot)
            .chain(broken.iter().map(|u| u.snapshot))
            .map(Into::into)
            .collect();
        self.storage().delete(&snapshots)?;
        doomed.extend(broken.iter().filter_map(|u| u.point));
        Ok(doomed)
    }

    /// Marks what no point needs and deletes what was marked at least `grace` ago.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when a tree of some point cannot be read: what the point needs is not known
    /// then, and nothing is deleted. A lost chunk is no such error.
    /// [`ErrorKind::Locked`] when another prune runs. Somebody who reads or writes is waited for, not
    /// refused: the report says so.
    pub fn prune(
        &self,
        grace: SignedDuration,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        {
            let session = Session::begin(self, Access::Shared, Purpose::Prune, "")?;
            self.mark(&session, &mut report, progress, cancel)?;
        }
        cancel.check()?;
        self.delete_ripe(grace, &mut report)?;
        Ok(report)
    }

    fn mark(
        &self,
        session: &Session,
        report: &mut PruneReport,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<()> {
        // A point that appears from now on is in no mark's list of snapshots: the deletion looks at it
        // under the exclusive lock, when no backup runs, and rescues what it needs.
        let index = self.load_index()?;
        let snapshots = index.snapshots().to_vec();
        if let Some((id, _)) = index.unreadable().first() {
            return Err(RepoError::damaged(&format!("index/{id}"), "cannot be read, so nothing is deleted")
                .recommend(
                    "Rebuild the index with `restic repair index` (or `rebuild-index`), then prune again.",
                ));
        }
        let used = usage::collect(self, &index, &snapshots)?;
        let mut plan = plan::plan(&index, &used);
        for mut mark in mark::load_all(self)? {
            let before = mark.packs.len();
            mark.packs.retain(|p| !plan.rescue.contains(p));
            if mark.packs.len() < before {
                mark.store(self)?;
            }
        }
        for source in std::mem::take(&mut plan.damaged) {
            if repack::is_readable(self, &source)? {
                plan.moved += source.blobs.iter().map(|b| u64::from(b.length)).sum::<u64>();
                plan.repack.push(source);
            } else {
                report.packs_damaged.push(source.pack);
            }
        }
        report.packs_repacked = plan.repack.len() as u64;
        report.bytes_repacked = plan.moved;
        report.bytes_unused = plan.unused;
        report.bytes_used = plan.used;
        if !plan.repack.is_empty() {
            progress.begin("repack", plan.repack.iter().map(|s| s.size).sum());
            repack::run(self, &plan.repack, progress, cancel)?;
            progress.end();
        }
        failpoint::reached("prune.before-mark");
        session.verify()?;
        let marked = mark::marked_packs(self)?;
        // Packs without an index are what interrupted backups left; a backup that still runs would show.
        let writers = lease::live(self)?;
        let alone = writers.iter().all(|l| l.epoch == session.epoch() || l.purpose != Purpose::Ingest);
        let orphans = index.orphans().iter().map(|(id, _)| *id).filter(|_| alone);
        let packs: Vec<_> = plan
            .remove
            .into_iter()
            .chain(plan.repack.iter().map(|s| s.pack))
            .chain(orphans)
            .filter(|p| !marked.contains(p))
            .collect();
        if !packs.is_empty() {
            let mark = Mark { version: 1, epoch: session.epoch(), time: self.now(), packs, snapshots };
            mark.store(self)?;
        }
        failpoint::reached("prune.after-mark");
        Ok(())
    }

    fn delete_ripe(&self, grace: SignedDuration, report: &mut PruneReport) -> Result<()> {
        let now = self.now();
        let (ripe, green): (Vec<_>, Vec<_>) =
            mark::load_all(self)?.into_iter().partition(|m| now.duration_since(m.time) >= grace);
        report.packs_waiting = green.iter().map(|m| m.packs.len() as u64).sum();
        if let Some(next) = green.iter().filter_map(|m| m.time.checked_add(grace).ok()).min() {
            report.waiting_for = Some(format!("the grace period, until {next}"));
        }
        if ripe.is_empty() {
            return Ok(());
        }
        let wait = |report: &mut PruneReport, marks: &[Mark], reason: String| {
            report.packs_waiting += marks.iter().map(|m| m.packs.len() as u64).sum::<u64>();
            report.waiting_for = Some(reason);
        };
        let session = match Session::begin(self, Access::Exclusive, Purpose::Prune, "") {
            Ok(session) => session,
            Err(e) if e.kind() == ErrorKind::Locked => {
                wait(report, &ripe, e.to_string());
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let oldest = ripe.iter().map(|m| m.epoch).min().unwrap_or_default();
        let older = lease::live(self)?.into_iter().find(|l| l.epoch < oldest && l.epoch != session.epoch());
        if let Some(older) = older {
            wait(report, &ripe, older.description);
            return Ok(());
        }
        let swept = sweep::sweep(self, &session, &ripe)?;
        report.packs_deleted = swept.packs;
        report.bytes_freed = swept.bytes;
        Ok(())
    }
}
