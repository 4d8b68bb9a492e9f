use proptest::prelude::*;

use super::*;
use crate::{
    luks::{Argon2Cost, Priority, SlotState, inspect, unlock, unlock_slot},
    view::Mapping as _,
};

const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// A generator that gives other bytes each time, and the same for the same seed.
fn random(mut state: u64) -> impl FnMut(&mut [u8]) -> std::io::Result<()> {
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        Ok(())
    }
}

fn pbkdf2() -> Kdf {
    Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 1000 }
}

fn argon2id(memory_kib: u32) -> Kdf {
    Kdf::Argon2id(Argon2Cost { passes: 4, memory_kib, lanes: 1 })
}

fn small() -> FormatOptions {
    FormatOptions { uuid: Some(UUID.to_owned()), data_offset: 1 << 20, ..FormatOptions::new(pbkdf2()) }
}

fn refused(options: &FormatOptions, secrets: &[&[u8]]) -> FdeError {
    format(options, secrets, &mut random(1)).unwrap_err()
}

/// A disk of the header and `length` bytes of data.
fn disk(formatted: &Formatted, length: usize) -> Vec<u8> {
    let mut disk = formatted.header().to_vec();
    let offset = usize::try_from(formatted.unlocked().segment().offset).unwrap();
    disk.resize(offset + length, 0);
    disk
}

#[test]
fn what_is_written_is_what_is_read() {
    let options = FormatOptions { label: "Größe".to_owned(), ..small() };
    let formatted = format(&options, &[b"one", b"two"], &mut random(3)).unwrap();
    let disk = disk(&formatted, 8192);
    let info = inspect(&disk).unwrap();
    assert_eq!((info.version, info.uuid.as_str(), info.label.as_deref()), (2, UUID, Some("Größe")));
    assert_eq!((info.cipher.as_str(), info.key_bits, info.sector_size), ("aes-xts-plain64", Some(512), 4096));
    assert_eq!((info.data_offset, info.header_length, info.opaque), (1 << 20, 1 << 20, None));
    let copies = info.copies.unwrap();
    assert_eq!((copies.size, copies.sequence), (0x4000, 1));
    assert_eq!(
        (copies.primary, copies.secondary),
        (crate::luks::CopyState::Valid, crate::luks::CopyState::Valid)
    );
    assert_eq!(info.keyslots.len(), 2);
    for (number, slot) in info.keyslots.iter().enumerate() {
        assert_eq!(
            (slot.number as usize, &slot.state, slot.priority),
            (number, &SlotState::Active, Priority::Normal)
        );
        assert_eq!(slot.area_offset, 0x8000 + 258_048 * number as u64);
    }
    for (slot, secret) in [(0, b"one"), (1, b"two")] {
        let unlocked = unlock(&disk, secret, &Limits::default()).unwrap();
        assert_eq!((unlocked.slot(), unlocked.segment()), (slot, formatted.unlocked().segment()));
        assert_eq!(unlocked.volume_key().expose(), formatted.unlocked().volume_key().expose());
        let other = unlock_slot(&disk, 1 - slot, secret, &Limits::default()).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::WrongKey);
    }
    for wrong in [&b"three"[..], b"one\n", b"on", b""] {
        assert_eq!(unlock(&disk, wrong, &Limits::default()).unwrap_err().kind(), ErrorKind::WrongKey);
    }
}

#[test]
fn two_disks_share_nothing_but_their_options() {
    let mut generator = random(9);
    let first = format(&small(), &[b"s"], &mut generator).unwrap();
    let second = format(&small(), &[b"s"], &mut generator).unwrap();
    assert_ne!(first.unlocked().volume_key().expose(), second.unlocked().volume_key().expose());
    let (a, b) = (inspect(&disk(&first, 0)).unwrap(), inspect(&disk(&second, 0)).unwrap());
    assert_ne!(a.volume_key_digest, b.volume_key_digest);
    let equal = first.header().iter().zip(second.header()).skip(0x8000).filter(|(a, b)| a == b).count();
    // By chance one byte in 256 is equal; what is behind the material, 2048 bytes, is zero in both.
    assert!(equal < 5000, "{equal}");
    let without = FormatOptions { uuid: None, ..small() };
    let uuid = inspect(&disk(&format(&without, &[b"s"], &mut generator).unwrap(), 0)).unwrap().uuid;
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    assert_ne!(uuid, UUID);
}

#[test]
fn new_secrets_keep_the_key_and_its_digest() {
    let formatted = format(&small(), &[b"one", b"two"], &mut random(3)).unwrap();
    let mut disk = disk(&formatted, 4096);
    let before = inspect(&disk).unwrap();
    let mapping = formatted.unlocked().mapping(disk.len() as u64).unwrap();
    mapping.encrypt(1 << 20, &mut disk[1 << 20..]).unwrap();

    let limits = Limits::default();
    let error = rekey(&disk, b"none", &limits, &pbkdf2(), &[b"new"], &mut random(4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey);
    let changed = rekey(&disk, b"two", &limits, &argon2id(64), &[b"new"], &mut random(4)).unwrap();
    // The second keyslot is gone, and so is its material.
    assert_eq!(changed.header().len(), formatted.header().len());
    assert!(changed.header()[0x8000 + 258_048..].iter().all(|byte| *byte == 0));
    disk[..changed.header().len()].copy_from_slice(changed.header());

    let after = inspect(&disk).unwrap();
    assert_ne!(after.header_sha256, before.header_sha256);
    assert_eq!(after.volume_key_digest, before.volume_key_digest);
    assert_eq!((after.uuid, after.label, after.data_offset), (before.uuid, before.label, before.data_offset));
    assert_eq!(after.copies.unwrap().sequence, 2);
    assert_eq!(after.keyslots.len(), 1);
    for old in [b"one", b"two"] {
        assert_eq!(unlock(&disk, old, &limits).unwrap_err().kind(), ErrorKind::WrongKey);
    }
    let mut view = vec![1; 4096];
    unlock(&disk, b"new", &limits).unwrap().view(&disk).unwrap().read_exact_at(&mut view, 0).unwrap();
    assert_eq!(view, [0; 4096]);
}

#[test]
fn what_is_not_written_is_refused() {
    let secret: &[&[u8]] = &[b"s"];
    for options in [
        FormatOptions { key_bits: 128, ..small() },
        FormatOptions { key_bits: 384, ..small() },
        FormatOptions { sector_size: 0, ..small() },
        FormatOptions { sector_size: 1024, ..small() },
        FormatOptions { uuid: Some("11111111-2222-3333-4444-55555555555g".to_owned()), ..small() },
        FormatOptions { uuid: Some(String::new()), ..small() },
        FormatOptions { label: "x".repeat(48), ..small() },
        FormatOptions { label: "a\nb".to_owned(), ..small() },
        FormatOptions { data_offset: 0x8000 + 258_048 - 4096, ..small() },
        FormatOptions { data_offset: (1 << 20) + 512, ..small() },
        FormatOptions { kdf: Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 999 }, ..small() },
    ] {
        assert_eq!(refused(&options, secret).kind(), ErrorKind::Invalid, "{options:?}");
    }
    for secrets in [&[][..], &[b"".as_slice()], &[b"s".as_slice(); 9]] {
        assert_eq!(refused(&small(), secrets).kind(), ErrorKind::Invalid, "{}", secrets.len());
    }
    let options = FormatOptions { data_offset: 0x8000 + 258_048, ..small() };
    format(&options, secret, &mut random(1)).unwrap();
    assert_eq!(refused(&options, &[b"s", b"t"]).kind(), ErrorKind::Invalid);
    // What readers would find too costly, or not know.
    let options = FormatOptions { kdf: argon2id(2 << 20), ..small() };
    assert_eq!(refused(&options, secret).kind(), ErrorKind::TooCostly);
    let options = FormatOptions { kdf: Kdf::Pbkdf2 { hash: "md5".to_owned(), iterations: 1000 }, ..small() };
    assert_eq!(refused(&options, secret).kind(), ErrorKind::Unsupported);
}

#[test]
fn no_header_comes_out_of_a_generator_that_fails() {
    for allowed in 0..6 {
        let (mut calls, mut inner) = (0, random(1));
        let mut failing = |bytes: &mut [u8]| {
            calls += 1;
            if calls > allowed { Err(std::io::Error::other("no entropy")) } else { inner(bytes) }
        };
        let error = format(&small(), &[b"s"], &mut failing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "after {allowed} calls");
    }
    let mut constant = |bytes: &mut [u8]| {
        bytes.fill(7);
        Ok(())
    };
    assert_eq!(format(&small(), &[b"s"], &mut constant).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_key_of_another_kind_is_not_thrown_away() {
    let fixture = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        std::fs::read(path).unwrap()
    };
    let secret = b"first passphrase";
    let luks1 = fixture("luks1-xts.hdr");
    let limits = Limits::default();
    let error = rekey(&luks1, secret, &limits, &pbkdf2(), &[b"new"], &mut random(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // A header that cryptsetup wrote keeps its digest, too.
    let luks2 = fixture("luks2-xts-4096.hdr");
    let before = inspect(&luks2).unwrap();
    let changed = rekey(&luks2, secret, &limits, &pbkdf2(), &[b"new"], &mut random(1)).unwrap();
    let after = inspect(&changed.header().to_vec()).unwrap();
    assert_eq!(after.volume_key_digest, before.volume_key_digest);
    assert_eq!(after.uuid, before.uuid);
    unlock(&changed.header().to_vec(), b"new", &limits).unwrap();
}

#[test]
fn secrets_are_not_shown() {
    let formatted = format(&small(), &[b"s"], &mut random(1)).unwrap();
    assert!(format!("{formatted:?}").len() < 400, "{formatted:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_options_give_a_disk_that_opens(
        seed in any::<u64>(),
        long_key in any::<bool>(),
        large_sectors in any::<bool>(),
        argon2 in prop::option::of(8..200_u32),
        detached in any::<bool>(),
        secrets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 1..4),
        label in "[a-zä ]{0,20}",
        data in prop::collection::vec(any::<u8>(), 8192),
    ) {
        let options = FormatOptions {
            uuid: None,
            label,
            key_bits: if long_key { 512 } else { 256 },
            sector_size: if large_sectors { 4096 } else { 512 },
            kdf: argon2.map_or_else(pbkdf2, argon2id),
            data_offset: if detached { 0 } else { 1 << 20 },
        };
        let borrowed: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        let formatted = format(&options, &borrowed, &mut random(seed)).unwrap();
        let (header, offset) = (formatted.header().to_vec(), usize::try_from(options.data_offset).unwrap());
        let mut device = if detached { vec![0; 8192] } else { disk(&formatted, 8192) };
        let size = device.len() as u64;
        device[offset..].copy_from_slice(&data);
        let mapping = formatted.unlocked().mapping(size).unwrap();
        mapping.encrypt(offset as u64, &mut device[offset..]).unwrap();
        prop_assert_ne!(&device[offset..], &data);

        let info = inspect(&header).unwrap();
        prop_assert_eq!(info.header_sha256, inspect(&header).unwrap().header_sha256);
        prop_assert_eq!(info.label.unwrap_or_default(), options.label);
        prop_assert_eq!(&info.keyslots[0].kdf, &Some(options.kdf));
        for secret in &secrets {
            let view = unlock(&header, secret, &Limits::default()).unwrap().view(&device).unwrap();
            let mut read = vec![0; data.len()];
            view.read_exact_at(&mut read, 0).unwrap();
            prop_assert_eq!(&read, &data);
        }
        prop_assert!(unlock(&header, &[&secrets[0][..], b"x"].concat(), &Limits::default()).is_err()
            || secrets.iter().any(|s| s.starts_with(&secrets[0]) && s.len() == secrets[0].len() + 1));
    }
}
