use std::process::Command;

use proptest::prelude::*;

use super::*;

const IDENTITY: VhdIdentity = VhdIdentity { unique_id: *b"0123456789abcdef", timestamp: 0x3000_0000 };

fn have_qemu_img() -> bool {
    let found = Command::new("qemu-img").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: qemu-img is not installed");
    }
    found
}

#[test]
fn times_are_counted_from_the_year_2000() {
    assert_eq!(timestamp(946_684_800), 0);
    assert_eq!(timestamp(946_684_801), 1);
    assert_eq!(timestamp(0), 0);
    assert_eq!(timestamp(u64::MAX), u32::MAX);
}

#[test]
fn the_same_disk_gives_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a.vhd", "b.vhd"].map(|name| {
        let path = dir.path().join(name);
        let sink = VhdSink::create(&path, 1000, IDENTITY).unwrap();
        sink.write_all_at(&[7; 1000], 0).unwrap();
        sink.finish().unwrap();
        std::fs::read(path).unwrap()
    });
    assert_eq!(a, b);
    assert_eq!(a.len(), 1024 + 512);
    assert_eq!(a[1000..1024], [0; 24]);
    assert_eq!(a[1024..1032], *b"conectix");
}

#[test]
fn the_limit_of_the_format_is_stated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vhd");
    for size in [MAX_SIZE + 1, u64::MAX] {
        let error = VhdSink::create(&path, size, IDENTITY).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("2040 GiB"), "{error}");
        assert!(!path.exists());
    }
    let sink = VhdSink::create(&path, MAX_SIZE, IDENTITY).unwrap();
    sink.finish().unwrap();
    assert_eq!(VhdSource::open(&path).unwrap().size(), MAX_SIZE);
}

#[test]
fn writes_do_not_reach_the_padding() {
    let dir = tempfile::tempdir().unwrap();
    let sink = VhdSink::create(dir.path().join("disk.vhd"), 1000, IDENTITY).unwrap();
    assert_eq!((sink.size(), sink.virtual_size()), (1000, 1024));
    assert_eq!(sink.write_all_at(&[1], 1000).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn damaged_and_foreign_footers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.vhd");
    VhdSink::create(&path, 4096, IDENTITY).unwrap().finish().unwrap();
    let good = std::fs::read(&path).unwrap();
    for at in 4096..4096 + 84 {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(VhdSource::open(&path).unwrap_err().kind(), ErrorKind::Malformed, "{at}");
    }
    for length in [0, 1, 511, 512, 4608 - 1] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert_eq!(VhdSource::open(&path).unwrap_err().kind(), ErrorKind::Malformed, "{length}");
    }
    // A footer that is sound but stands after fewer bytes than it says.
    std::fs::write(&path, &good[512..]).unwrap();
    let error = VhdSource::open(&path).unwrap_err();
    assert!(error.to_string().contains("says 4096 bytes, the file has 3584"), "{error}");
}

#[test]
fn qemu_sees_the_exact_size() {
    if !have_qemu_img() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sizes = [512, 1 << 20, (20 << 20) + 512, 1_000_000, (127 << 30) + 1536, 1 << 40, MAX_SIZE];
    for (index, size) in sizes.into_iter().enumerate() {
        let path = dir.path().join(format!("{index}.vhd"));
        let sink = VhdSink::create(&path, size, IDENTITY).unwrap();
        sink.write_all_at(&[3; 512], size - 512).unwrap();
        sink.finish().unwrap();
        let output = Command::new("qemu-img")
            .args(["info", "--output", "json", "-f", "vpc"])
            .arg(&path)
            .output()
            .unwrap();
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(info["virtual-size"], sink.virtual_size(), "{size}");
    }
}

#[test]
fn the_geometry_is_the_one_qemu_computes() {
    if !have_qemu_img() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for size in ["1M", "20M", "127M", "140M", "512M", "2G", "40G"] {
        let path = dir.path().join(size);
        let args = ["create", "-q", "-f", "vpc", "-o", "subformat=fixed"];
        assert!(Command::new("qemu-img").args(args).arg(&path).arg(size).status().unwrap().success());
        // Without force_size the size is rounded up to what the geometry can say.
        let file = RawSource::open(&path).unwrap();
        let mut theirs = [0; 4];
        file.read_exact_at(&mut theirs, file.size() - 512 + 56).unwrap();
        let footer = Footer { size: file.size() - FOOTER_SIZE, identity: IDENTITY };
        assert_eq!(footer.encode()[56..60], theirs, "{size}");
    }
}

#[test]
fn qemu_reads_the_same_bytes() {
    if !have_qemu_img() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (raw, vhd) = (dir.path().join("disk.raw"), dir.path().join("disk.vhd"));
    let size = (3 << 20) + 512;
    let sinks: [Box<dyn BlockSink>; 2] = [
        Box::new(RawSink::create(&raw, size).unwrap()),
        Box::new(VhdSink::create(&vhd, size, IDENTITY).unwrap()),
    ];
    for sink in sinks {
        sink.write_all_at(&[0xa5; 70_000], 12_345).unwrap();
        sink.write_all_at(&[0x5a; 512], size - 512).unwrap();
        sink.finish().unwrap();
    }
    let args = ["compare", "-f", "raw", "-F", "vpc"];
    let output = Command::new("qemu-img").args(args).arg(&raw).arg(&vhd).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn vhds_of_qemu_are_read_or_refused_by_name() {
    if !have_qemu_img() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (subformat, sound) in [("fixed", true), ("dynamic", false)] {
        let path = dir.path().join(subformat);
        let options = format!("subformat={subformat},force_size=on");
        let output = Command::new("qemu-img")
            .args(["create", "-q", "-f", "vpc", "-o", &options])
            .arg(&path)
            .arg("5M")
            .output()
            .unwrap();
        assert!(output.status.success());
        match VhdSource::open(&path) {
            Ok(source) => assert!(sound && source.size() == 5 << 20),
            Err(error) => {
                assert!(!sound && error.kind() == ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains("a dynamic VHD"), "{error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 1..5000)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.vhd");
        let sink = VhdSink::create(&path, bytes.len() as u64, IDENTITY).unwrap();
        sink.write_all_at(&bytes, 0).unwrap();
        sink.finish().unwrap();
        let source = VhdSource::open(&path).unwrap();
        prop_assert_eq!(source.identity(), IDENTITY);
        prop_assert_eq!(source.size(), sink.virtual_size());
        let mut read = vec![1; usize::try_from(source.size()).unwrap()];
        source.read_exact_at(&mut read, 0).unwrap();
        prop_assert_eq!(&read[..bytes.len()], &bytes[..]);
        prop_assert!(read[bytes.len()..].iter().all(|byte| *byte == 0));
        prop_assert!(source.extent_at(0).unwrap().end() <= source.size());
    }
}
