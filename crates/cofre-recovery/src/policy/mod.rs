//! Backup policies, in the published shape: when backups run, and how long their points are kept.
//!
//! `reading` takes what clients send, `validation` has the published rules, `wire` is what clients see.

mod changes;
mod names;
mod reading;
mod validation;
mod wire;

use cofre_arm::{ResourceId, Result};
use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

pub use self::names::{DayFormat, DayOfWeek, DurationUnit, Frequency, Month, WeekOfMonth};
use crate::documents::Resource;

/// Name of the policy that every vault has.
pub const DEFAULT_POLICY: &str = "DefaultPolicy";

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its resource id.
    pub id: ResourceId,
    /// What it says.
    pub properties: PolicyProperties,
    /// Since when backups run at its times: an earlier time that a change brought is nothing that was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_since: Option<Timestamp>,
}

/// What a policy says. This is also its record in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProperties {
    /// `AzureIaasVM`.
    pub backup_management_type: String,
    /// Name of a time zone, as it was given: of Windows or of the tz database.
    pub time_zone: String,
    /// When backups run.
    pub schedule_policy: SchedulePolicy,
    /// How long points are kept.
    pub retention_policy: RetentionPolicy,
    /// Days that snapshots are kept beside the vault. Kept and shown: points here lie in the vault at once.
    pub instant_rp_retention_range_in_days: u32,
}

/// When backups run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePolicy {
    /// `SimpleSchedulePolicy`.
    pub schedule_policy_type: String,
    /// How often.
    pub schedule_run_frequency: Frequency,
    /// The days of a weekly schedule; empty for a daily one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule_run_days: Vec<DayOfWeek>,
    /// One instant; its time of day in UTC counts, and is a time of day in the policy's zone.
    pub schedule_run_times: Vec<Timestamp>,
}

/// How long points are kept: up to four ranges, of which the longest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// `LongTermRetentionPolicy`.
    pub retention_policy_type: String,
    /// Of the points of every day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_schedule: Option<DailySchedule>,
    /// Of those of some days of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly_schedule: Option<WeeklySchedule>,
    /// Of those of some days of the month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_schedule: Option<MonthlySchedule>,
    /// Of those of some days of some months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly_schedule: Option<YearlySchedule>,
}

/// How long the points of every day are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailySchedule {
    /// The schedule's run time.
    pub retention_times: Vec<Timestamp>,
    /// How long.
    pub retention_duration: RetentionDuration,
}

/// How long the points of some days of the week are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeeklySchedule {
    /// Which days.
    pub days_of_the_week: Vec<DayOfWeek>,
    /// The schedule's run time.
    pub retention_times: Vec<Timestamp>,
    /// How long.
    pub retention_duration: RetentionDuration,
}

/// How long the points of some days of the month are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthlySchedule {
    /// Which days.
    #[serde(flatten)]
    pub days: DaysOfMonth,
    /// The schedule's run time.
    pub retention_times: Vec<Timestamp>,
    /// How long.
    pub retention_duration: RetentionDuration,
}

/// How long the points of some days of the year are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct YearlySchedule {
    /// Which months.
    pub months_of_year: Vec<Month>,
    /// Which days of them.
    #[serde(flatten)]
    pub days: DaysOfMonth,
    /// The schedule's run time.
    pub retention_times: Vec<Timestamp>,
    /// How long.
    pub retention_duration: RetentionDuration,
}

/// Days of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "retentionScheduleFormatType")]
pub enum DaysOfMonth {
    /// By their number.
    #[serde(rename = "Daily", rename_all = "camelCase")]
    ByDate {
        /// Which.
        retention_schedule_daily: DatesOfMonth,
    },
    /// By week and day of the week.
    #[serde(rename = "Weekly", rename_all = "camelCase")]
    ByWeek {
        /// Which.
        retention_schedule_weekly: WeekdaysOfMonth,
    },
}

/// Days of a month by their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatesOfMonth {
    /// Which.
    pub days_of_the_month: Vec<DayOfMonth>,
}

/// A day of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayOfMonth {
    /// Its number, 1 to 28; means nothing beside `is_last`.
    pub date: u32,
    /// Whether it is the month's last day, whatever its number.
    pub is_last: bool,
}

/// Days of a month by week and day of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeekdaysOfMonth {
    /// Which days.
    pub days_of_the_week: Vec<DayOfWeek>,
    /// Of which weeks.
    pub weeks_of_the_month: Vec<WeekOfMonth>,
}

/// A length of time in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionDuration {
    /// How many.
    pub count: u32,
    /// Of what.
    pub duration_type: DurationUnit,
}

impl Resource for Policy {
    const KIND: &'static str = "policy";
    const NOUN: &'static str = "policy";

    fn id(&self) -> &ResourceId {
        &self.id
    }
}

impl SchedulePolicy {
    /// The time of day at which backups run, in the policy's zone.
    #[must_use]
    pub fn time_of_day(&self) -> civil::Time {
        self.schedule_run_times.first().map_or(civil::Time::midnight(), |t| time_of_day(*t))
    }
}

/// The time of day that an instant of a policy stands for.
pub(crate) fn time_of_day(instant: Timestamp) -> civil::Time {
    jiff::tz::Offset::UTC.to_datetime(instant).time()
}

impl DaysOfMonth {
    /// Whether a date is one of them.
    #[must_use]
    pub fn hold(&self, date: civil::Date) -> bool {
        match self {
            Self::ByDate { retention_schedule_daily: dates } => dates.days_of_the_month.iter().any(|day| {
                if day.is_last {
                    date == date.last_of_month()
                } else {
                    i64::from(day.date) == i64::from(date.day())
                }
            }),
            Self::ByWeek { retention_schedule_weekly: weekdays } => {
                weekdays.days_of_the_week.contains(&DayOfWeek::of(date))
                    && weekdays.weeks_of_the_month.iter().any(|week| week.holds(date))
            }
        }
    }
}

impl Policy {
    /// The policy every vault begins with: once a day at 17:00 UTC, points kept 30 days.
    ///
    /// # Errors
    /// Never for a vault's id.
    pub(crate) fn default_of(vault: &ResourceId) -> Result<Self> {
        let at_five_pm = Timestamp::from_second(17 * 3600).unwrap_or_default();
        Ok(Self {
            id: vault.child("backupPolicies", DEFAULT_POLICY)?,
            scheduled_since: None,
            properties: PolicyProperties {
                backup_management_type: "AzureIaasVM".to_owned(),
                time_zone: "UTC".to_owned(),
                schedule_policy: SchedulePolicy {
                    schedule_policy_type: "SimpleSchedulePolicy".to_owned(),
                    schedule_run_frequency: Frequency::Daily,
                    schedule_run_days: Vec::new(),
                    schedule_run_times: vec![at_five_pm],
                },
                retention_policy: RetentionPolicy {
                    retention_policy_type: "LongTermRetentionPolicy".to_owned(),
                    daily_schedule: Some(DailySchedule {
                        retention_times: vec![at_five_pm],
                        retention_duration: RetentionDuration {
                            count: 30,
                            duration_type: DurationUnit::Days,
                        },
                    }),
                    weekly_schedule: None,
                    monthly_schedule: None,
                    yearly_schedule: None,
                },
                instant_rp_retention_range_in_days: 2,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_has_the_published_values() {
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        let policy = serde_json::to_value(Policy::default_of(&vault).unwrap()).unwrap();
        assert!(policy["id"].as_str().unwrap().ends_with("/vaults/v/backupPolicies/DefaultPolicy"));
        let properties = &policy["properties"];
        assert_eq!(properties["timeZone"], "UTC");
        assert_eq!(properties["schedulePolicy"]["scheduleRunFrequency"], "Daily");
        assert_eq!(
            properties["schedulePolicy"]["scheduleRunTimes"],
            serde_json::json!(["1970-01-01T17:00:00Z"])
        );
        let retention = &properties["retentionPolicy"];
        let daily = &retention["dailySchedule"];
        assert_eq!(daily["retentionTimes"], properties["schedulePolicy"]["scheduleRunTimes"]);
        assert_eq!(daily["retentionDuration"], serde_json::json!({"count": 30, "durationType": "Days"}));
        for off in ["weeklySchedule", "monthlySchedule", "yearlySchedule"] {
            assert!(retention.get(off).is_none(), "{off}");
        }
        assert_eq!(properties["instantRpRetentionRangeInDays"], 2);
    }

    /// What version 0.1 of the program stored before policies could be changed.
    #[test]
    fn records_of_the_first_shape_are_still_read() {
        let record = r#"{"id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/DefaultPolicy",
            "properties":{"backupManagementType":"AzureIaasVM","timeZone":"UTC",
            "schedulePolicy":{"schedulePolicyType":"SimpleSchedulePolicy","scheduleRunFrequency":"Daily",
                "scheduleRunTimes":["1970-01-01T17:00:00Z"]},
            "retentionPolicy":{"retentionPolicyType":"LongTermRetentionPolicy","dailySchedule":{
                "retentionTimes":["1970-01-01T17:00:00Z"],"retentionDuration":{"count":30,"durationType":"Days"}}},
            "instantRpRetentionRangeInDays":2}}"#;
        let policy: Policy = serde_json::from_str(record).unwrap();
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        assert_eq!(policy, Policy::default_of(&vault).unwrap());
    }

    #[test]
    fn days_of_a_month() {
        use jiff::civil::date;
        let day = |date, is_last| DayOfMonth { date, is_last };
        let dates = DaysOfMonth::ByDate {
            retention_schedule_daily: DatesOfMonth { days_of_the_month: vec![day(1, false), day(0, true)] },
        };
        let held = |days: &DaysOfMonth, month: i8| -> Vec<i8> {
            let length = date(2026, month, 1).days_in_month();
            (1..=length).filter(|d| days.hold(date(2026, month, *d))).collect()
        };
        assert_eq!(held(&dates, 2), [1, 28]);
        assert_eq!(held(&dates, 11), [1, 30]);
        let weekdays = DaysOfMonth::ByWeek {
            retention_schedule_weekly: WeekdaysOfMonth {
                days_of_the_week: vec![DayOfWeek::Sunday, DayOfWeek::Friday],
                weeks_of_the_month: vec![WeekOfMonth::First, WeekOfMonth::Last],
            },
        };
        assert_eq!(held(&weekdays, 11), [1, 6, 27, 29]);
    }
}

/// Policies for the tests of this crate.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A policy that runs at a time of day, on these days or on every day, and keeps points 30 days or 4 weeks.
    pub(crate) fn policy(zone: &str, time: &str, days: &[DayOfWeek]) -> PolicyProperties {
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        let mut policy = Policy::default_of(&vault).unwrap().properties;
        let times = vec![format!("2026-01-01T{time}:00Z").parse().unwrap()];
        zone.clone_into(&mut policy.time_zone);
        policy.schedule_policy.schedule_run_times.clone_from(&times);
        if days.is_empty() {
            policy.retention_policy.daily_schedule.as_mut().unwrap().retention_times = times;
            return policy;
        }
        policy.schedule_policy.schedule_run_frequency = Frequency::Weekly;
        policy.schedule_policy.schedule_run_days = days.to_vec();
        policy.retention_policy.daily_schedule = None;
        policy.retention_policy.weekly_schedule = Some(WeeklySchedule {
            days_of_the_week: days.to_vec(),
            retention_times: times,
            retention_duration: RetentionDuration { count: 4, duration_type: DurationUnit::Weeks },
        });
        policy.instant_rp_retention_range_in_days = 5;
        policy
    }
}
