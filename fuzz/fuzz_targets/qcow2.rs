//! qcow2 images that are their own backing file: refused, or disks that read the same in pieces and as
//! a whole, and whose holes are zeros.
#![no_main]

use cofre_disk::{BlockSource, ExtentKind, MemorySource, Qcow2Source};
use libfuzzer_sys::fuzz_target;

/// Enough to get everywhere; a disk may be a petabyte.
const EXTENTS: usize = 40;
const READ: u64 = 20_000;

fuzz_target!(|bytes: &[u8]| {
    let opened = Qcow2Source::from_source(Box::new(MemorySource::new(bytes, "image")), &mut |_, _| {
        // Below, the image has no backing file any more: the chain ends.
        let mut below = bytes.to_vec();
        below[8..16].fill(0);
        Ok(Box::new(MemorySource::new(below, "below")))
    });
    let Ok(disk) = opened else { return };
    let mut at = 0;
    for _ in 0..EXTENTS {
        if at >= disk.size() {
            break;
        }
        let Ok(extent) = disk.extent_at(at) else { break };
        assert!(extent.start == at && extent.length > 0 && extent.end() <= disk.size());
        let length = usize::try_from(extent.length.min(READ)).expect("small");
        for start in [at, extent.end() - length as u64] {
            let mut whole = vec![1; length];
            let read = disk.read_exact_at(&mut whole, start);
            if read.is_ok() && extent.kind == ExtentKind::Hole {
                assert!(whole.iter().all(|byte| *byte == 0));
            }
            let mut pieces = vec![2; length];
            let mut offset = start;
            let each = pieces.chunks_mut(1009).try_for_each(|piece| {
                let result = disk.read_exact_at(piece, offset);
                offset += piece.len() as u64;
                result
            });
            assert_eq!(read.is_ok(), each.is_ok());
            assert!(read.is_err() || whole == pieces);
        }
        at = extent.end();
    }
});
