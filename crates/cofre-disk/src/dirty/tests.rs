use proptest::prelude::*;

use super::*;

fn refused(json: &str, size: u64) -> (ErrorKind, String) {
    let error = DirtyRanges::parse(json.as_bytes(), size).unwrap_err();
    (error.kind(), error.to_string())
}

fn pairs(ranges: &DirtyRanges) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.start, range.end)).collect()
}

#[test]
fn ranges_are_sorted_and_merged() {
    let json = r#"[{"start":700,"length":300}, {"length":100,"start":0}, {"start":100,"length":1},
                   {"start":50,"length":10}, {"start":650,"length":60}, {"start":1000,"length":0}]"#;
    let ranges = DirtyRanges::parse(json.as_bytes(), 1000).unwrap();
    assert_eq!(pairs(&ranges), [(0, 101), (650, 1000)]);
    assert_eq!((ranges.bytes(), ranges.len(), ranges.is_empty()), (451, 2, false));
    assert!(DirtyRanges::parse(b" [ ] ", 0).unwrap().is_empty());
}

#[test]
fn what_is_no_list_of_ranges_is_refused() {
    let texts = [
        "",
        "[",
        "{}",
        "null",
        "[1]",
        "[[0,1]]",
        "[null]",
        "[] []",
        "[]x",
        r#"[{"start":0}]"#,
        r#"[{"length":1}]"#,
        r#"[{"start":0,"length":1"#,
        r#"[{"start":0,"length":1},]"#,
        r#"[{"start":-1,"length":1}]"#,
        r#"[{"start":0,"length":1.0}]"#,
        r#"[{"start":0,"length":1e1}]"#,
        r#"[{"start":"0","length":1}]"#,
        r#"[{"start":0,"length":18446744073709551616}]"#,
        r#"[{"start":0,"length":1,"dirty":true}]"#,
        r#"[{"start":0,"start":0,"length":1}]"#,
    ];
    for text in texts {
        let (kind, message) = refused(text, 1000);
        assert_eq!(kind, ErrorKind::Malformed, "{text}: {message}");
    }
    let (_, message) = refused(r#"[{"start":0,"length":1,"dirty":true}]"#, 1000);
    assert!(message.contains("unknown field `dirty`"), "{message}");
    let nested = "[".repeat(100_000);
    assert_eq!(refused(&nested, 1000).0, ErrorKind::Malformed);
}

#[test]
fn ranges_outside_the_disk_are_refused() {
    let texts = [
        r#"[{"start":0,"length":1001}]"#,
        r#"[{"start":1000,"length":1}]"#,
        r#"[{"start":1001,"length":0}]"#,
        r#"[{"start":18446744073709551615,"length":18446744073709551615}]"#,
    ];
    for text in texts {
        let (kind, message) = refused(text, 1000);
        assert_eq!(kind, ErrorKind::Invalid, "{text}: {message}");
    }
    let (_, message) = refused(texts[0], 1000);
    assert_eq!(
        message,
        "dirty ranges: 1001 bytes at 0 are not inside the disk of 1000 bytes; is it the list of another disk?"
    );
}

#[test]
fn files_are_read_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dirty.json");
    std::fs::write(&path, r#"[{"start":5,"length":10}]"#).unwrap();
    assert_eq!(pairs(&DirtyRanges::read(&path, 100).unwrap()), [(5, 15)]);
    std::fs::File::create(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    let error = DirtyRanges::read(&path, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("coarser granularity"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(DirtyRanges::read(&path, 100).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_disk_that_grew_has_a_changed_tail() {
    let ranges = DirtyRanges::from_ranges([(10, 10), (90, 10)], 100).unwrap();
    assert_eq!(pairs(&ranges.grow(100, 150)), [(10, 20), (90, 150)]);
    assert_eq!(pairs(&ranges.grow(100, 100)), [(10, 20), (90, 100)]);
    assert_eq!(pairs(&ranges.grow(100, 95)), [(10, 20), (90, 95)]);
    assert_eq!(pairs(&ranges.grow(100, 15)), [(10, 15)]);
    assert_eq!(ranges.grow(100, 150).disk_size(), 150);
    assert_eq!(pairs(&DirtyRanges::all(7)), [(0, 7)]);
    assert!(DirtyRanges::all(0).is_empty());
}

#[test]
fn rounding_stays_on_the_disk() {
    let max = u64::MAX;
    let ranges = DirtyRanges::from_ranges([(max - 5, 5)], max).unwrap();
    let rounded = ranges.rounded_to(NonZeroU64::new(1 << 16).unwrap());
    assert_eq!(pairs(&rounded), [(max - (max % (1 << 16)), max)]);
}

proptest! {
    #[test]
    fn ranges_are_the_set_of_their_bytes(
        size in 1_u64..300,
        list in prop::collection::vec((0_u64..300, 0_u64..40), 0..12),
        questions in prop::collection::vec((0_u64..320, 0_u64..40), 20),
        chunk in 1_u64..50,
    ) {
        let list: Vec<_> = list.into_iter().filter(|(start, length)| start + length <= size).collect();
        let mut model = vec![false; usize::try_from(size).unwrap()];
        for (start, length) in &list {
            model[usize::try_from(*start).unwrap()..usize::try_from(start + length).unwrap()].fill(true);
        }
        let dirty = |byte: u64| model.get(usize::try_from(byte).unwrap()).copied().unwrap_or(false);
        let object = |(start, length): &(u64, u64)| serde_json::json!({"start": start, "length": length});
        let json: Vec<_> = list.iter().map(object).collect();
        let ranges = DirtyRanges::parse(serde_json::to_string(&json).unwrap().as_bytes(), size).unwrap();
        prop_assert_eq!(&ranges, &DirtyRanges::from_ranges(list, size).unwrap());
        prop_assert_eq!(ranges.bytes(), model.iter().filter(|dirty| **dirty).count() as u64);
        for (start, length) in questions {
            prop_assert_eq!(ranges.overlaps(start, length), (start..start + length).any(dirty));
            prop_assert_eq!(ranges.contains(start, length), (start..start + length).all(dirty));
        }
        let rounded = ranges.rounded_to(NonZeroU64::new(chunk).unwrap());
        for byte in 0..size {
            let first = byte - byte % chunk;
            prop_assert_eq!(rounded.overlaps(byte, 1), (first..first + chunk).any(dirty));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<Vec<u8>>(), size in any::<u64>()) {
        let _ = DirtyRanges::parse(&text, size);
    }
}
