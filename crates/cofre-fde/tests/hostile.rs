//! Headers that are damaged, cut off or made to hurt: a clear error, no panic, little time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io;

use cofre_fde::{ErrorKind, FdeError, ReadAt, luks};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{FIRST, cheap, counting_key, fixture, json, peak_memory_kib, seal, set_json, with_json};

const NAMES: [&str; 4] = ["luks1-xts.hdr", "luks2-two-slots.hdr", "luks2-xts-4096.hdr", "qemu-luks1.hdr"];

/// The first bytes of a source.
struct Cut<'a>(&'a [u8], usize);

impl ReadAt for Cut<'_> {
    fn size(&self) -> u64 {
        self.1 as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0[..self.1].read_exact_at(buffer, offset)
    }
}

fn inspect_error(source: &dyn ReadAt) -> FdeError {
    luks::inspect(source).map(|info| panic!("should have been refused: {info:?}")).unwrap_err()
}

#[test]
fn a_header_cut_at_any_length_is_truncated_or_not_there() {
    for name in NAMES {
        let image = fixture(name);
        // In key areas nothing is parsed any more: a sample of lengths is enough there.
        let lengths = (0..image.len().min(34_000)).chain((34_000..image.len()).step_by(211));
        for length in lengths.chain([image.len() - 1]) {
            let error = inspect_error(&Cut(&image, length));
            let expected: &[_] = match length {
                0..8 => &[ErrorKind::NotEncrypted],
                _ => &[ErrorKind::Truncated],
            };
            assert!(expected.contains(&error.kind()), "{name} cut to {length}: {error:?}");
            let error = luks::unlock(&Cut(&image, length.min(32_000)), FIRST, &cheap()).unwrap_err();
            assert!(expected.contains(&error.kind()), "{name} cut to {length}: {error:?}");
        }
        luks::inspect(&Cut(&image, image.len())).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_a_luks2_header_is_found() {
    let mut image = fixture("luks2-two-slots.hdr");
    let sound = luks::inspect(&image).unwrap();
    // First with the other copy at hand …
    for byte in (0..16384).step_by(61) {
        image[byte] ^= 0x10;
        let info = luks::inspect(&image).unwrap();
        assert_eq!(info.volume_key_digest, sound.volume_key_digest, "byte {byte}");
        assert_eq!(info.keyslots, sound.keyslots, "byte {byte}");
        image[byte] ^= 0x10;
    }
    // … then without it. The checksum field has room for longer hashes: those 32 bytes count nowhere.
    image[16384..32768].fill(0);
    for byte in (0..16384).filter(|byte| !(480..512).contains(byte)) {
        // Every bit where the binary fields are, one bit of each byte in the JSON.
        let bits = if byte < 520 { 0..8 } else { byte % 8..byte % 8 + 1 };
        for bit in bits {
            image[byte] ^= 1 << bit;
            let kind = inspect_error(&image).kind();
            assert!(
                matches!(
                    kind,
                    ErrorKind::Damaged
                        | ErrorKind::NotEncrypted
                        | ErrorKind::Unsupported
                        | ErrorKind::Truncated
                ),
                "byte {byte} bit {bit}: {kind:?}"
            );
            image[byte] ^= 1 << bit;
        }
    }
}

/// LUKS1 has no checksum, but the digest of the volume key: a flipped bit may lose the key, never
/// give another.
#[test]
fn a_flipped_bit_of_a_luks1_header_never_gives_a_wrong_key() {
    let mut image = fixture("luks1-xts.hdr");
    for bit in 0..592 * 8 {
        image[bit / 8] ^= 1 << (bit % 8);
        let _ = luks::inspect(&image);
        if bit % 17 == 0
            && let Ok(unlocked) = luks::unlock(&image, FIRST, &cheap())
        {
            assert_eq!(unlocked.volume_key().expose(), counting_key(32), "bit {bit}");
        }
        image[bit / 8] ^= 1 << (bit % 8);
    }
    luks::unlock(&image, FIRST, &cheap()).unwrap();
}

#[test]
fn damaged_key_material_is_a_wrong_key() {
    let mut image = fixture("luks2-two-slots.hdr");
    image[32768 + 1000] ^= 1;
    let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey);
}

#[test]
fn a_source_that_fails_is_an_io_error_with_its_cause() {
    struct Bad;
    impl ReadAt for Bad {
        fn size(&self) -> u64 {
            1 << 20
        }
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::Error::other("medium error"))
        }
    }
    let error = inspect_error(&Bad);
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "medium error");
}

#[test]
fn absurd_fields_of_a_luks1_header() {
    let cases: [(&str, usize, u32, ErrorKind); 15] = [
        ("payload offset", 104, 1, ErrorKind::Damaged),
        ("payload offset", 104, 257, ErrorKind::Damaged),
        ("version", 4, 0xbabe_0003, ErrorKind::Unsupported),
        ("key bytes", 108, 0, ErrorKind::Damaged),
        ("key bytes", 108, u32::MAX, ErrorKind::Damaged),
        ("key bytes", 108, 48, ErrorKind::Unsupported),
        ("digest iterations", 164, 0, ErrorKind::Damaged),
        ("digest iterations", 164, u32::MAX, ErrorKind::TooCostly),
        ("slot state", 208, 1, ErrorKind::Damaged),
        ("slot iterations", 212, 0, ErrorKind::Damaged),
        ("slot iterations", 212, u32::MAX, ErrorKind::TooCostly),
        ("slot offset", 248, 0, ErrorKind::Damaged),
        ("slot offset", 248, 10_000, ErrorKind::Truncated),
        ("slot offset", 248, u32::MAX, ErrorKind::Damaged),
        ("stripes", 252, u32::MAX, ErrorKind::Damaged),
    ];
    for (what, offset, value, expected) in cases {
        let mut image = fixture("luks1-xts.hdr");
        image[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
        assert_eq!(error.kind(), expected, "{what} = {value}: {error}");
    }

    // Two slots on the same place; names that are no text, no hash, no cipher.
    let mut image = fixture("luks1-xts.hdr");
    image.copy_within(208..256, 256);
    assert_eq!(inspect_error(&image).kind(), ErrorKind::Damaged);
    for (offset, text, expected) in [
        (8, &b"\xff\xfe\0"[..], ErrorKind::Damaged),
        (8, b"a\nb\0", ErrorKind::Damaged),
        (8, b"serpent\0", ErrorKind::Unsupported),
        (40, b"cbc-essiv:md5\0", ErrorKind::Unsupported),
        (72, b"md5\0", ErrorKind::Unsupported),
        (72, b"\0", ErrorKind::Unsupported),
    ] {
        let mut image = fixture("luks1-xts.hdr");
        image[offset..offset + text.len()].copy_from_slice(text);
        let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
        assert_eq!(error.kind(), expected, "{text:?}: {error}");
    }
}

#[test]
fn absurd_fields_of_the_binary_luks2_header() {
    for (what, offset, bytes) in [
        ("size 0", 8, 0_u64.to_be_bytes()),
        ("size not allowed", 8, 20480_u64.to_be_bytes()),
        ("size 2^63", 8, (1_u64 << 63).to_be_bytes()),
        ("size of another copy", 8, 0x8000_u64.to_be_bytes()),
        ("own offset", 256, 16384_u64.to_be_bytes()),
        ("checksum algorithm", 72, *b"md5\0\0\0\0\0"),
        ("UUID", 168, [0xff; 8]),
    ] {
        let mut image = fixture("luks2-two-slots.hdr");
        image[16384..32768].fill(0);
        image[offset..offset + 8].copy_from_slice(&bytes);
        // The checksum is right for the size it was made with: the field itself must be refused.
        image[448..512].fill(0);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&image[..16384]);
        image[448..480].copy_from_slice(&digest);
        assert_eq!(inspect_error(&image).kind(), ErrorKind::Damaged, "{what}");
    }
}

#[test]
fn absurd_values_in_the_json() {
    let max = u64::MAX.to_string();
    let cases: Vec<(&str, Value, ErrorKind)> = vec![
        ("/keyslots", json!([]), ErrorKind::Damaged),
        ("/keyslots", json!({"x": {}}), ErrorKind::Damaged),
        ("/keyslots", json!({}), ErrorKind::NoKeyslot),
        ("/digests", json!({}), ErrorKind::NoKeyslot),
        ("/segments", json!({}), ErrorKind::Unsupported),
        ("/config", Value::Null, ErrorKind::Damaged),
        ("/keyslots/0", Value::Null, ErrorKind::Damaged),
        ("/keyslots/0/key_size", json!(0), ErrorKind::Damaged),
        ("/keyslots/0/key_size", json!(u64::MAX), ErrorKind::Damaged),
        ("/keyslots/0/key_size", json!(-1), ErrorKind::Damaged),
        ("/keyslots/0/key_size", json!("16"), ErrorKind::Damaged),
        ("/keyslots/0/key_size", json!(32), ErrorKind::Damaged),
        ("/keyslots/0/priority", json!(3), ErrorKind::Damaged),
        ("/keyslots/0/af/stripes", json!(4001), ErrorKind::Damaged),
        ("/keyslots/0/af/type", json!("luks9"), ErrorKind::WrongKey),
        ("/keyslots/0/af/hash", json!("md5"), ErrorKind::WrongKey),
        ("/keyslots/0/area/offset", json!("0"), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!("16384"), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!("98304"), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!(32768), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!(max), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!("18446744073709551616"), ErrorKind::Damaged),
        ("/keyslots/0/area/offset", json!("1048576"), ErrorKind::Truncated),
        ("/keyslots/0/area/size", json!("0"), ErrorKind::Damaged),
        ("/keyslots/0/area/size", json!("63999"), ErrorKind::Damaged),
        ("/keyslots/0/area/size", json!(max), ErrorKind::Damaged),
        ("/keyslots/0/area/encryption", json!("rot13"), ErrorKind::WrongKey),
        ("/keyslots/0/area/key_size", json!(17), ErrorKind::WrongKey),
        ("/keyslots/0/area/key_size", json!(513), ErrorKind::Damaged),
        ("/keyslots/0/kdf/type", json!("scrypt"), ErrorKind::WrongKey),
        ("/keyslots/0/kdf/salt", json!("!"), ErrorKind::Damaged),
        ("/keyslots/0/kdf/iterations", json!(0), ErrorKind::Damaged),
        ("/keyslots/0/kdf/iterations", json!(u32::MAX), ErrorKind::TooCostly),
        ("/keyslots/0/kdf/iterations", json!(u64::from(u32::MAX) + 1), ErrorKind::Damaged),
        ("/keyslots/1/kdf/memory", json!(u32::MAX), ErrorKind::TooCostly),
        ("/keyslots/1/kdf/time", json!(u32::MAX), ErrorKind::TooCostly),
        ("/keyslots/1/kdf/cpus", json!(u32::MAX), ErrorKind::WrongKey),
        ("/keyslots/1/kdf/memory", json!(0), ErrorKind::WrongKey),
        ("/digests/0/type", json!("blake"), ErrorKind::Unsupported),
        ("/digests/0/digest", json!(""), ErrorKind::Damaged),
        ("/digests/0/digest", json!("AAAA"), ErrorKind::Damaged),
        ("/digests/0/iterations", json!(u32::MAX), ErrorKind::TooCostly),
        ("/digests/0/hash", json!("md5"), ErrorKind::Unsupported),
        ("/digests/0/keyslots", json!([max]), ErrorKind::Damaged),
        ("/segments/0/offset", json!("-1"), ErrorKind::Damaged),
        ("/segments/0/size", json!("a lot"), ErrorKind::Damaged),
        ("/segments/0/sector_size", json!(0), ErrorKind::Unsupported),
        ("/segments/0/sector_size", json!(u32::MAX), ErrorKind::Unsupported),
    ];
    for (pointer, value, expected) in cases {
        let image = with_json(fixture("luks2-two-slots.hdr"), |json| {
            *json.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.clone();
            // A field that was not there before.
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = if parent.is_empty() { json } else { json.pointer_mut(parent).unwrap() };
            parent.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
        });
        let error = luks::unlock(&image, b"a wrong secret", &cheap()).unwrap_err();
        assert_eq!(error.kind(), expected, "{pointer} = {value}: {error}");
    }
}

#[test]
fn absurd_segments_are_found_when_the_data_are_opened() {
    let max = u64::MAX.to_string();
    for (offset, size) in
        [(max.as_str(), "dynamic"), ("0", max.as_str()), (max.as_str(), max.as_str()), ("4097", "dynamic")]
    {
        let image = with_json(fixture("luks2-two-slots.hdr"), |json| {
            json["segments"]["0"]["offset"] = offset.into();
            json["segments"]["0"]["size"] = size.into();
            json["segments"]["0"]["iv_tweak"] = max.as_str().into();
        });
        luks::inspect(&image).unwrap();
        let unlocked = luks::unlock(&image, FIRST, &cheap()).unwrap();
        let error = unlocked.view(vec![0; 4096]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{offset} {size}");
    }
}

/// A 4 MiB header full of one text, sealed.
fn large(text: &[u8]) -> Vec<u8> {
    let small = fixture("luks2-two-slots.hdr");
    let mut image = vec![0; 4 << 20];
    image[..4096].copy_from_slice(&small[..4096]);
    image[8..16].copy_from_slice(&(4_u64 << 20).to_be_bytes());
    let length = text.len().min(image.len() - 4097);
    image[4096..4096 + length].copy_from_slice(&text[..length]);
    seal(&mut image, 0);
    image
}

#[test]
fn json_bombs_are_refused_in_little_time_and_memory() {
    let room = (4 << 20) - 4200;
    let rest = r#""digests":{},"segments":{},"config":{}}"#;
    let filled = |start: &str, unit: &str, end: &str| {
        let count = (room - start.len() - end.len() - rest.len()) / unit.len();
        format!("{start}{}{end}{rest}", unit.repeat(count))
    };
    let bombs = [
        "[".repeat(room),
        "{\"a\":".repeat(room / 5),
        filled(r#"{"keyslots":{},"tokens":"#, "[", ""),
        filled(r#"{"keyslots":{"0":"#, "[", ""),
        filled(r#"{"keyslots":["#, "1,", "1],"),
        filled(r#"{"keyslots":{"#, r#""1":{},"#, r#""2":{}},"#),
        filled(r#"{"tokens":["#, "0,", r#"0],"keyslots":[],"#),
        filled(r#"{"tokens":{"#, r#""":0,"#, r#""":0},"keyslots":[],"#),
        filled(r#"{"keyslots":{"0":{"type":"luks2","flags":["#, r#""a","#, "0]}},"),
        filled(r#"{"config":{"requirements":{"mandatory":["#, r#""a","#, r#""a"]}},"keyslots":{},"#),
        filled(r#"{"keyslots":{"0":{"type":""#, "\\u0041", r#""}},"#),
        filled(r#"{"keyslots":{"0":{"type":"luks2","key_size":""#, "A", r#""}},"#),
        filled(r#"{"keyslots":""#, "A", r#"","#),
        "9".repeat(room),
        format!("-{}", "0".repeat(room)),
    ];
    let before = peak_memory_kib();
    for bomb in &bombs {
        let image = large(bomb.as_bytes());
        let error = inspect_error(&image);
        // A keyslot whose type is a text of 4 MiB is one we do not know; but the other copy is missing.
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Truncated), "{error:?}");
        assert!(format!("{error:?}").len() < 400, "{error}");
    }
    // Two images of 4 MiB are the test's own; the rest is ours and that of the tests running beside.
    if let (Some(before), Some(after)) = (before, peak_memory_kib()) {
        assert!(after - before < 32 << 10, "{} KiB", after - before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any text in the place of the JSON, near to a sound one.
    #[test]
    fn edited_json_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        let mut image = fixture("luks2-two-slots.hdr");
        let mut text = serde_json::to_vec(&json(&image)).unwrap();
        for (place, what, byte) in edits {
            let place = place.index(text.len());
            match what {
                0 => text[place] = byte,
                1 => text.insert(place, b"0123456789\"{}[],:-"[byte as usize % 18]),
                2 => drop(text.remove(place)),
                _ => text[place] = b"0123456789"[byte as usize % 10],
            }
        }
        set_json(&mut image, &text);
        let _ = luks::inspect(&image);
        if let Ok(unlocked) = luks::unlock(&image, FIRST, &cheap()) {
            prop_assert_eq!(unlocked.volume_key().expose(), counting_key(16));
            let _ = unlocked.view(vec![0; 8192]);
        }
    }

    /// Random bytes behind a magic number.
    #[test]
    fn random_headers_never_panic(version in 0..4_u8, bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut image = b"LUKS\xba\xbe\0".to_vec();
        image.push(version);
        image.extend(bytes);
        prop_assert!(luks::unlock(&image, FIRST, &cheap()).is_err());
    }
}
