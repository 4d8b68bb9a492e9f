use super::*;
use crate::policy::samples::policy;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn slots_of_a_day_and_of_a_week() {
    let daily = Slots::of(&policy("Europe/Berlin", "02:00", &[]), DaylightSaving::Followed).unwrap();
    // (now, last, next); summer begins on 29 March, and ends on 25 October
    let cases = [
        ("2026-03-28T12:00:00Z", "2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-29T00:59:59Z", "2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"),
        // 02:00 comes twice, at 00:00 and 01:00 UTC: one slot
        ("2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
        ("2026-10-25T01:30:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
        ("2026-12-31T23:30:00Z", "2026-12-31T01:00:00Z", "2027-01-01T01:00:00Z"),
    ];
    for (now, last, next) in cases {
        assert_eq!(daily.last(at(now)), Some(at(last)), "last before {now}");
        assert_eq!(daily.next(at(now)), Some(at(next)), "next after {now}");
    }
    let days = [DayOfWeek::Sunday, DayOfWeek::Wednesday];
    let weekly =
        Slots::of(&policy("New Zealand Standard Time", "00:30", &days), DaylightSaving::Ignored).unwrap();
    // half past midnight at +12 is half past noon of the day before in UTC
    let cases = [
        ("2026-11-24T12:29:59Z", "2026-11-21T12:30:00Z", "2026-11-24T12:30:00Z"),
        ("2026-11-24T12:30:00Z", "2026-11-24T12:30:00Z", "2026-11-28T12:30:00Z"),
        ("2026-11-28T12:30:01Z", "2026-11-28T12:30:00Z", "2026-12-01T12:30:00Z"),
    ];
    for (now, last, next) in cases {
        assert_eq!(weekly.last(at(now)), Some(at(last)), "last before {now}");
        assert_eq!(weekly.next(at(now)), Some(at(next)), "next after {now}");
    }
}

#[test]
fn each_day_has_one_slot_whatever_the_clocks_do() {
    for zone in [
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Tehran",
        "UTC",
    ] {
        for daylight_saving in [DaylightSaving::Ignored, DaylightSaving::Followed] {
            for time in ["00:00", "00:30", "02:00", "02:30", "23:30"] {
                let slots = Slots::of(&policy(zone, time, &[]), daylight_saving).unwrap();
                let mut slot = at("2017-12-31T00:00:00Z");
                let mut seen = 0;
                while slot < at("2019-01-01T00:00:00Z") {
                    let next = slots.next(slot).unwrap();
                    let hours = next.duration_since(slot).as_mins();
                    assert!(
                        seen == 0 || (22 * 60..=26 * 60).contains(&hours),
                        "{zone} {time}: {slot} then {next}"
                    );
                    assert_eq!(slots.last(next), Some(next));
                    (slot, seen) = (next, seen + 1);
                }
                // zones whose standard time moved that year may fit one more between the ends
                assert!((366..=368).contains(&seen), "{zone} {time}: {seen}");
            }
        }
    }
}

#[test]
fn jitter_is_bounded_and_always_the_same() {
    let item = |n: u32| {
        ResourceId::resource("s", "g", "Microsoft.Compute/virtualMachines", &format!("vm{n}")).unwrap()
    };
    let slot = at("2026-11-25T17:00:00Z");
    assert_eq!(jitter(&item(1), slot, 0), SignedDuration::ZERO);
    let all: Vec<_> = (0..100).map(|n| jitter(&item(n), slot, 30)).collect();
    assert!(all.iter().all(|j| *j >= SignedDuration::ZERO && *j < SignedDuration::from_mins(30)));
    assert_eq!(all[7], jitter(&item(7), slot, 30));
    let early = all.iter().filter(|j| **j < SignedDuration::from_mins(15)).count();
    assert!((25..=75).contains(&early), "they are spread: {early} of 100 in the first half");
    assert_ne!(all[7], jitter(&item(7), at("2026-11-26T17:00:00Z"), 30), "another day, another start");
}
