//! Reading a policy from what clients send.
//!
//! The published client sends back what it printed: nulls everywhere, fields that are for reading only,
//! the two spellings of `instantRPDetails`. Such things mean nothing here and are passed over. What would
//! ask for something that this service does not do is refused, by name.

use cofre_arm::{ApiError, Result};
use jiff::{Timestamp, civil, tz::Offset};
use serde_json::Value;

use super::{
    DailySchedule, DatesOfMonth, DayOfMonth, DaysOfMonth, Frequency, MonthlySchedule, PolicyProperties,
    RetentionDuration, RetentionPolicy, SchedulePolicy, WeekdaysOfMonth, WeeklySchedule, YearlySchedule,
    names::{DayFormat, Word},
};

/// More elements than any list of a policy can rightly have.
const LONGEST_LIST: usize = 64;
/// Longer than any text of a policy.
const LONGEST_TEXT: usize = 128;

/// A policy that cannot be accepted: which field, what is wrong, what to do.
pub(super) fn refused(field: &str, what: impl std::fmt::Display, advice: impl Into<String>) -> ApiError {
    ApiError::invalid(format!("{field}: {what}")).recommend(advice)
}

/// A value, and where it stands.
struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    /// A field; null is as good as absent.
    fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|v| !v.is_null())?;
        Some(Node { value, path: format!("{}.{name}", self.path) })
    }

    fn need(&self, name: &str) -> Result<Node<'a>> {
        self.get(name).ok_or_else(|| {
            let path = format!("{}.{name}", self.path);
            refused(
                &path,
                "it is missing",
                format!("Give `{name}`; `cofre policy show` prints a policy that has it."),
            )
        })
    }

    fn object(self) -> Result<Self> {
        if self.value.is_object() {
            return Ok(self);
        }
        Err(refused(&self.path, "it is no object", "Write it as a JSON object: `{…}`."))
    }

    fn text(&self) -> Result<&'a str> {
        let text = self.value.as_str().filter(|t| t.len() <= LONGEST_TEXT);
        text.ok_or_else(|| {
            refused(&self.path, "it is no text of at most 128 bytes", "Write it as a JSON string.")
        })
    }

    fn word<T: Word>(&self) -> Result<T> {
        let text = self.text()?;
        T::find(text).ok_or_else(|| {
            refused(&self.path, format!("{text:?} is not known"), format!("Give one of: {}.", T::list()))
        })
    }

    /// A number that is not negative. What is too large for a count is refused by the rules for counts.
    fn number(&self) -> Result<u32> {
        let number = self.value.as_u64().map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        number.ok_or_else(|| refused(&self.path, "it is no number from 0 on", "Write it as a JSON number."))
    }

    fn flag(&self) -> Result<bool> {
        let flag = self.value.as_bool();
        flag.ok_or_else(|| refused(&self.path, "it is neither true nor false", "Write `true` or `false`."))
    }

    /// The elements of a list; none where there is no list.
    fn list<T>(&self, name: &str, read: impl Fn(&Node<'a>) -> Result<T>) -> Result<Vec<T>> {
        let Some(list) = self.get(name) else { return Ok(Vec::new()) };
        let elements = list.value.as_array().filter(|l| l.len() <= LONGEST_LIST);
        let elements = elements.ok_or_else(|| {
            refused(&list.path, "it is no list of at most 64 elements", "Write it as a JSON array: `[…]`.")
        })?;
        let node = |(at, value)| Node { value, path: format!("{}[{at}]", list.path) };
        elements.iter().enumerate().map(node).map(|n| read(&n)).collect()
    }

    /// Checks a field that has one value only.
    fn only(&self, name: &str, accepted: &str, advice: &str) -> Result<()> {
        match self.get(name) {
            Some(field) if !field.text()?.eq_ignore_ascii_case(accepted) => {
                Err(refused(&field.path, format!("{:?} is not supported", field.text()?), advice))
            }
            _ => Ok(()),
        }
    }
}

/// An instant: a date and a time, in UTC where no offset is given.
fn instant(node: &Node<'_>) -> Result<Timestamp> {
    let text = node.text()?;
    let timed = text.contains(['T', 't', ' ']);
    let parsed = text.parse::<Timestamp>().ok().or_else(|| {
        let local = text.parse::<civil::DateTime>().ok().filter(|_| timed)?;
        Offset::UTC.to_timestamp(local).ok()
    });
    parsed.ok_or_else(|| {
        refused(
            &node.path,
            format!("{text:?} is no date with a time"),
            "Write a full date-time whose time of day counts, as in \"2026-01-01T02:00:00Z\".",
        )
    })
}

/// Reads `properties` of a policy; the whole resource is as good. Its rules are not checked here.
///
/// # Errors
/// `InvalidParameter`, naming the field.
pub(super) fn read(value: &Value) -> Result<PolicyProperties> {
    let value = value.get("properties").filter(|p| p.is_object()).unwrap_or(value);
    let node = Node { value, path: "properties".to_owned() }.object()?;
    node.need("backupManagementType")?;
    node.only(
        "backupManagementType",
        "AzureIaasVM",
        "Only policies for virtual machines are supported: `AzureIaasVM`.",
    )?;
    node.only(
        "policyType",
        "V1",
        "Only standard policies are supported: `V1`, with `SimpleSchedulePolicy` once a day or week.",
    )?;
    node.only(
        "snapshotConsistencyType",
        "Default",
        "Leave it out: how consistent a point is depends on the machine's driver.",
    )?;
    if let Some(tier) = node.get("tieringPolicy").and_then(|t| t.get("ArchivedRP")) {
        tier.only(
            "tieringMode",
            "DoNotTier",
            "Points are not moved to an archive: give `DoNotTier`, or leave it out.",
        )?;
    }
    let schedule_policy = schedule(&node.need("schedulePolicy")?.object()?)?;
    let weekly = schedule_policy.schedule_run_frequency == Frequency::Weekly;
    let snapshots = node.get("instantRpRetentionRangeInDays").map(|n| n.number()).transpose()?;
    Ok(PolicyProperties {
        backup_management_type: "AzureIaasVM".to_owned(),
        time_zone: node.get("timeZone").map_or(Ok("UTC"), |n| n.text())?.to_owned(),
        retention_policy: retention(&node.need("retentionPolicy")?.object()?)?,
        schedule_policy,
        instant_rp_retention_range_in_days: snapshots.unwrap_or(if weekly { 5 } else { 2 }),
    })
}

fn schedule(node: &Node<'_>) -> Result<SchedulePolicy> {
    const SIMPLE: &str = "Give `SimpleSchedulePolicy` with `scheduleRunFrequency` `Daily` or `Weekly`: backups run \
                          once a day at most.";
    node.only("schedulePolicyType", "SimpleSchedulePolicy", SIMPLE)?;
    if let Some(hourly) = node.get("hourlySchedule") {
        return Err(refused(&hourly.path, "several backups a day are not supported", SIMPLE));
    }
    let every = node.get("scheduleWeeklyFrequency").map(|n| n.number()).transpose()?;
    if every.is_some_and(|weeks| weeks > 1) {
        let field = format!("{}.scheduleWeeklyFrequency", node.path);
        return Err(refused(&field, "backups every few weeks are not supported", "Give 0, or leave it out."));
    }
    Ok(SchedulePolicy {
        schedule_policy_type: "SimpleSchedulePolicy".to_owned(),
        schedule_run_frequency: node.need("scheduleRunFrequency")?.word()?,
        schedule_run_days: node.list("scheduleRunDays", Node::word)?,
        schedule_run_times: node.list("scheduleRunTimes", instant)?,
    })
}

fn retention(node: &Node<'_>) -> Result<RetentionPolicy> {
    node.only("retentionPolicyType", "LongTermRetentionPolicy", "Give `LongTermRetentionPolicy`.")?;
    let range = |name: &str| node.get(name).map(Node::object).transpose();
    let daily = |n: Node<'_>| -> Result<_> {
        Ok(DailySchedule { retention_times: times(&n)?, retention_duration: duration(&n)? })
    };
    let weekly = |n: Node<'_>| -> Result<_> {
        Ok(WeeklySchedule {
            days_of_the_week: n.list("daysOfTheWeek", Node::word)?,
            retention_times: times(&n)?,
            retention_duration: duration(&n)?,
        })
    };
    let monthly = |n: Node<'_>| -> Result<_> {
        Ok(MonthlySchedule {
            days: days(&n)?,
            retention_times: times(&n)?,
            retention_duration: duration(&n)?,
        })
    };
    let yearly = |n: Node<'_>| -> Result<_> {
        Ok(YearlySchedule {
            months_of_year: n.list("monthsOfYear", Node::word)?,
            days: days(&n)?,
            retention_times: times(&n)?,
            retention_duration: duration(&n)?,
        })
    };
    Ok(RetentionPolicy {
        retention_policy_type: "LongTermRetentionPolicy".to_owned(),
        daily_schedule: range("dailySchedule")?.map(daily).transpose()?,
        weekly_schedule: range("weeklySchedule")?.map(weekly).transpose()?,
        monthly_schedule: range("monthlySchedule")?.map(monthly).transpose()?,
        yearly_schedule: range("yearlySchedule")?.map(yearly).transpose()?,
    })
}

fn times(node: &Node<'_>) -> Result<Vec<Timestamp>> {
    node.list("retentionTimes", instant)
}

fn duration(node: &Node<'_>) -> Result<RetentionDuration> {
    let node = node.need("retentionDuration")?.object()?;
    Ok(RetentionDuration {
        count: node.need("count")?.number()?,
        duration_type: node.need("durationType")?.word()?,
    })
}

/// The days of a monthly or yearly range. Clients may send both formats: the one that is named counts.
fn days(node: &Node<'_>) -> Result<DaysOfMonth> {
    match node.need("retentionScheduleFormatType")?.word()? {
        DayFormat::Daily => {
            let dates = node.need("retentionScheduleDaily")?.object()?;
            let day = |n: &Node<'_>| -> Result<_> {
                Ok(DayOfMonth {
                    date: n.get("date").map_or(Ok(0), |d| d.number())?,
                    is_last: n.get("isLast").map_or(Ok(false), |l| l.flag())?,
                })
            };
            let days_of_the_month = dates.list("daysOfTheMonth", day)?;
            Ok(DaysOfMonth::ByDate { retention_schedule_daily: DatesOfMonth { days_of_the_month } })
        }
        DayFormat::Weekly => {
            let weekdays = node.need("retentionScheduleWeekly")?.object()?;
            Ok(DaysOfMonth::ByWeek {
                retention_schedule_weekly: WeekdaysOfMonth {
                    days_of_the_week: weekdays.list("daysOfTheWeek", Node::word)?,
                    weeks_of_the_month: weekdays.list("weeksOfTheMonth", Node::word)?,
                },
            })
        }
    }
}

#[cfg(test)]
mod tests;
