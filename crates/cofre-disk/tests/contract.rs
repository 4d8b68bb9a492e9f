//! What every source and every sink has to do, whatever its format.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, process::Command};

use cofre_disk::{
    BlockSink, BlockSource, ErrorKind, ExtentKind, ImageFormat, MemorySink, MemorySource, RawSink,
    VhdIdentity, VhdSink, open_source, open_source_beneath,
};

/// No multiple of a cluster, but of a sector, since a VHD has whole ones only.
const SIZE: usize = (3 << 20) + 512;
const IDENTITY: VhdIdentity = VhdIdentity { unique_id: [7; 16], timestamp: 1 };

/// Data at the beginning, at the end and somewhere in between, zeros elsewhere.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    for (start, end) in [(0, 5000), (1 << 20, (1 << 20) + 70_000), (SIZE - 512, SIZE)] {
        for (index, byte) in disk[start..end].iter_mut().enumerate() {
            *byte = u8::try_from(index % 255).unwrap() + 1;
        }
    }
    disk
}

/// Writes the disk in pieces, last one first, by several threads, and leaves the zeros out.
fn write_disk(sink: &dyn BlockSink) {
    let disk = disk();
    assert_eq!(sink.size(), SIZE as u64);
    let pieces: Vec<_> = disk.chunks(4099).enumerate().collect();
    std::thread::scope(|scope| {
        for part in pieces.rchunks(200) {
            scope.spawn(move || {
                for (index, piece) in part.iter().rev() {
                    if piece.iter().any(|byte| *byte != 0) {
                        sink.write_all_at(piece, (index * 4099) as u64).unwrap();
                    }
                }
            });
        }
    });
    sink.write_all_at(&[], SIZE as u64).unwrap();
    for (length, offset) in [(1, SIZE as u64), (2, SIZE as u64 - 1), (1, u64::MAX)] {
        let error = sink.write_all_at(&vec![1; length], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    sink.finish().unwrap();
}

fn check_source(source: &dyn BlockSource) {
    let disk = disk();
    let size = source.size();
    let label = source.label();
    assert_eq!(size, SIZE as u64, "{label}");
    std::thread::scope(|scope| {
        for piece in [511, 65_536, SIZE] {
            let (disk, label) = (&disk, &label);
            scope.spawn(move || {
                for (index, expected) in disk.chunks(piece).enumerate() {
                    let mut bytes = vec![0xee; expected.len()];
                    source.read_exact_at(&mut bytes, (index * piece) as u64).unwrap();
                    assert!(bytes == expected, "{label}: {index}");
                }
            });
        }
    });
    let mut at = 0;
    while at < size {
        let extent = source.extent_at(at).unwrap();
        assert!(extent.start == at && extent.length > 0 && extent.end() <= size, "{label}: {extent:?}");
        let range = usize::try_from(at).unwrap()..usize::try_from(extent.end()).unwrap();
        assert!(extent.kind == ExtentKind::Data || disk[range].iter().all(|byte| *byte == 0), "{label}");
        // From its middle it is the same extent.
        let middle = at + extent.length / 2;
        let rest = source.extent_at(middle).unwrap();
        assert_eq!((rest.start, rest.kind), (middle, extent.kind), "{label}");
        at = extent.end();
    }
    source.read_exact_at(&mut [], size).unwrap();
    for (length, offset) in [(1, size), (2, size - 1), (1, u64::MAX)] {
        let error = source.read_exact_at(&mut vec![0; length], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{label}");
    }
    assert_eq!(source.extent_at(size).unwrap_err().kind(), ErrorKind::Invalid, "{label}");
    source.verify_unchanged().unwrap();
}

fn check_image(path: &Path, format: ImageFormat) {
    check_source(&*open_source(path, format).unwrap());
    let root = path.parent().unwrap();
    check_source(&*open_source_beneath(path.file_name().unwrap(), root, format).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let error = open_source_beneath(path, elsewhere.path(), format).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = open_source(root.join("none"), format).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn memory() {
    let sink = MemorySink::new(SIZE);
    write_disk(&sink);
    check_source(&MemorySource::new(sink.into_bytes(), "memory"));
}

#[test]
fn raw() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    write_disk(&RawSink::create(&path, SIZE as u64).unwrap());
    check_image(&path, ImageFormat::Raw);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    write_disk(&RawSink::from_file(file, &path, SIZE as u64).unwrap());
    check_image(&path, ImageFormat::Raw);
}

#[test]
fn vhd() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vhd");
    write_disk(&VhdSink::create(&path, SIZE as u64, IDENTITY).unwrap());
    check_image(&path, ImageFormat::Vhd);
}

#[test]
fn qcow2() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("disk.raw");
    std::fs::write(&raw, disk()).unwrap();
    for options in ["compat=0.10", "compat=1.1,cluster_size=512", "cluster_size=2M", "compression_type=zstd"]
    {
        let path = dir.path().join("disk.qcow2");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2", "-o", options]);
        convert.args(options.contains("zstd").then_some("-c")).arg(&raw).arg(&path);
        let Ok(output) = convert.output() else {
            eprintln!("skipped: qemu-img is not installed");
            return;
        };
        assert!(output.status.success());
        check_image(&path, ImageFormat::Qcow2);
    }
}
