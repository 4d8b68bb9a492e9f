use std::{cell::RefCell, os::unix::fs::PermissionsExt};

use proptest::prelude::*;

use super::*;

/// A device of `size` bytes on which the sectors in `bad` fail, and which answers at most `most` bytes.
fn faulty(size: u64, bad: &[u64], most: usize) -> impl Fn(&mut [u8], u64) -> io::Result<usize> {
    let bad = bad.to_vec();
    move |buffer, at| {
        let length = buffer.len().min(most).min(usize::try_from(size.saturating_sub(at)).unwrap());
        let sectors = at / 512..(at + length as u64).div_ceil(512);
        if bad.iter().any(|sector| sectors.contains(sector)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        for (index, byte) in buffer[..length].iter_mut().enumerate() {
            *byte = ((at + index as u64) % 251).to_le_bytes()[0];
        }
        Ok(length)
    }
}

#[test]
fn the_first_bad_sector_is_named() {
    let mut buffer = vec![0; 1 << 20];
    let path = Path::new("disk.raw");
    let error = read_fully(faulty(2 << 20, &[1001, 1500], 1 << 30), &mut buffer, 700, path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert_eq!(error.offset(), Some(1001 * 512));
    assert_eq!(error.to_string(), "cannot read byte 512512 of disk.raw");
}

#[test]
fn a_file_that_became_shorter_has_changed() {
    let mut buffer = vec![0; 8192];
    let error = read_fully(faulty(5000, &[], 4096), &mut buffer, 0, Path::new("disk.raw")).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Changed, Some(5000)));
}

#[test]
fn interruptions_and_passing_faults_do_not_matter() {
    let calls = RefCell::new(0);
    let good = faulty(1 << 20, &[], 1 << 30);
    let read = |buffer: &mut [u8], at| {
        let mut calls = calls.borrow_mut();
        *calls += 1;
        match *calls {
            1 | 2 => Err(io::Error::from(io::ErrorKind::Interrupted)),
            3 => Err(io::Error::from_raw_os_error(5)),
            _ => good(buffer, at),
        }
    };
    let mut buffer = vec![0; 100_000];
    read_fully(read, &mut buffer, 10, Path::new("disk.raw")).unwrap();
    assert!(buffer.iter().zip(10_u64..).all(|(byte, at)| u64::from(*byte) == at % 251));
}

#[test]
fn holes_of_a_sparse_file_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    let size = (5_u64 << 40) + 1;
    let sink = RawSink::create(&path, size).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    sink.write_all_at(&[9; 1 << 16], 1 << 40).unwrap();
    sink.write_all_at(&[8], size - 1).unwrap();
    sink.finish().unwrap();

    let source = RawSource::open(&path).unwrap();
    assert_eq!(source.size(), size);
    let mut at = 0;
    let mut data = 0;
    while at < size {
        let extent = source.extent_at(at).unwrap();
        assert_eq!(extent.start, at);
        assert!(extent.length > 0 && extent.end() <= size);
        if extent.kind == ExtentKind::Data {
            data += extent.length;
        }
        at = extent.end();
    }
    assert!(((1 << 16) + 1..1 << 24).contains(&data), "{data}");
    let mut last = [0; 2];
    source.read_exact_at(&mut last, size - 2).unwrap();
    assert_eq!(last, [0, 8]);
    source.verify_unchanged().unwrap();
}

#[test]
fn requests_outside_the_disk_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    let sink = RawSink::create(&path, 100).unwrap();
    assert_eq!(RawSink::create(&path, 100).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(sink.write_all_at(&[1; 2], 99).unwrap_err().kind(), ErrorKind::Invalid);
    let source = RawSource::open(&path).unwrap();
    let mut buffer = [0; 2];
    assert_eq!(source.read_exact_at(&mut buffer, 99).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(source.read_exact_at(&mut buffer, u64::MAX).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(source.extent_at(100).unwrap_err().kind(), ErrorKind::Invalid);
    source.read_exact_at(&mut [], 100).unwrap();
}

#[test]
fn an_impossible_size_leaves_no_file_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    RawSink::create(&path, u64::MAX).unwrap_err();
    assert!(!path.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(
        size in 1_u64..200_000,
        writes in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..5000, any::<u8>()), 0..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        let sink = RawSink::create(&path, size).unwrap();
        let mut model = vec![0_u8; usize::try_from(size).unwrap()];
        for (at, length, byte) in writes {
            let start = at.index(model.len());
            let end = (start + length).min(model.len());
            model[start..end].fill(byte);
            sink.write_all_at(&model[start..end], start as u64).unwrap();
        }
        sink.finish().unwrap();
        let source = RawSource::open(&path).unwrap();
        let mut bytes = vec![1; model.len()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        prop_assert_eq!(&bytes, &model);
        let mut at = 0;
        while at < size {
            let extent = source.extent_at(at).unwrap();
            let range = usize::try_from(at).unwrap()..usize::try_from(extent.end()).unwrap();
            prop_assert!(extent.kind == ExtentKind::Data || model[range].iter().all(|byte| *byte == 0));
            at = extent.end();
        }
    }
}
