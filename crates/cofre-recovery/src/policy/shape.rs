//! What a policy says, in the published shape, which is also that of its record in the database.

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use super::names::{DayOfWeek, DurationUnit, Frequency, Month, WeekOfMonth};

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

#[cfg(test)]
mod tests {
    use super::*;

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
