//! Which paths a prefix means, as ranges that an index serves.
//!
//! A prefix names a subtree: the path itself and what lies below it after a `/`. `/a/b` means `/a/b` and `/a/b/c`, not
//! `/a/bc`. One that ends with `/` means what begins with it; the empty one means everything. Ranges instead of `LIKE`,
//! because paths contain `%` and `_`, and because an index serves them. Paths are compared by their bytes: all that
//! begin with `p/` lie from `p/` up to, without, `p0`, since `0` is the byte after `/`.

use std::ops::Bound;

/// The ranges of paths that `prefix` means beyond `after`, in order. At most two.
pub(crate) fn ranges(prefix: &str, after: Option<&str>) -> Vec<(Bound<String>, Bound<String>)> {
    let mut ranges = Vec::new();
    if prefix.is_empty() {
        ranges.push((Bound::Unbounded, Bound::Unbounded));
    } else {
        let stem = prefix.strip_suffix('/').unwrap_or(prefix);
        if stem.len() == prefix.len() {
            ranges.push((Bound::Included(prefix.to_owned()), Bound::Included(prefix.to_owned())));
        }
        ranges.push((Bound::Included(format!("{stem}/")), Bound::Excluded(format!("{stem}0"))));
    }
    if let Some(after) = after {
        for (from, _) in &mut ranges {
            let is_before = match from {
                Bound::Included(from) => from.as_str() <= after,
                _ => true,
            };
            if is_before {
                *from = Bound::Excluded(after.to_owned());
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(prefix: &str, after: Option<&str>, path: &str) -> bool {
        use std::ops::RangeBounds;
        let path = path.to_owned();
        ranges(prefix, after).iter().filter(|range| range.contains(&path)).count() == 1
    }

    #[test]
    fn a_prefix_is_a_subtree() {
        for inside in ["/a/b", "/a/b/", "/a/b/c", "/a/b/ü", "/a/b/\u{10ffff}", "/a/b/0"] {
            assert!(contains("/a/b", None, inside), "{inside}");
        }
        for outside in ["/a/bc", "/a/b0", "/a/b!", "/a/b.", "/a", "", "/a/", "/A/b", "/a/c"] {
            assert!(!contains("/a/b", None, outside), "{outside}");
        }
        assert!(!contains("/a/b/", None, "/a/b"));
        assert!(contains("/a/b/", None, "/a/b/"));
        assert!(!contains("/a/b/", None, "/a/b0"));
        assert!(contains("", None, "") && contains("", None, "\u{10ffff}"));
    }

    #[test]
    fn after_is_left_out() {
        assert!(!contains("/a", Some("/a"), "/a"));
        assert!(contains("/a", Some("/a"), "/a/"));
        assert!(!contains("/a", Some("/a/b"), "/a/b"));
        assert!(contains("/a", Some("/a/b"), "/a/b/"));
        assert!(contains("/a", Some(""), "/a"), "what is before the subtree leaves all of it");
        assert!(!contains("/a", Some("/b"), "/a/z"));
        assert!(!contains("", Some("b"), "a") && contains("", Some("b"), "c"));
    }
}
