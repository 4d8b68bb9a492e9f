//! Instants in filters and bodies.

use cofre_arm::{ApiError, Result};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// An instant as the contract writes it: with seven digits of the second at most, which is what clients read.
pub(super) fn text(instant: Timestamp) -> String {
    if instant.subsec_nanosecond() == 0 { instant.to_string() } else { format!("{instant:.7}") }
}

/// An instant in a filter: `2026-12-31 12:00:00 AM`, in UTC, or as in bodies.
///
/// # Errors
/// `InvalidParameter`, naming the field.
pub(super) fn in_filter(field: &str, text: &str) -> Result<Timestamp> {
    let twelve_hours = DateTime::strptime("%Y-%m-%d %I:%M:%S %p", text.trim());
    match twelve_hours.ok().and_then(in_utc) {
        Some(instant) => Ok(instant),
        None => in_body(field, text).map_err(|_| {
            ApiError::invalid(format!("{field} is an instant such as 2026-12-31 12:00:00 AM, in UTC"))
        }),
    }
}

fn in_utc(time: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(time).ok()
}

/// An instant in a body, `2026-12-31T00:00:00Z`; one that names no zone is of UTC.
///
/// # Errors
/// `InvalidParameter`, naming the field.
pub(super) fn in_body(field: &str, text: &str) -> Result<Timestamp> {
    let text = text.trim();
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(in_utc))
        .ok_or_else(|| ApiError::invalid(format!("{field} is an instant such as 2026-12-31T00:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_digits() {
        let shown = |text: &str| super::text(text.parse().unwrap());
        assert_eq!(shown("2026-12-31T05:00:00Z"), "2026-12-31T05:00:00Z");
        assert_eq!(shown("2026-12-31T05:00:00.123456789Z"), "2026-12-31T05:00:00.1234567Z");
        assert_eq!(shown("2026-12-31T05:00:00.5Z"), "2026-12-31T05:00:00.5000000Z");
    }

    #[test]
    fn instants() {
        for (text, instant) in [
            ("2026-12-31 12:00:00 AM", "2026-12-31T00:00:00Z"),
            ("2026-12-31 12:30:05 PM", "2026-12-31T12:30:05Z"),
            ("2026-12-31 01:00:00 pm", "2026-12-31T13:00:00Z"),
            ("2026-12-31T05:00:00.000Z", "2026-12-31T05:00:00Z"),
            ("2026-12-31T05:00:00+02:00", "2026-12-31T03:00:00Z"),
            ("2026-12-31T05:00:00", "2026-12-31T05:00:00Z"),
        ] {
            assert_eq!(in_filter("startTime", text).unwrap().to_string(), instant, "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01 12:00:00 AM", "2026-12-31 13:00:00 PM", "31.12.2026"] {
            assert!(in_filter("startTime", bad).unwrap_err().to_string().contains("startTime"), "{bad}");
        }
    }
}
