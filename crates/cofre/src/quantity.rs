//! Sizes and durations: read from the command line, written for people.

use cofre_repo::config::ChunkSize;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// `64K`, `1M`, or bytes.
pub(crate) fn parse_chunk_size(text: &str) -> Result<ChunkSize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        other => return Err(format!("the unit {other:?} is unknown: K and M are known")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    let bytes = number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))?;
    ChunkSize::new(bytes).map_err(|e| e.to_string())
}

/// `0s`, `90m`, `24h`, `7d`: a day has 24 hours here.
pub(crate) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let bad = |e: jiff::Error| format!("{text:?} is no duration such as 90m, 24h or 7d: {e}");
    let span: Span = text.parse().map_err(bad)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(bad)?;
    if duration.is_negative() {
        return Err("a duration cannot be negative".to_owned());
    }
    Ok(duration)
}

/// `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "for people: three digits are shown")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `1 pack`, `2 packs`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `0.3 s`, `2 min 5 s`, `1 h 2 min`.
pub(crate) fn milliseconds(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        for (text, bytes) in [("64K", 65536), ("65536", 65536), ("1M", 1 << 20), ("16KiB", 16384)] {
            assert_eq!(parse_chunk_size(text).unwrap().bytes(), bytes, "{text}");
        }
        for bad in ["", "K", "48K", "8K", "8M", "64G", "-64K", "64 K", "99999999999999999999M", "0", "6é"] {
            assert!(parse_chunk_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("0s", 0), ("90m", 5400), ("24h", 86400), ("7d", 604_800), ("1h 30m", 5400)] {
            assert_eq!(parse_duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for bad in ["", "5", "-1h", "soon", "1mo"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_for_people() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (150 << 20, "150 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(milliseconds(340), "0.3 s");
        assert_eq!(milliseconds(125_000), "2 min 5 s");
        assert_eq!(count(1, "pack"), "1 pack");
    }
}
