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
    full["retentionPolicy"]["monthlySchedule"] = range(&by_date(&[(1, false), (28, false), (0, true)]), None);
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
        (1, daily(), "/schedulePolicy/scheduleRunTimes", json!(["2026-01-01T02:15:00Z"]), "scheduleRunTimes"),
        (1, daily(), "/schedulePolicy/scheduleRunTimes", json!(["2026-01-01T02:00:01Z"]), "scheduleRunTimes"),
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
        (4, daily(), "/retentionPolicy/dailySchedule/retentionDuration/count", json!(6), "from 7 to 9999"),
        (
            4,
            daily(),
            "/retentionPolicy/dailySchedule/retentionDuration/count",
            json!(10_000),
            "dailySchedule.retentionDuration.count",
        ),
        (4, weekly(), "/retentionPolicy/weeklySchedule/retentionDuration/count", json!(0), "from 1 to 9999"),
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
        (12, daily(), y, range(&by_week(&sunday, &first), Some(&[Month::May, Month::May])), "monthsOfYear"),
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
