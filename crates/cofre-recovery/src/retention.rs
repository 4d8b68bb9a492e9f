//! How long points are kept: the tags that a policy gives them, and the date that follows.
//!
//! A scheduled point gets the tags of all ranges whose day it is of, once, when it is made; the longest of
//! the ranges counts. A policy that changes moves the dates of points that are there by their tags, and
//! gives them no new ones.

use std::collections::BTreeSet;

use cofre_arm::{ResourceId, Result};
use cofre_store::{PointChange, PointFilter};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, unavailable},
    item::{ProtectedItem, ProtectionState},
    points::{EXPIRED, RecoveryPoint},
    policy::{DurationUnit, Policy, PolicyProperties, RetentionDuration},
    service::Recovery,
    settings::DaylightSaving,
    time_zone::Calendar,
};

/// A range of retention that holds a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RetentionTag {
    /// The range of every day.
    Daily,
    /// That of days of the week.
    Weekly,
    /// That of days of the month.
    Monthly,
    /// That of days of the year.
    Yearly,
}

/// Why a point is kept for as long as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum PointRetention {
    /// It was asked for, with a date. Policies do not move it.
    #[default]
    OnDemand,
    /// Its item's policy says so.
    Scheduled {
        /// The time of the schedule that it was made for.
        slot: Timestamp,
        /// The ranges that hold it.
        tags: BTreeSet<RetentionTag>,
    },
}

/// How long a new point is to be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Why.
    pub retention: PointRetention,
    /// Until when.
    pub expiry: Timestamp,
}

impl RetentionTag {
    /// How long its range is in a policy, if the policy has it.
    fn duration(self, policy: &PolicyProperties) -> Option<RetentionDuration> {
        let retention = &policy.retention_policy;
        match self {
            Self::Daily => retention.daily_schedule.as_ref().map(|s| s.retention_duration),
            Self::Weekly => retention.weekly_schedule.as_ref().map(|s| s.retention_duration),
            Self::Monthly => retention.monthly_schedule.as_ref().map(|s| s.retention_duration),
            Self::Yearly => retention.yearly_schedule.as_ref().map(|s| s.retention_duration),
        }
    }
}

fn span(duration: RetentionDuration) -> Option<Span> {
    let count = i64::from(duration.count);
    let span = Span::new();
    match duration.duration_type {
        DurationUnit::Days => span.try_days(count),
        DurationUnit::Weeks => span.try_weeks(count),
        DurationUnit::Months => span.try_months(count),
        DurationUnit::Years => span.try_years(count),
    }
    .ok()
}

/// The ranges of a policy that hold the point of a time of its schedule.
///
/// # Errors
/// `InvalidParameter` when the policy's time zone is not known.
pub fn tags(
    policy: &PolicyProperties,
    daylight_saving: DaylightSaving,
    slot: Timestamp,
) -> Result<BTreeSet<RetentionTag>> {
    let date = Calendar::of(&policy.time_zone, daylight_saving)?.date(slot);
    let retention = &policy.retention_policy;
    let day = crate::policy::DayOfWeek::of(date);
    let held = [
        (RetentionTag::Daily, retention.daily_schedule.is_some()),
        (
            RetentionTag::Weekly,
            retention.weekly_schedule.as_ref().is_some_and(|s| s.days_of_the_week.contains(&day)),
        ),
        (RetentionTag::Monthly, retention.monthly_schedule.as_ref().is_some_and(|s| s.days.hold(date))),
        (
            RetentionTag::Yearly,
            retention
                .yearly_schedule
                .as_ref()
                .is_some_and(|s| s.months_of_year.iter().any(|m| m.holds(date)) && s.days.hold(date)),
        ),
    ];
    Ok(held.into_iter().filter(|(_, held)| *held).map(|(tag, _)| tag).collect())
}

/// Until when a point of these tags is kept: the longest of the ranges that the policy has. None when it
/// has none of them.
///
/// # Errors
/// `InvalidParameter` when the policy's time zone is not known.
pub fn expiry(
    policy: &PolicyProperties,
    daylight_saving: DaylightSaving,
    slot: Timestamp,
    tags: &BTreeSet<RetentionTag>,
) -> Result<Option<Timestamp>> {
    let calendar = Calendar::of(&policy.time_zone, daylight_saving)?;
    let end = |d: RetentionDuration| span(d).map_or(Timestamp::MAX, |s| calendar.after(slot, s));
    Ok(tags.iter().filter_map(|tag| tag.duration(policy)).map(end).max())
}

impl Recovery {
    /// How long the policy of an item keeps the point of a time of its schedule.
    ///
    /// # Errors
    /// `NotFound` when the policy is gone, `InvalidParameter`.
    pub fn kept_by_policy(&self, item: &ProtectedItem, slot: Timestamp) -> Result<Kept> {
        let policy = documents::load::<Policy>(self.store(), &item.policy_id)?.value.properties;
        let daylight_saving = self.settings().schedule.daylight_saving;
        let tags = tags(&policy, daylight_saving, slot)?;
        let expiry = match expiry(&policy, daylight_saving, slot, &tags)? {
            Some(expiry) => expiry,
            // a slot of a schedule that the policy had before: kept as what was asked for
            None => {
                let days = i64::from(self.settings().limits.on_demand_days);
                slot.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX)
            }
        };
        Ok(Kept { retention: PointRetention::Scheduled { slot, tags }, expiry })
    }

    /// Gives the scheduled points of an item the dates that its policy gives them today; says how many
    /// changed. A point none of whose ranges the policy has any more keeps its date. The points of an
    /// item whose protection is stopped are left alone.
    ///
    /// # Errors
    /// `NotFound`, `StateUnavailable`.
    pub fn redate(&self, item: &ResourceId) -> Result<u64> {
        const PAGE: usize = 500;
        let item = documents::load::<ProtectedItem>(self.store(), item)?.value;
        if item.protection_state == ProtectionState::ProtectionStopped {
            return Ok(0);
        }
        let policy = documents::load::<Policy>(self.store(), &item.policy_id)?.value.properties;
        let daylight_saving = self.settings().schedule.daylight_saving;
        let (mut changed, mut after) = (0, None);
        loop {
            let page = self
                .store()
                .points(&item.id.key(), &PointFilter::default(), after.as_ref(), PAGE)
                .map_err(unavailable)?;
            let mut batch = self.batch();
            for row in page.iter().filter(|r| r.state != EXPIRED) {
                let point = RecoveryPoint::from_row(row)?;
                let PointRetention::Scheduled { slot, tags } = &point.retention else { continue };
                match expiry(&policy, daylight_saving, *slot, tags)? {
                    Some(date) if date != point.expiry => {
                        let point = RecoveryPoint { expiry: date, ..point };
                        batch.points.push(PointChange::Replace(point.row(&item.id)?));
                    }
                    _ => {}
                }
            }
            if !batch.is_empty() {
                changed += batch.points.len() as u64;
                let detail = serde_json::json!({"points": batch.points.len(), "policy": item.policy_id});
                batch.events.push(self.event("points.redate", &item.id, Some(detail))?);
                self.commit(&batch)?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.position()),
                _ => return Ok(changed),
            }
        }
    }
}

#[cfg(test)]
mod tests;
