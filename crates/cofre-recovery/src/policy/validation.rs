//! The published rules of policies, in their published order: the first that is broken is the answer.
//!
//! The last of them, how many machines a policy may have, is checked where a machine is protected.

use std::collections::HashSet;

use cofre_arm::Result;
use jiff::{Timestamp, civil};

use super::{
    DayOfWeek, DaysOfMonth, DurationUnit, Frequency, PolicyProperties, RetentionDuration, reading::refused,
    time_of_day,
};
use crate::{settings::Limits, time_zone};

const SCHEDULE: &str = "properties.schedulePolicy";
const RETENTION: &str = "properties.retentionPolicy";

/// A range of retention, whichever it is.
struct Range<'a> {
    name: &'static str,
    times: &'a [Timestamp],
    duration: RetentionDuration,
    days: Option<&'a DaysOfMonth>,
}

impl Range<'_> {
    fn field(&self, name: &str) -> String {
        format!("{RETENTION}.{}.{name}", self.name)
    }
}

fn ranges(policy: &PolicyProperties) -> Vec<Range<'_>> {
    let retention = &policy.retention_policy;
    let daily = retention.daily_schedule.as_ref().map(|s| Range {
        name: "dailySchedule",
        times: &s.retention_times,
        duration: s.retention_duration,
        days: None,
    });
    let weekly = retention.weekly_schedule.as_ref().map(|s| Range {
        name: "weeklySchedule",
        times: &s.retention_times,
        duration: s.retention_duration,
        days: None,
    });
    let monthly = retention.monthly_schedule.as_ref().map(|s| Range {
        name: "monthlySchedule",
        times: &s.retention_times,
        duration: s.retention_duration,
        days: Some(&s.days),
    });
    let yearly = retention.yearly_schedule.as_ref().map(|s| Range {
        name: "yearlySchedule",
        times: &s.retention_times,
        duration: s.retention_duration,
        days: Some(&s.days),
    });
    [daily, weekly, monthly, yearly].into_iter().flatten().collect()
}

fn distinct<T: std::hash::Hash + Eq>(values: &[T]) -> bool {
    values.iter().collect::<HashSet<_>>().len() == values.len()
}

fn shown(time: civil::Time) -> String {
    time.strftime("%H:%M").to_string()
}

/// Checks a policy.
///
/// # Errors
/// `InvalidParameter`, naming the field.
pub(super) fn check(policy: &PolicyProperties, limits: &Limits) -> Result<()> {
    time_zone::find(&policy.time_zone)?;
    check_schedule(policy)?;
    let ranges = ranges(policy);
    if ranges.is_empty() {
        return Err(refused(
            RETENTION,
            "no range of retention is given",
            "Give `dailySchedule` for a daily schedule, `weeklySchedule` for a weekly one.",
        ));
    }
    for range in &ranges {
        check_range(range, limits)?;
    }
    let weekly = policy.schedule_policy.schedule_run_frequency == Frequency::Weekly;
    check_ranges_fit(policy, weekly)?;
    let run = policy.schedule_policy.time_of_day();
    for range in &ranges {
        if range.times.iter().any(|t| time_of_day(*t) != run) {
            return Err(refused(
                &range.field("retentionTimes"),
                format!("its time of day is not {}, at which backups run", shown(run)),
                "Give the same time as in `scheduleRunTimes`.",
            ));
        }
    }
    if weekly {
        check_weekly(policy, &ranges)?;
    }
    for range in &ranges {
        check_days(range)?;
    }
    if let Some(range) = &policy.retention_policy.weekly_schedule
        && (range.days_of_the_week.is_empty() || !distinct(&range.days_of_the_week))
    {
        return Err(refused(
            &format!("{RETENTION}.weeklySchedule.daysOfTheWeek"),
            "it is empty, or names a day twice",
            "Give at least one day of the week, each once.",
        ));
    }
    if let Some(yearly) = &policy.retention_policy.yearly_schedule
        && (yearly.months_of_year.is_empty() || !distinct(&yearly.months_of_year))
    {
        return Err(refused(
            &format!("{RETENTION}.yearlySchedule.monthsOfYear"),
            "it is empty, or names a month twice",
            "Give at least one month, each once.",
        ));
    }
    check_snapshots(policy, weekly)
}

/// Rules 1 and 2.
fn check_schedule(policy: &PolicyProperties) -> Result<()> {
    let schedule = &policy.schedule_policy;
    let field = format!("{SCHEDULE}.scheduleRunTimes");
    let [run] = schedule.schedule_run_times.as_slice() else {
        let what = format!("there are {} run times, not one", schedule.schedule_run_times.len());
        return Err(refused(&field, what, "Give one full date-time: backups run once a day."));
    };
    let time = time_of_day(*run);
    if time.minute() % 30 != 0 || time.second() != 0 || time.subsec_nanosecond() != 0 {
        return Err(refused(
            &field,
            format!("{} is neither a full nor a half hour", time),
            "Give a time whose minutes are 00 or 30, with no seconds.",
        ));
    }
    let days = &schedule.schedule_run_days;
    if schedule.schedule_run_frequency == Frequency::Weekly && (days.is_empty() || !distinct(days)) {
        return Err(refused(
            &format!("{SCHEDULE}.scheduleRunDays"),
            "it is empty, or names a day twice",
            "Give at least one day of the week, each once.",
        ));
    }
    Ok(())
}

/// Rule 4.
fn check_range(range: &Range<'_>, limits: &Limits) -> Result<()> {
    if range.times.len() != 1 {
        return Err(refused(
            &range.field("retentionTimes"),
            format!("there are {} times, not one", range.times.len()),
            "Give one: the schedule's run time.",
        ));
    }
    let RetentionDuration { count, duration_type } = range.duration;
    let least = match duration_type {
        DurationUnit::Days if range.name == "dailySchedule" => limits.daily_retention_days,
        _ => 1,
    };
    if !(least..=limits.retention_count).contains(&count) {
        return Err(refused(
            &range.field("retentionDuration.count"),
            format!("{count} is not from {least} to {}", limits.retention_count),
            format!("Give a number of {} in these bounds.", duration_type.name().to_lowercase()),
        ));
    }
    Ok(())
}

/// Rules 5 and 6.
fn check_ranges_fit(policy: &PolicyProperties, weekly: bool) -> Result<()> {
    let retention = &policy.retention_policy;
    let daily_field = format!("{RETENTION}.dailySchedule");
    if !weekly && retention.daily_schedule.is_none() {
        let advice = "Give `dailySchedule`: how long the point of each day is kept.";
        return Err(refused(&daily_field, "it is missing, and backups run every day", advice));
    }
    if weekly && retention.daily_schedule.is_some() {
        let advice = "Leave it out, and give `weeklySchedule`.";
        return Err(refused(&daily_field, "backups do not run every day", advice));
    }
    if weekly && retention.weekly_schedule.is_none() {
        let advice = "Give `weeklySchedule`: how long the point of each run day is kept.";
        let field = format!("{RETENTION}.weeklySchedule");
        return Err(refused(&field, "it is missing, and backups run weekly", advice));
    }
    Ok(())
}

/// Rules 8 and 9, of weekly schedules.
fn check_weekly(policy: &PolicyProperties, ranges: &[Range<'_>]) -> Result<()> {
    let run: HashSet<DayOfWeek> = policy.schedule_policy.schedule_run_days.iter().copied().collect();
    if let Some(weekly) = &policy.retention_policy.weekly_schedule {
        let kept: HashSet<DayOfWeek> = weekly.days_of_the_week.iter().copied().collect();
        if kept != run {
            return Err(refused(
                &format!("{RETENTION}.weeklySchedule.daysOfTheWeek"),
                "they are not the days on which backups run",
                "Give the days of `scheduleRunDays`, all of them and no others.",
            ));
        }
    }
    for range in ranges {
        match range.days {
            Some(DaysOfMonth::ByDate { .. }) => {
                return Err(refused(
                    &range.field("retentionScheduleFormatType"),
                    "days by their number do not fit a weekly schedule",
                    "Give `Weekly`, with days of the week on which backups run.",
                ));
            }
            Some(DaysOfMonth::ByWeek { retention_schedule_weekly: days })
                if !days.days_of_the_week.iter().all(|d| run.contains(d)) =>
            {
                return Err(refused(
                    &range.field("retentionScheduleWeekly.daysOfTheWeek"),
                    "on some of these days no backup runs",
                    "Give days of `scheduleRunDays` only.",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rules 10 and 11.
fn check_days(range: &Range<'_>) -> Result<()> {
    match range.days {
        Some(DaysOfMonth::ByDate { retention_schedule_daily: dates }) => {
            let field = range.field("retentionScheduleDaily.daysOfTheMonth");
            let days = &dates.days_of_the_month;
            let numbers: Vec<u32> = days.iter().filter(|d| !d.is_last).map(|d| d.date).collect();
            let lasts = days.len() - numbers.len();
            let advice = "Give numbers from 1 to 28, each once, and `isLast` for the last day, once at most.";
            if days.is_empty() {
                return Err(refused(&field, "it is empty", advice));
            }
            if let Some(day) = numbers.iter().find(|d| !(1..=28).contains(*d)) {
                return Err(refused(&field, format!("{day} is no day that every month has"), advice));
            }
            if lasts > 1 || !distinct(&numbers) {
                return Err(refused(&field, "a day is given twice", advice));
            }
        }
        Some(DaysOfMonth::ByWeek { retention_schedule_weekly: days }) => {
            if days.days_of_the_week.is_empty() || !distinct(&days.days_of_the_week) {
                return Err(refused(
                    &range.field("retentionScheduleWeekly.daysOfTheWeek"),
                    "it is empty, or names a day twice",
                    "Give at least one day of the week, each once.",
                ));
            }
            if days.weeks_of_the_month.is_empty() || !distinct(&days.weeks_of_the_month) {
                return Err(refused(
                    &range.field("retentionScheduleWeekly.weeksOfTheMonth"),
                    "it is empty, or names a week twice",
                    "Give at least one week of the month, each once.",
                ));
            }
        }
        None => {}
    }
    Ok(())
}

/// Rule 13.
fn check_snapshots(policy: &PolicyProperties, weekly: bool) -> Result<()> {
    let days = policy.instant_rp_retention_range_in_days;
    let field = "properties.instantRpRetentionRangeInDays";
    if weekly && days != 5 {
        return Err(refused(
            field,
            format!("{days} is not 5, as it is for weekly schedules"),
            "Give 5, or leave it out.",
        ));
    }
    if !(1..=5).contains(&days) {
        return Err(refused(
            field,
            format!("{days} is not from 1 to 5"),
            "Give a number from 1 to 5, or leave it out.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
