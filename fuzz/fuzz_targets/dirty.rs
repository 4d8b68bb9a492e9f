//! Lists of dirty ranges: refused, or sorted ranges inside the disk that mean the same when they are
//! given again.
#![no_main]

use std::num::NonZeroU64;

use cofre_disk::DirtyRanges;
use libfuzzer_sys::fuzz_target;

const SIZE: u64 = 1 << 40;

fuzz_target!(|json: &[u8]| {
    let Ok(ranges) = DirtyRanges::parse(json, SIZE) else { return };
    let mut last_end = None;
    for range in ranges.iter() {
        assert!(range.start < range.end && range.end <= SIZE);
        assert!(last_end.is_none_or(|end| end < range.start));
        assert!(ranges.contains(range.start, range.length()) && !ranges.contains(range.end, 1));
        last_end = Some(range.end);
    }
    let again = DirtyRanges::from_ranges(ranges.iter().map(|r| (r.start, r.length())), SIZE);
    assert_eq!(again.ok().as_ref(), Some(&ranges));
    let chunk = NonZeroU64::new(65_536).expect("not zero");
    let rounded = ranges.rounded_to(chunk);
    assert!(ranges.iter().all(|range| rounded.contains(range.start, range.length())));
    assert!(rounded.iter().all(|range| range.length().is_multiple_of(chunk.get())));
    assert_eq!(rounded.rounded_to(chunk), rounded);
});
