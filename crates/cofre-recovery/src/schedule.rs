//! When scheduled backups run.
//!
//! A *slot* is a time of a policy's schedule. Each item begins a while after its slot, always the same for
//! the same item and slot, so that not all machines of a policy begin at once. Slots that passed while
//! nobody looked are made up for by one backup, the newest.

use std::collections::HashMap;

use aws_lc_rs::digest;
use cofre_arm::{ResourceId, Result};
use jiff::{SignedDuration, Span, Timestamp, civil};

use crate::{
    documents,
    item::{ProtectedItem, ProtectionState},
    job::{JobRequest, Trigger},
    policy::{DayOfWeek, Frequency, Policy, PolicyProperties},
    service::Recovery,
    settings::DaylightSaving,
    time_zone::Calendar,
};

/// A scheduled backup whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The item to back up.
    pub item: ResourceId,
    /// The time of the schedule that it is for.
    pub slot: Timestamp,
}

/// The times of a policy's schedule.
#[derive(Clone, Debug)]
pub struct Slots {
    calendar: Calendar,
    time: civil::Time,
    /// None: every day.
    days: Option<Vec<DayOfWeek>>,
}

/// No schedule has two slots that are further apart than a week; a day more on either side for the zone.
const REACH: i64 = 9;

impl Slots {
    /// The times of a policy.
    ///
    /// # Errors
    /// `InvalidParameter` when its time zone is not known.
    pub fn of(policy: &PolicyProperties, daylight_saving: DaylightSaving) -> Result<Self> {
        let schedule = &policy.schedule_policy;
        Ok(Self {
            calendar: Calendar::of(&policy.time_zone, daylight_saving)?,
            time: schedule.time_of_day(),
            days: (schedule.schedule_run_frequency == Frequency::Weekly)
                .then(|| schedule.schedule_run_days.clone()),
        })
    }

    /// The slot of the day that lies so many days after the day of an instant.
    fn near(&self, at: Timestamp, days: i64) -> Option<Timestamp> {
        let date = self.calendar.date(at).checked_add(Span::new().try_days(days).ok()?).ok()?;
        if self.days.as_ref().is_some_and(|d| !d.contains(&DayOfWeek::of(date))) {
            return None;
        }
        self.calendar.instant(date, self.time)
    }

    /// The newest slot that is not after an instant.
    #[must_use]
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        (-REACH..=1).rev().filter_map(|days| self.near(now, days)).find(|slot| *slot <= now)
    }

    /// The first slot after an instant.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        (-1..=REACH).filter_map(|days| self.near(now, days)).find(|slot| *slot > now)
    }
}

/// How long after its slot a backup of an item begins: less than `most_minutes`, or nothing at 0.
fn jitter(item: &ResourceId, slot: Timestamp, most_minutes: u32) -> SignedDuration {
    let seconds = u64::from(most_minutes) * 60;
    if seconds == 0 {
        return SignedDuration::ZERO;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(item.key().as_bytes());
    context.update(&slot.as_second().to_be_bytes());
    let hash = context.finish();
    let number = hash.as_ref().iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    SignedDuration::from_secs(i64::try_from(number % seconds).unwrap_or_default())
}

/// The instant up to which the schedule of an item counts as handled.
fn since(item: &ProtectedItem, policy: &Policy) -> Timestamp {
    [item.last_slot, policy.scheduled_since].into_iter().flatten().fold(item.created, Timestamp::max)
}

/// The slot of an item that is still to be handled, and when its backup begins; that may be later than now.
fn pending(
    item: &ProtectedItem,
    policy: &Policy,
    slots: &Slots,
    now: Timestamp,
    jitter_minutes: u32,
) -> Option<(Timestamp, Timestamp)> {
    let slot = slots.last(now)?;
    if slot <= since(item, policy) {
        return None;
    }
    Some((slot, slot.checked_add(jitter(&item.id, slot, jitter_minutes)).ok()?))
}

impl Recovery {
    fn is_scheduled(item: &ProtectedItem) -> bool {
        item.protection_state != ProtectionState::ProtectionStopped
    }

    /// The scheduled backups whose time has come, each item at most once: its newest slot, if that is
    /// newer than [`ProtectedItem::last_slot`], the item and the policy's schedule. A slot older than the
    /// newest is not made up for: the newest stands for it, also while its own start is still to come.
    ///
    /// An item whose policy is gone or cannot be used is passed over, so that it does not hold up others.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn due(&self, now: Timestamp) -> Result<Vec<Due>> {
        let mut due = Vec::new();
        self.scheduled(|item, policy, slots, jitter_minutes| {
            match pending(&item, policy, slots, now, jitter_minutes) {
                Some((slot, begin)) if begin <= now => due.push(Due { item: item.id, slot }),
                _ => {}
            }
        })?;
        Ok(due)
    }

    /// Scheduled backups whose time has come and that nobody has begun, each item once with its oldest such slot: those
    /// that are still to be submitted, and those that wait for a worker.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn not_begun(&self, now: Timestamp) -> Result<Vec<Due>> {
        let mut late = Vec::new();
        self.scheduled(|item, policy, slots, jitter_minutes| {
            let first = slots.next(since(&item, policy)).filter(|slot| {
                slot.checked_add(jitter(&item.id, *slot, jitter_minutes)).is_ok_and(|begin| begin <= now)
            });
            late.extend(first.map(|slot| Due { item: item.id, slot }));
        })?;
        for (job, _) in self.unended_jobs()?.into_iter().filter(|(_, row)| row.owner.is_none()) {
            if let (Some(item), Some(JobRequest::Backup(request))) = (job.item_id, job.request)
                && let Trigger::Schedule { slot } = request.trigger
            {
                late.push(Due { item, slot });
            }
        }
        late.sort_by_cached_key(|due| (due.item.key(), due.slot));
        late.dedup_by(|next, first| next.item == first.item);
        Ok(late)
    }

    /// Shows `look` each item whose policy has a schedule that counts for it, with the most minutes of jitter.
    fn scheduled(&self, mut look: impl FnMut(ProtectedItem, &Policy, &Slots, u32)) -> Result<()> {
        let settings = &self.settings().schedule;
        let mut policies: HashMap<ResourceId, Option<(Policy, Slots)>> = HashMap::new();
        for item in self.items(None)?.into_iter().filter(Self::is_scheduled) {
            if !policies.contains_key(&item.policy_id) {
                let policy = documents::find::<Policy>(self.store(), &item.policy_id)?.map(|p| p.value);
                let usable = policy.and_then(|p| {
                    let slots = Slots::of(&p.properties, settings.daylight_saving).ok()?;
                    Some((p, slots))
                });
                policies.insert(item.policy_id.clone(), usable);
            }
            if let Some(Some((policy, slots))) = policies.get(&item.policy_id) {
                look(item, policy, slots, settings.jitter_minutes);
            }
        }
        Ok(())
    }

    /// When the next scheduled backup of an item begins; now where one is due. None when its protection is
    /// stopped.
    ///
    /// # Errors
    /// `NotFound`, `InvalidParameter`, `StateUnavailable`.
    pub fn next_run(&self, item: &ResourceId) -> Result<Option<Timestamp>> {
        let item = self.item(item)?;
        if !Self::is_scheduled(&item) {
            return Ok(None);
        }
        let settings = &self.settings().schedule;
        let policy = documents::load::<Policy>(self.store(), &item.policy_id)?.value;
        let slots = Slots::of(&policy.properties, settings.daylight_saving)?;
        let now = self.now();
        if let Some((_, begin)) = pending(&item, &policy, &slots, now, settings.jitter_minutes) {
            return Ok(Some(begin.max(now)));
        }
        let next = slots.next(now);
        Ok(next.and_then(|slot| slot.checked_add(jitter(&item.id, slot, settings.jitter_minutes)).ok()))
    }
}

#[cfg(test)]
mod tests;
