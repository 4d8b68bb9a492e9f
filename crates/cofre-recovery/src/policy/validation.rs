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
mod tests {
    use cofre_arm::Problem;

    use super::*;
    use crate::policy::{DatesOfMonth, DayOfMonth, Month, WeekOfMonth, WeekdaysOfMonth, samples::policy};

    /// A weekly policy, as JSON to be changed at will.
    fn weekly() -> serde_json::Value {
        serde_json::to_value(policy("UTC", "02:00", &[DayOfWeek::Sunday, DayOfWeek::Friday])).unwrap()
    }

    fn daily() -> serde_json::Value {
        serde_json::to_value(policy("UTC", "02:00", &[])).unwrap()
    }

    fn by_week(days: &[DayOfWeek], weeks: &[WeekOfMonth]) -> DaysOfMonth {
        DaysOfMonth::ByWeek {
            retention_schedule_weekly: WeekdaysOfMonth {
                days_of_the_week: days.to_vec(),
                weeks_of_the_month: weeks.to_vec(),
            },
        }
    }

    fn by_date(days: &[(u32, bool)]) -> DaysOfMonth {
        let days_of_the_month =
            days.iter().map(|(date, is_last)| DayOfMonth { date: *date, is_last: *is_last }).collect();
        DaysOfMonth::ByDate { retention_schedule_daily: DatesOfMonth { days_of_the_month } }
    }

    fn range(days: &DaysOfMonth, months: Option<&[Month]>) -> serde_json::Value {
        let mut range = serde_json::to_value(days).unwrap();
        range["retentionTimes"] = serde_json::json!(["2020-05-05T02:00:00Z"]);
        range["retentionDuration"] = serde_json::json!({"count": 9999, "durationType": "Months"});
        if let Some(months) = months {
            range["monthsOfYear"] = serde_json::to_value(months).unwrap();
        }
        range
    }

    fn verdict(policy: &serde_json::Value) -> Result<()> {
        check(&serde_json::from_value(policy.clone()).unwrap(), &Limits::default())
    }

    #[test]
    fn what_keeps_the_rules_is_accepted() {
        verdict(&daily()).unwrap();
        verdict(&weekly()).unwrap();
        let mut full = daily();
        let sundays = by_week(&[DayOfWeek::Sunday], &[WeekOfMonth::First, WeekOfMonth::Last]);
        full["retentionPolicy"]["weeklySchedule"] = weekly()["retentionPolicy"]["weeklySchedule"].clone();
        full["retentionPolicy"]["monthlySchedule"] =
            range(&by_date(&[(1, false), (28, false), (0, true)]), None);
        full["retentionPolicy"]["yearlySchedule"] = range(&sundays, Some(&[Month::January, Month::July]));
        verdict(&full).unwrap();
        let mut full = weekly();
        full["retentionPolicy"]["monthlySchedule"] = range(&sundays, None);
        verdict(&full).unwrap();
    }

    #[test]
    fn each_rule_refuses_and_names_the_field() {
        use serde_json::json;
        let sunday = [DayOfWeek::Sunday];
        let first = [WeekOfMonth::First];
        let m = "/retentionPolicy/monthlySchedule";
        let y = "/retentionPolicy/yearlySchedule";
        let monthly = |days: &DaysOfMonth| range(days, None);
        let cases = [
            // rule, policy, where, what, the field that is named
            (1, daily(), "/schedulePolicy/scheduleRunTimes", json!([]), "scheduleRunTimes"),
            (
                1,
                daily(),
                "/schedulePolicy/scheduleRunTimes",
                json!(["2026-01-01T02:00:00Z", "2026-01-01T14:00:00Z"]),
                "scheduleRunTimes",
            ),
            (
                1,
                daily(),
                "/schedulePolicy/scheduleRunTimes",
                json!(["2026-01-01T02:15:00Z"]),
                "scheduleRunTimes",
            ),
            (
                1,
                daily(),
                "/schedulePolicy/scheduleRunTimes",
                json!(["2026-01-01T02:00:01Z"]),
                "scheduleRunTimes",
            ),
            (2, weekly(), "/schedulePolicy/scheduleRunDays", json!([]), "scheduleRunDays"),
            (2, weekly(), "/schedulePolicy/scheduleRunDays", json!(["Sunday", "Sunday"]), "scheduleRunDays"),
            (3, daily(), "/retentionPolicy/dailySchedule", json!(null), "no range"),
            (
                4,
                daily(),
                "/retentionPolicy/dailySchedule/retentionTimes",
                json!([]),
                "dailySchedule.retentionTimes",
            ),
            (
                4,
                daily(),
                "/retentionPolicy/dailySchedule/retentionDuration/count",
                json!(6),
                "from 7 to 9999",
            ),
            (
                4,
                daily(),
                "/retentionPolicy/dailySchedule/retentionDuration/count",
                json!(10_000),
                "dailySchedule.retentionDuration.count",
            ),
            (
                4,
                weekly(),
                "/retentionPolicy/weeklySchedule/retentionDuration/count",
                json!(0),
                "from 1 to 9999",
            ),
            (
                5,
                daily(),
                "/retentionPolicy",
                {
                    let mut retention = weekly()["retentionPolicy"].clone();
                    retention["monthlySchedule"] = monthly(&by_date(&[(1, false)]));
                    retention
                },
                "dailySchedule",
            ),
            (
                6,
                weekly(),
                "/retentionPolicy/dailySchedule",
                daily()["retentionPolicy"]["dailySchedule"].clone(),
                "dailySchedule",
            ),
            (
                6,
                weekly(),
                "/retentionPolicy",
                json!({"retentionPolicyType": "LongTermRetentionPolicy", "monthlySchedule": monthly(&by_week(&sunday, &first))}),
                "weeklySchedule",
            ),
            (
                7,
                daily(),
                "/retentionPolicy/dailySchedule/retentionTimes",
                json!(["2026-01-01T02:30:00Z"]),
                "dailySchedule.retentionTimes",
            ),
            (
                8,
                weekly(),
                "/retentionPolicy/weeklySchedule/daysOfTheWeek",
                json!(["Sunday"]),
                "weeklySchedule.daysOfTheWeek",
            ),
            (
                8,
                weekly(),
                "/retentionPolicy/weeklySchedule/daysOfTheWeek",
                json!(["Sunday", "Friday", "Monday"]),
                "weeklySchedule.daysOfTheWeek",
            ),
            (9, weekly(), m, monthly(&by_date(&[(1, false)])), "monthlySchedule.retentionScheduleFormatType"),
            (
                9,
                weekly(),
                y,
                range(&by_week(&[DayOfWeek::Monday], &first), Some(&[Month::May])),
                "yearlySchedule.retentionScheduleWeekly.daysOfTheWeek",
            ),
            (10, daily(), m, monthly(&by_date(&[])), "daysOfTheMonth"),
            (10, daily(), m, monthly(&by_date(&[(29, false)])), "29"),
            (10, daily(), m, monthly(&by_date(&[(0, false)])), "daysOfTheMonth"),
            (10, daily(), m, monthly(&by_date(&[(3, false), (3, false)])), "twice"),
            (10, daily(), m, monthly(&by_date(&[(0, true), (1, true)])), "twice"),
            (11, daily(), m, monthly(&by_week(&[], &first)), "daysOfTheWeek"),
            (11, daily(), m, monthly(&by_week(&sunday, &[])), "weeksOfTheMonth"),
            (
                11,
                daily(),
                m,
                monthly(&by_week(&sunday, &[WeekOfMonth::Last, WeekOfMonth::Last])),
                "weeksOfTheMonth",
            ),
            (12, daily(), y, range(&by_week(&sunday, &first), Some(&[])), "monthsOfYear"),
            (
                12,
                daily(),
                y,
                range(&by_week(&sunday, &first), Some(&[Month::May, Month::May])),
                "monthsOfYear",
            ),
            (13, daily(), "/instantRpRetentionRangeInDays", json!(6), "instantRpRetentionRangeInDays"),
            (13, daily(), "/instantRpRetentionRangeInDays", json!(0), "instantRpRetentionRangeInDays"),
            (13, weekly(), "/instantRpRetentionRangeInDays", json!(2), "instantRpRetentionRangeInDays"),
            (0, daily(), "/timeZone", json!("Middle Earth Standard Time"), "timeZone"),
            (
                0,
                daily(),
                "/retentionPolicy/weeklySchedule",
                json!({"daysOfTheWeek": [], "retentionTimes": ["2026-01-01T02:00:00Z"],
                "retentionDuration": {"count": 1, "durationType": "Weeks"}}),
                "weeklySchedule.daysOfTheWeek",
            ),
        ];
        for (rule, mut policy, pointer, value, named) in cases {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            policy.pointer_mut(parent).unwrap()[field] = value.clone();
            let error = verdict(&policy).expect_err(&format!("rule {rule}: {pointer} = {value}"));
            assert_eq!(error.problem(), Problem::InvalidParameter);
            assert!(error.to_string().contains(named), "rule {rule}: {pointer} = {value}: {error}");
            assert!(error.to_string().contains("properties."), "rule {rule}: {error}");
        }
    }

    #[test]
    fn the_first_broken_rule_is_the_answer() {
        let mut policy = weekly();
        policy["instantRpRetentionRangeInDays"] = 9.into();
        policy["retentionPolicy"]["weeklySchedule"]["daysOfTheWeek"] = serde_json::json!(["Monday"]);
        policy["retentionPolicy"]["weeklySchedule"]["retentionDuration"]["count"] = 0.into();
        policy["schedulePolicy"]["scheduleRunDays"] = serde_json::json!([]);
        let order = [
            ("scheduleRunDays", "/schedulePolicy/scheduleRunDays", serde_json::json!(["Sunday", "Friday"])),
            ("count", "/retentionPolicy/weeklySchedule/retentionDuration/count", 1.into()),
            (
                "weeklySchedule.daysOfTheWeek",
                "/retentionPolicy/weeklySchedule/daysOfTheWeek",
                serde_json::json!(["Friday", "Sunday"]),
            ),
            ("instantRp", "/instantRpRetentionRangeInDays", 5.into()),
        ];
        for (named, pointer, cure) in order {
            let error = verdict(&policy).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            *policy.pointer_mut(pointer).unwrap() = cure;
        }
        verdict(&policy).unwrap();
    }
}
