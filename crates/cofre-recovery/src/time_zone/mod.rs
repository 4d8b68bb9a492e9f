//! Time zones of policies, by the names of Windows or of the tz database.
//!
//! The tz database is the one that the program carries. The host's own is not looked at: all hosts that
//! share a database compute the same times.

mod windows_zones;

use std::sync::LazyLock;

use cofre_arm::{ApiError, Result};
use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

use crate::settings::DaylightSaving;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of this name; letter case does not count.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn find(name: &str) -> Result<TimeZone> {
    let windows = windows_zones::ZONES.iter().find(|(windows, _)| windows.eq_ignore_ascii_case(name));
    let zone = DATABASE.get(windows.map_or(name, |(_, tz)| tz)).ok().filter(|z| !z.is_unknown());
    zone.ok_or_else(|| {
        ApiError::invalid(format!("properties.timeZone: {name:?} is the name of no time zone"))
            .recommend("Give a name of Windows or of the tz database, as in \"W. Europe Standard Time\" or \"Europe/Berlin\".")
    })
}

/// The days and hours of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
    daylight_saving: DaylightSaving,
}

impl Calendar {
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn of(name: &str, daylight_saving: DaylightSaving) -> Result<Self> {
        Ok(Self { zone: find(name)?, daylight_saving })
    }

    /// The zone that clocks show at an instant: without daylight saving it is the distance of the zone's
    /// standard time.
    fn zone_at(&self, at: Timestamp) -> TimeZone {
        match self.daylight_saving {
            DaylightSaving::Ignored => TimeZone::fixed(self.standard(at)),
            DaylightSaving::Followed => self.zone.clone(),
        }
    }

    /// The distance of standard time that is in force, or that the present summer began from.
    fn standard(&self, at: Timestamp) -> Offset {
        // as many as two years of the busiest zone have
        const NEAR: usize = 16;
        let now = self.zone.to_offset_info(at);
        if !now.dst().is_dst() {
            return now.offset();
        }
        let before = self.zone.preceding(at).take(NEAR).find(|t| !t.dst().is_dst());
        let standard = before.or_else(|| self.zone.following(at).take(NEAR).find(|t| !t.dst().is_dst()));
        standard.map_or(now.offset(), |t| t.offset())
    }

    /// The date at an instant.
    pub(crate) fn date(&self, at: Timestamp) -> civil::Date {
        self.zone_at(at).to_datetime(at).date()
    }

    /// The instant of a time of a day. A time that clocks skip is the first instant after the gap; of one
    /// that comes twice it is the first.
    pub(crate) fn instant(&self, date: civil::Date, time: civil::Time) -> Option<Timestamp> {
        let local = date.to_datetime(time);
        let zone = self.zone_at(Offset::UTC.to_timestamp(local).ok()?);
        let ambiguous = zone.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                let before_gap = after.to_timestamp(local).ok()?;
                zone.following(before_gap).next().map(|t| t.timestamp())
            }
        }
    }

    /// An instant moved by a length of the calendar: months and years end on the same day, or on the
    /// month's last. What is beyond the end of the calendar is its end.
    pub(crate) fn after(&self, from: Timestamp, length: jiff::Span) -> Timestamp {
        let local = jiff::ZonedDateTime::new(from, self.zone_at(from));
        local.checked_add(length).map_or(Timestamp::MAX, |z| z.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn every_windows_name_has_a_zone() {
        assert_eq!(windows_zones::ZONES.len(), 139);
        for (windows, tz) in windows_zones::ZONES {
            let zone = find(windows).unwrap();
            // found in the database that the program carries, under its present name
            assert_eq!(zone.iana_name().unwrap_or("Etc/UTC"), *tz, "{windows}");
        }
        for (index, (name, _)) in windows_zones::ZONES.iter().enumerate() {
            let twice = windows_zones::ZONES[..index].iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            assert!(!twice, "{name}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_others_refused() {
        for name in ["utc", "UTC", "w. europe standard time", "europe/berlin", "Asia/Kolkata"] {
            find(name).unwrap();
        }
        for name in ["", "Central", "Europe/Atlantis", "../../etc/localtime", "+02:00", "Etc/Unknown"] {
            let error = find(name).unwrap_err();
            assert!(error.to_string().contains("timeZone"), "{name}: {error}");
        }
    }

    /// (zone, date, time, instant with daylight saving ignored, instant with it followed)
    type Case = (&'static str, (i16, i8, i8), (i8, i8), &'static str, &'static str);

    const CASES: &[Case] = &[
        ("UTC", (2026, 7, 1), (17, 0), "2026-07-01T17:00:00Z", "2026-07-01T17:00:00Z"),
        ("W. Europe Standard Time", (2026, 1, 15), (2, 30), "2026-01-15T01:30:00Z", "2026-01-15T01:30:00Z"),
        ("W. Europe Standard Time", (2026, 7, 15), (2, 30), "2026-07-15T01:30:00Z", "2026-07-15T00:30:00Z"),
        // clocks go from 02:00 to 03:00 at 01:00 UTC: the first instant after
        ("Europe/Berlin", (2026, 3, 29), (2, 30), "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", (2026, 3, 29), (2, 0), "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", (2026, 3, 29), (3, 0), "2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z"),
        // clocks go from 03:00 to 02:00 at 01:00 UTC: 02:30 comes twice, and is the first
        ("Europe/Berlin", (2026, 10, 25), (2, 30), "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", (2026, 10, 25), (3, 0), "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"),
        ("Pacific Standard Time", (2026, 3, 8), (2, 0), "2026-03-08T10:00:00Z", "2026-03-08T10:00:00Z"),
        ("Pacific Standard Time", (2026, 11, 1), (1, 30), "2026-11-01T09:30:00Z", "2026-11-01T08:30:00Z"),
        // half an hour of daylight saving, from +10:30
        ("Lord Howe Standard Time", (2026, 1, 15), (12, 0), "2026-01-15T01:30:00Z", "2026-01-15T01:00:00Z"),
        ("India Standard Time", (2026, 7, 1), (23, 30), "2026-07-01T18:00:00Z", "2026-07-01T18:00:00Z"),
        (
            "Chatham Islands Standard Time",
            (2026, 7, 1),
            (0, 0),
            "2026-06-30T11:15:00Z",
            "2026-06-30T11:15:00Z",
        ),
        // Samoa had no 30 December 2011
        ("Samoa Standard Time", (2011, 12, 30), (12, 0), "2011-12-29T23:00:00Z", "2011-12-30T10:00:00Z"),
    ];

    #[test]
    fn times_of_day_around_changes_of_the_clock() {
        for (zone, (y, m, d), (hour, minute), ignored, followed) in CASES {
            let (day, hour) = (date(*y, *m, *d), time(*hour, *minute, 0, 0));
            let instant =
                |daylight_saving| Calendar::of(zone, daylight_saving).unwrap().instant(day, hour).unwrap();
            assert_eq!(
                instant(DaylightSaving::Followed).to_string(),
                *followed,
                "{zone} {day} {hour} followed"
            );
            if *y > 2020 {
                assert_eq!(
                    instant(DaylightSaving::Ignored).to_string(),
                    *ignored,
                    "{zone} {day} {hour} ignored"
                );
            }
        }
    }

    #[test]
    fn months_and_years_are_those_of_the_calendar() {
        let calendar = Calendar::of("Europe/Berlin", DaylightSaving::Followed).unwrap();
        let from: Timestamp = "2024-01-31T01:00:00Z".parse().unwrap();
        let after = |span| calendar.after(from, span).to_string();
        assert_eq!(after(jiff::Span::new().months(1)), "2024-02-29T01:00:00Z");
        assert_eq!(after(jiff::Span::new().months(6)), "2024-07-31T00:00:00Z", "the same hour of the clock");
        assert_eq!(after(jiff::Span::new().years(1)), "2025-01-31T01:00:00Z");
        assert_eq!(calendar.after(from, jiff::Span::new().years(9999)), Timestamp::MAX);
    }
}
