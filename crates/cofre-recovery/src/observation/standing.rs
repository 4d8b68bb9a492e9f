//! How things stand now.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, Result};
use cofre_store::PointFilter;
use jiff::{SignedDuration, Timestamp};

use crate::{
    documents::unavailable,
    item::{HealthStatus, ProtectedItem, ProtectionState},
    service::Recovery,
};

/// Room of the file system that repositories lie on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What the service may still use.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Jobs that run, by what they do.
    pub running: BTreeMap<&'static str, u64>,
    /// Jobs that wait for a worker, by what they do.
    pub waiting: BTreeMap<&'static str, u64>,
    /// Items by health.
    pub items: BTreeMap<&'static str, u64>,
    /// Items whose backup data wait to be deleted for good.
    pub items_deleted: u64,
    /// Recovery points of all items.
    pub points: u64,
    /// How long ago the oldest scheduled backup was due that nobody has begun; zero where there is none.
    pub schedule_lag: SignedDuration,
    /// How long ago the newest point was made of the item for which that is longest; since it was protected where it has
    /// none. Items whose protection is stopped do not count.
    pub oldest_protection: SignedDuration,
    /// Room for repositories.
    pub space: Space,
}

impl HealthStatus {
    /// Its name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::ActionRequired => "ActionRequired",
        }
    }
}

impl Recovery {
    /// How things stand. Costs a look at each item and an index scan over points, no more.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn standing(&self) -> Result<Standing> {
        let now = self.now();
        let (mut running, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for (job, row) in self.unended_jobs()? {
            let jobs = if row.owner.is_some() { &mut running } else { &mut waiting };
            *jobs.entry(job.operation.name()).or_default() += 1;
        }
        let mut items =
            BTreeMap::from([(HealthStatus::Passed.name(), 0), (HealthStatus::ActionRequired.name(), 0)]);
        let (mut items_deleted, mut oldest) = (0, None);
        for item in self.items(None)? {
            *items.entry(item.health_status.name()).or_default() += 1;
            items_deleted += u64::from(item.deletion.is_some());
            if item.protection_state != ProtectionState::ProtectionStopped {
                oldest = oldest.into_iter().chain([self.protected_until(&item)?]).min();
            }
        }
        let age = |time: Timestamp| now.duration_since(time).max(SignedDuration::ZERO);
        let late = self.not_begun(now)?.into_iter().map(|due| due.slot).min();
        Ok(Standing {
            running,
            waiting,
            items,
            items_deleted,
            points: self.store().count_all_points().map_err(unavailable)?,
            schedule_lag: late.map(age).unwrap_or_default(),
            oldest_protection: oldest.map(age).unwrap_or_default(),
            space: self.space()?,
        })
    }

    /// The time of an item's newest point; of its protection where it has none.
    fn protected_until(&self, item: &ProtectedItem) -> Result<Timestamp> {
        if let Some(time) = item.last_point_time {
            return Ok(time);
        }
        if item.protection_state == ProtectionState::IRPending {
            return Ok(item.created);
        }
        // its points are older than the note of them
        let newest = self.store().points(&item.id.key(), &PointFilter::default(), None, 1);
        Ok(newest.map_err(unavailable)?.first().map_or(item.created, |point| point.time))
    }

    /// Room of the file system that repositories lie on.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn space(&self) -> Result<Space> {
        // the folder is made with the first repository
        let folder = &self.parts().repositories;
        let folder = folder.ancestors().find(|f| f.is_dir()).unwrap_or(folder);
        let fs = rustix::fs::statvfs(folder).map_err(|e| {
            let message = format!("the room of {} cannot be found out", folder.display());
            ApiError::new(Problem::StateUnavailable, message).because(std::io::Error::from(e))
        })?;
        let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
        Ok(Space { free: bytes(fs.f_bavail), total: bytes(fs.f_blocks) })
    }

    /// Refuses a backup where only the reserve is left.
    pub(crate) fn check_room(&self) -> Result<()> {
        let space = self.space()?;
        let reserve = self.settings().storage.reserve(space.total);
        if space.free >= reserve {
            return Ok(());
        }
        let message = format!("{} bytes are free for backups; {reserve} are kept as a reserve", space.free);
        Err(ApiError::new(Problem::StorageFull, message))
    }

    /// Whether there is less room than the operator wants to be warned at.
    pub(crate) fn is_room_low(&self, space: Space) -> bool {
        space.free < self.settings().storage.alarm(space.total)
    }
}
