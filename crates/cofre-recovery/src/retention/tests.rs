use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::policy::{
    DatesOfMonth, DayOfMonth, DayOfWeek, DaysOfMonth, Month, MonthlySchedule, WeekOfMonth, WeekdaysOfMonth,
    WeeklySchedule, YearlySchedule, samples::policy,
};

fn length(count: u32, duration_type: DurationUnit) -> RetentionDuration {
    RetentionDuration { count, duration_type }
}

fn by_week(day: DayOfWeek, week: WeekOfMonth) -> DaysOfMonth {
    DaysOfMonth::ByWeek {
        retention_schedule_weekly: WeekdaysOfMonth {
            days_of_the_week: vec![day],
            weeks_of_the_month: vec![week],
        },
    }
}

/// All four ranges, with what the published client offers for a new policy.
fn full(zone: &str) -> PolicyProperties {
    let mut policy = policy(zone, "02:00", &[]);
    let times = policy.schedule_policy.schedule_run_times.clone();
    let retention = &mut policy.retention_policy;
    retention.daily_schedule.as_mut().unwrap().retention_duration = length(180, DurationUnit::Days);
    retention.weekly_schedule = Some(WeeklySchedule {
        days_of_the_week: vec![DayOfWeek::Sunday],
        retention_times: times.clone(),
        retention_duration: length(104, DurationUnit::Weeks),
    });
    retention.monthly_schedule = Some(MonthlySchedule {
        days: by_week(DayOfWeek::Sunday, WeekOfMonth::First),
        retention_times: times.clone(),
        retention_duration: length(60, DurationUnit::Months),
    });
    retention.yearly_schedule = Some(YearlySchedule {
        months_of_year: vec![Month::January],
        days: by_week(DayOfWeek::Sunday, WeekOfMonth::First),
        retention_times: times,
        retention_duration: length(10, DurationUnit::Years),
    });
    policy
}

fn kept(policy: &PolicyProperties, slot: &str) -> (Vec<RetentionTag>, String) {
    let slot = slot.parse().unwrap();
    let tags = tags(policy, DaylightSaving::Followed, slot).unwrap();
    let expiry = expiry(policy, DaylightSaving::Followed, slot, &tags).unwrap().unwrap();
    (tags.into_iter().collect(), expiry.to_string())
}

#[test]
fn the_longest_range_of_a_day_counts() {
    use RetentionTag::{Daily, Monthly, Weekly, Yearly};
    let policy = full("UTC");
    let cases: [(&str, &[RetentionTag], &str); 4] = [
        ("2026-01-05T02:00:00Z", &[Daily], "2026-07-04T02:00:00Z"),
        ("2026-01-11T02:00:00Z", &[Daily, Weekly], "2028-01-09T02:00:00Z"),
        ("2026-02-01T02:00:00Z", &[Daily, Weekly, Monthly], "2031-02-01T02:00:00Z"),
        ("2026-01-04T02:00:00Z", &[Daily, Weekly, Monthly, Yearly], "2036-01-04T02:00:00Z"),
    ];
    for (slot, tags, expiry) in cases {
        assert_eq!(kept(&policy, slot), (tags.to_vec(), expiry.to_owned()), "{slot}");
    }
}

#[test]
fn the_day_is_that_of_the_policys_zone() {
    // Saturday evening in UTC is Sunday morning at +13
    let policy = full("Tonga Standard Time");
    assert_eq!(kept(&policy, "2026-02-07T13:00:00Z").0, [RetentionTag::Daily, RetentionTag::Weekly]);
    assert_eq!(kept(&policy, "2026-02-08T13:00:00Z").0, [RetentionTag::Daily], "Monday");
}

#[test]
fn dates_and_last_days_of_months() {
    let mut policy = full("UTC");
    let monthly = policy.retention_policy.monthly_schedule.as_mut().unwrap();
    monthly.days = DaysOfMonth::ByDate {
        retention_schedule_daily: DatesOfMonth {
            days_of_the_month: vec![
                DayOfMonth { date: 15, is_last: false },
                DayOfMonth { date: 0, is_last: true },
            ],
        },
    };
    let held = |slot: &str| kept(&policy, slot).0.contains(&RetentionTag::Monthly);
    assert!(held("2024-02-29T02:00:00Z") && !held("2024-02-28T02:00:00Z"));
    assert!(held("2026-02-28T02:00:00Z") && held("2026-06-15T02:00:00Z") && !held("2026-05-30T02:00:00Z"));
    // a month after the last of January ends with February
    let mut short = policy.clone();
    short.retention_policy.daily_schedule.as_mut().unwrap().retention_duration =
        length(7, DurationUnit::Days);
    short.retention_policy.monthly_schedule.as_mut().unwrap().retention_duration =
        length(1, DurationUnit::Months);
    assert_eq!(kept(&short, "2025-01-31T02:00:00Z").1, "2025-02-28T02:00:00Z");
}

#[test]
fn a_point_whose_ranges_are_all_gone_has_no_new_date() {
    let weekly = {
        let mut policy = full("UTC");
        policy.retention_policy.daily_schedule = None;
        policy
    };
    let slot = "2026-01-05T02:00:00Z".parse().unwrap();
    let daily = BTreeSet::from([RetentionTag::Daily]);
    assert_eq!(expiry(&weekly, DaylightSaving::Ignored, slot, &daily).unwrap(), None);
}

#[test]
fn records_without_retention_are_of_points_that_were_asked_for() {
    #[derive(Deserialize)]
    struct Old {
        #[serde(default)]
        retention: PointRetention,
    }
    assert_eq!(serde_json::from_str::<Old>("{}").unwrap().retention, PointRetention::OnDemand);
    let slot = "2026-01-05T02:00:00Z".parse().unwrap();
    let scheduled = PointRetention::Scheduled { slot, tags: BTreeSet::from([RetentionTag::Yearly]) };
    let record = serde_json::to_value(&scheduled).unwrap();
    assert_eq!(
        record,
        serde_json::json!({"kind": "scheduled", "slot": "2026-01-05T02:00:00Z", "tags": ["Yearly"]})
    );
    assert_eq!(serde_json::from_value::<PointRetention>(record).unwrap(), scheduled);
}

const UNITS: [DurationUnit; 4] =
    [DurationUnit::Days, DurationUnit::Weeks, DurationUnit::Months, DurationUnit::Years];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"];

proptest! {
    /// However long the ranges are: a policy with one range more keeps no point for less.
    #[test]
    fn another_range_never_shortens(
        counts in prop::array::uniform4(1_u32..=9999),
        units in prop::array::uniform4(0_usize..4),
        day in 0_i32..20_000,
        zone in 0_usize..4,
        added in 0_usize..4,
        others in prop::array::uniform4(any::<bool>()),
        followed in any::<bool>(),
    ) {
        let mut with = full(ZONES[zone]);
        let retention = &mut with.retention_policy;
        let lengths: Vec<_> = (0..4).map(|n| length(counts[n], UNITS[units[n]])).collect();
        retention.daily_schedule.as_mut().unwrap().retention_duration = lengths[0];
        retention.weekly_schedule.as_mut().unwrap().retention_duration = lengths[1];
        retention.monthly_schedule.as_mut().unwrap().retention_duration = lengths[2];
        retention.yearly_schedule.as_mut().unwrap().retention_duration = lengths[3];
        let off = |policy: &mut PolicyProperties, range: usize| {
            let retention = &mut policy.retention_policy;
            match range {
                0 => retention.daily_schedule = None,
                1 => retention.weekly_schedule = None,
                2 => retention.monthly_schedule = None,
                _ => retention.yearly_schedule = None,
            }
        };
        for (range, on) in others.iter().enumerate() {
            if !on && range != added {
                off(&mut with, range);
            }
        }
        let mut without = with.clone();
        off(&mut without, added);
        let saving = if followed { DaylightSaving::Followed } else { DaylightSaving::Ignored };
        let slot = date(2000, 1, 1).checked_add(Span::new().days(day)).unwrap().at(2, 0, 0, 0);
        let slot = jiff::tz::Offset::UTC.to_timestamp(slot).unwrap();
        let date_under = |policy: &PolicyProperties| {
            expiry(policy, saving, slot, &tags(policy, saving, slot).unwrap()).unwrap()
        };
        let (before, after) = (date_under(&without), date_under(&with));
        prop_assert!(after >= before, "{before:?} became {after:?}");
        if let Some(after) = after {
            prop_assert!(after > slot);
        }
    }
}
