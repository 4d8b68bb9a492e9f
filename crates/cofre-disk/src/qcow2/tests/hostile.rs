//! Images that lie.

use std::os::unix::fs::symlink;

use super::{
    build::{Cluster, Image},
    *,
};

fn sample() -> Image {
    let clusters = vec![
        Cluster::Data(vec![1; 512]),
        Cluster::Backing,
        Cluster::Zero,
        Cluster::Compressed(vec![3; 512]),
        Cluster::Data(vec![4; 512]),
    ];
    Image { clusters, ..Image::new(9, 70 * 512) }
}

/// Opens, walks and reads as far as is sensible; the only thing that counts is that it ends.
fn exercise(bytes: Vec<u8>) {
    let Ok(source) = open_over(bytes, vec![vec![9; 3000]]) else { return };
    let mut at = 0;
    for _ in 0..20 {
        if at >= source.size() {
            break;
        }
        let Ok(extent) = source.extent_at(at) else { break };
        assert!(extent.length > 0 && extent.end() <= source.size());
        let length = usize::try_from(extent.length.min(5000)).unwrap();
        let _ = source.read_exact_at(&mut vec![0; length], at);
        at = extent.end();
    }
    let end = source.size().saturating_sub(512);
    let length = usize::try_from(source.size() - end).unwrap();
    let _ = source.read_exact_at(&mut vec![0; length], end);
}

#[test]
fn no_flipped_bit_does_harm() {
    let mut images = [sample(), sample(), sample()];
    images[1].version = 2;
    images[1].clusters[2] = Cluster::Backing;
    images[1].backing = Some(("base", Some("raw")));
    images[2].zstd = true;
    for image in images {
        let good = image.bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                exercise(bytes);
            }
            for value in [0, 0xff] {
                let mut bytes = good.clone();
                bytes[at..(at + 4).min(good.len())].fill(value);
                exercise(bytes);
            }
        }
    }
}

#[test]
fn no_cut_image_is_read_in_full() {
    let good = sample().bytes();
    for length in 0..good.len() {
        let Ok(source) = open_alone(&good[..length]) else { continue };
        let mut disk = vec![0; usize::try_from(source.size()).unwrap()];
        let error = source.read_exact_at(&mut disk, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{length}: {error}");
        assert!(error.to_string().contains("of the disk"), "{error}");
    }
}

fn refused(image: &Image, change: impl FnOnce(&mut Vec<u8>)) -> (ErrorKind, String) {
    let mut bytes = image.bytes();
    change(&mut bytes);
    let error = open_over(bytes, vec![vec![]]).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn features_are_refused_by_name() {
    let image = sample();
    let cases: [(usize, u8, &str); 11] = [
        (79, 1 << 1, "marked it as corrupt"),
        (79, 1 << 2, "external data file"),
        (79, 1 << 4, "extended L2"),
        (79, 1 << 5, "unknown incompatible features 0x20"),
        (72, 1 << 7, "unknown incompatible features 0x8000000000000000"),
        (35, 1, "encrypted by QEMU (method 1)"),
        (35, 2, "encrypted by QEMU (method 2)"),
        (7, 1, "version 1"),
        (7, 4, "version 4"),
        (104, 2, "unknown compression type 2"),
        (24, 1, "the limit is 1125899906842624"),
    ];
    for (at, value, expected) in cases {
        let (kind, message) = refused(&image, |bytes| bytes[at] = value);
        assert_eq!(kind, ErrorKind::Unsupported, "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let image = sample();
    let cases: [(usize, u8, &str); 10] = [
        (0, b'q', "does not begin like one"),
        (23, 8, "cluster_bits is 8"),
        (23, 22, "cluster_bits is 22"),
        (39, 1, "the L1 table has 1 entries, a disk of 35840 bytes needs 2"),
        (36, 0xff, "too large"),
        (47, 1, "not at a cluster"),
        (40, 0xff, "is not inside the file"),
        (103, 8, "header_length is 8"),
        (102, 0xff, "longer than a cluster"),
        (104, 1, "contradict each other"),
    ];
    for (at, value, expected) in cases {
        let (kind, message) = refused(&image, |bytes| bytes[at] = value);
        assert_eq!(kind, ErrorKind::Malformed, "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_dirty_bit_does_not_matter() {
    let image = sample();
    let mut dirty = image.bytes();
    dirty[79] |= 1;
    assert_eq!(bytes(&open_alone(dirty).unwrap(), 512), bytes(&open_alone(image.bytes()).unwrap(), 512));
}

#[test]
fn entries_with_unknown_bits_or_odd_places_are_malformed() {
    let image = sample();
    // The L1 table is the second cluster, the first L2 table the third.
    let cases: [(usize, &str); 5] = [
        (512, "unknown bits in the L1 entry"),
        (519, "unknown bits in the L1 entry"),
        (1024, "unknown bits in the L2 entry"),
        (1031, "unknown bits in the L2 entry"),
        (1025, "the image is cut"),
    ];
    for (at, expected) in cases {
        let mut bytes = image.bytes();
        bytes[at] |= 2;
        let source = open_alone(bytes).unwrap();
        let error = source.read_exact_at(&mut [0; 512], 0).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, Some(0)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut version_2 = Image { version: 2, ..image }.bytes();
    version_2[1024 + 23] = 1;
    let error = open_alone(version_2).unwrap().read_exact_at(&mut [0; 512], 1024).unwrap_err();
    assert!(error.to_string().contains("unknown bits in the L2 entry 0x1"), "{error}");
}

/// Found by fuzzing: the second of two L1 entries without a table was not looked at.
#[test]
fn a_run_of_missing_tables_does_not_hide_a_damaged_entry() {
    let mut bytes = Image::new(9, 128 * 512).bytes();
    bytes[512 + 15] = 1;
    let source = open_alone(bytes).unwrap();
    let error = source.read_exact_at(&mut vec![0; 128 * 512], 0).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, Some(64 * 512)));
    assert_eq!(source.extent_at(0).unwrap().end(), 64 * 512);
    assert_eq!(source.extent_at(64 * 512).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn backing_files_are_named_as_files_with_a_format() {
    let with = |backing| Image { backing: Some(backing), ..sample() };
    let cases = [
        (("json:{}", Some("raw")), "named by a protocol"),
        (("nbd:localhost:1", Some("raw")), "named by a protocol"),
        (("file:base", Some("raw")), "named by a protocol"),
        (("nbd://localhost/x", Some("raw")), "named by a protocol"),
        (("base", None), "rebase -u -b NAME -F FORMAT"),
        (("base", Some("vmdk")), "has the format \"vmdk\""),
    ];
    for (backing, expected) in cases {
        let (kind, message) = refused(&with(backing), |_| ());
        assert_eq!(kind, ErrorKind::Unsupported, "{message}");
        assert!(message.contains(expected), "{message}");
    }
    open_over(with(("./a:b", Some("raw"))).bytes(), vec![vec![]]).unwrap();
    let (kind, message) = refused(&with(("base", Some("raw"))), |bytes| bytes[19] = 0);
    assert_eq!(kind, ErrorKind::Malformed, "{message}");
    let (kind, message) = refused(&with(("base", Some("raw"))), |bytes| bytes[16] = 0xff);
    assert!(kind == ErrorKind::Malformed && message.contains("out of place"), "{message}");
    // The length of the format's extension.
    let (kind, message) = refused(&with(("base", Some("raw"))), |bytes| bytes[116] = 0xff);
    assert!(kind == ErrorKind::Malformed && message.contains("runs over its end"), "{message}");
}

#[test]
fn chains_without_end_are_refused() {
    let image = Image { backing: Some(("base", Some("qcow2"))), ..sample() }.bytes();
    let error = open_over(image.clone(), vec![image.clone(); 100]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("more than 64"), "{error}");
    let chain: Vec<_> = (0..62).map(|_| image.clone()).chain([sample().bytes()]).collect();
    let source = open_over(image, chain).unwrap();
    assert_eq!(source.files().len(), 64);
    bytes(&source, 1000);
    extents(&source);
}

#[test]
fn backing_files_stay_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (outer, inner) = (dir.path(), dir.path().join("vm"));
    std::fs::create_dir_all(inner.join("sub")).unwrap();
    std::fs::write(outer.join("secret"), [7; 512]).unwrap();
    std::fs::write(inner.join("sub/base"), [8; 512]).unwrap();
    symlink("../secret", inner.join("link-out")).unwrap();
    symlink("sub", inner.join("link-in")).unwrap();
    symlink("/", inner.join("root")).unwrap();
    let top = inner.join("top.qcow2");
    let open = |name: &str| {
        let name = Box::leak(name.to_owned().into_boxed_str());
        let image = Image { backing: Some((name, Some("raw"))), ..Image::new(9, 512) };
        std::fs::write(&top, image.bytes()).unwrap();
        Qcow2Source::open(&top)
    };
    let absolute = inner.join("sub/base");
    for name in
        ["sub/base", "./sub/../sub/base", "../vm/sub/base", "link-in/base", absolute.to_str().unwrap()]
    {
        let source = open(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(bytes(&source, 512), [8; 512]);
        source.verify_unchanged().unwrap();
    }
    let secret = outer.join("secret");
    for name in [
        "../secret",
        "../none",
        "link-out",
        "/etc/passwd",
        "/none",
        "root/etc/passwd",
        secret.to_str().unwrap(),
    ] {
        let error = open(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
        assert!(error.to_string().contains("is not inside"), "{error}");
    }
    assert_eq!(open("none").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(open("sub").unwrap_err().kind(), ErrorKind::Unsupported);

    open("../secret").unwrap_err();
    assert_eq!(bytes(&Qcow2Source::open_beneath(&top, outer).unwrap(), 512), [7; 512]);
    let error = Qcow2Source::open_beneath(&top, inner.join("sub")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn loops_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, backing| {
        let image = Image { backing: Some((backing, Some("qcow2"))), ..Image::new(9, 512) };
        std::fs::write(dir.path().join(name), image.bytes()).unwrap();
    };
    write("a", "b");
    write("b", "c");
    write("c", "b");
    write("self", "./self");
    for name in ["a", "b", "self"] {
        let error = Qcow2Source::open(dir.path().join(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains("a loop"), "{error}");
    }
}
