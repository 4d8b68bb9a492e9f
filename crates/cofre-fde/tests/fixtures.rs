//! Headers that cryptsetup and QEMU made (`fixtures/make_fixtures.sh`): no tool is needed to read them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use cofre_fde::{
    ErrorKind, Inspection, ReadAt as _, inspect,
    luks::{self, Argon2Cost, CopyState, HeaderCopy, Kdf, Priority, SlotState},
};
use support::{FIRST, SECOND, cheap, copy_size, counting_key, fixture, json, seal, with_json};

#[test]
fn luks1_is_described_and_opened() {
    let header = fixture("luks1-xts.hdr");
    let info = luks::inspect(&header).unwrap();
    assert_eq!((info.version, info.cipher.as_str(), info.key_bits), (1, "aes-xts-plain64", Some(256)));
    assert_eq!((info.data_offset, info.sector_size, info.opaque), (0, 512, None));
    assert_eq!(info.header_length, header.len() as u64);
    assert_eq!(info.uuid.len(), 36);
    let [slot] = info.keyslots.as_slice() else { panic!("one slot: {:?}", info.keyslots) };
    assert_eq!((slot.number, slot.state.clone(), slot.kind.as_str()), (0, SlotState::Active, "luks1"));
    assert_eq!(slot.kdf, Some(Kdf::Pbkdf2 { hash: "whirlpool".to_owned(), iterations: 1000 }));

    let unlocked = luks::unlock(&header, FIRST, &cheap()).unwrap();
    assert_eq!(unlocked.volume_key().expose(), counting_key(32));
}

#[test]
fn every_slot_of_luks2_opens_with_its_own_secret() {
    let header = fixture("luks2-two-slots.hdr");
    let info = luks::inspect(&header).unwrap();
    assert_eq!((info.version, info.label.as_deref()), (2, Some("test label")));
    assert_eq!((info.cipher.as_str(), info.key_bits), ("aes-cbc-essiv:sha256", Some(128)));
    let kdfs: Vec<_> = info.keyslots.iter().map(|slot| slot.kdf.clone().unwrap()).collect();
    let argon2id = Kdf::Argon2id(Argon2Cost { passes: 4, memory_kib: 32, lanes: 1 });
    assert_eq!(kdfs, [Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 1000 }, argon2id]);
    let copies = info.copies.unwrap();
    assert_eq!((copies.used, copies.size), (HeaderCopy::Primary, 16384));
    assert_eq!((copies.primary, copies.secondary), (CopyState::Valid, CopyState::Valid));

    for (secret, slot) in [(FIRST, 0), (SECOND, 1)] {
        let unlocked = luks::unlock(&header, secret, &cheap()).unwrap();
        assert_eq!(unlocked.slot(), slot);
        assert_eq!(unlocked.volume_key().expose(), counting_key(16));
        luks::unlock_slot(&header, slot, secret, &cheap()).unwrap();
        assert_eq!(
            luks::unlock_slot(&header, 1 - slot, secret, &cheap()).unwrap_err().kind(),
            ErrorKind::WrongKey
        );
    }
    assert_eq!(luks::unlock_slot(&header, 7, FIRST, &cheap()).unwrap_err().kind(), ErrorKind::NoKeyslot);
}

#[test]
fn argon2i_and_large_sectors() {
    let header = fixture("luks2-xts-4096.hdr");
    let unlocked = luks::unlock(&header, FIRST, &cheap()).unwrap();
    assert_eq!(unlocked.volume_key().expose(), counting_key(32));
    assert_eq!(unlocked.segment().sector_size, 4096);
    // A data device of two sectors and a bit: the bit is not mapped.
    assert_eq!(unlocked.view(vec![0; 2 * 4096 + 700]).unwrap().size(), 8192);
}

#[test]
fn data_that_qemu_wrote_read_as_they_were() {
    let mut disk = fixture("qemu-luks1.hdr");
    let info = luks::inspect(&disk).unwrap();
    disk.resize(usize::try_from(info.data_offset).unwrap(), 0);
    disk.extend(fixture("qemu-luks1.data"));

    let unlocked = luks::unlock(&disk, FIRST, &cheap()).unwrap();
    let view = unlocked.view(&disk).unwrap();
    let mut plain = vec![0; 8192];
    assert_eq!(view.size(), 8192);
    view.read_exact_at(&mut plain, 0).unwrap();
    for (sector, bytes) in (0_u8..).zip(plain.chunks(512)) {
        assert!(bytes.iter().all(|byte| *byte == sector * 7 + 1), "sector {sector}");
    }
}

#[test]
fn a_secret_counts_byte_for_byte() {
    let header = fixture("luks2-two-slots.hdr");
    for secret in [&b"first passphrase\n"[..], b"second passphrase", b"First passphrase", b""] {
        let error = luks::unlock(&header, secret, &cheap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{error}");
        assert!(!error.to_string().contains("passphrase"), "no secret in a message: {error}");
    }
}

#[test]
fn the_json_form_is_stable() {
    let info = inspect(&fixture("luks2-two-slots.hdr")).unwrap();
    let Inspection::Luks(luks) = &info else { panic!("LUKS expected") };
    let mut value = serde_json::to_value(&info).unwrap();
    assert_eq!(value["volumeKeyDigest"], luks.volume_key_digest.clone().unwrap());
    for drawn in ["uuid", "headerSha256", "volumeKeyDigest"] {
        value[drawn] = serde_json::Value::Null;
    }
    let area = |number: u64| {
        serde_json::json!({"kind": "luks2", "state": "active", "priority": "normal", "keyBits": 128,
            "areaCipher": "aes-cbc-essiv:sha256", "areaOffset": 32768 + number * 65536, "areaSize": 65536})
    };
    let (mut first, mut second) = (area(0), area(1));
    first["number"] = 0.into();
    first["kdf"] = serde_json::json!({"type": "pbkdf2", "hash": "sha256", "iterations": 1000});
    second["number"] = 1.into();
    second["kdf"] = serde_json::json!({"type": "argon2id", "passes": 4, "memoryKib": 32, "lanes": 1});
    let expected = serde_json::json!({
        "format": "luks", "version": 2, "uuid": null, "label": "test label", "subsystem": null,
        "cipher": "aes-cbc-essiv:sha256", "keyBits": 128, "sectorSize": 512, "dataOffset": 0, "dataSize": null,
        "keyslots": [first, second],
        "copies": {"used": "primary", "sequence": 4, "size": 16384, "primary": "valid", "secondary": "valid"},
        "headerLength": 163_840, "headerSha256": null, "volumeKeyDigest": null, "opaque": null,
    });
    assert_eq!(value, expected);
}

#[test]
fn either_copy_of_a_luks2_header_is_enough() {
    let sound = fixture("luks2-two-slots.hdr");
    let size = copy_size(&sound);
    let expected = luks::inspect(&sound).unwrap().volume_key_digest;
    for (damaged_at, used) in [(0, HeaderCopy::Secondary), (size, HeaderCopy::Primary)] {
        for wreck in
            [|copy: &mut [u8]| copy.fill(0), |copy: &mut [u8]| copy[5000] ^= 1, |copy: &mut [u8]| copy[7] = 9]
        {
            let mut header = sound.clone();
            wreck(&mut header[damaged_at..damaged_at + size]);
            let info = luks::inspect(&header).unwrap();
            let copies = info.copies.unwrap();
            assert_eq!(copies.used, used);
            let state = if damaged_at == 0 { copies.primary } else { copies.secondary };
            assert!(matches!(state, CopyState::Damaged(_)), "{state:?}");
            assert_eq!(info.volume_key_digest, expected);
            luks::unlock(&header, FIRST, &cheap()).unwrap();
        }
    }
    let mut header = sound;
    header[5000] ^= 1;
    header[size + 5000] ^= 1;
    assert_eq!(luks::inspect(&header).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn the_copy_with_the_larger_sequence_counts() {
    for (newer, used) in [(0, HeaderCopy::Primary), (16384, HeaderCopy::Secondary)] {
        let mut header = fixture("luks2-two-slots.hdr");
        header[newer + 23] += 1;
        header[newer + 24] = b'T';
        seal(&mut header, newer);
        let info = luks::inspect(&header).unwrap();
        assert_eq!(info.label.as_deref(), Some("Test label"));
        let copies = info.copies.unwrap();
        let stale = if newer == 0 { &copies.secondary } else { &copies.primary };
        assert_eq!((copies.used, stale), (used, &CopyState::Stale));
    }
}

/// `mkfs` on a disk that was LUKS2 may leave the secondary header in place: the file system wins.
#[test]
fn a_leftover_secondary_header_does_not_make_a_file_system_encrypted() {
    let mut disk = fixture("luks2-two-slots.hdr");
    disk[..16384].fill(0);
    assert!(luks::inspect(&disk).is_ok());
    disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(luks::inspect(&disk).unwrap_err().kind(), ErrorKind::NotEncrypted);
}

#[test]
fn priorities_and_bindings_are_honoured() {
    let ignored =
        with_json(fixture("luks2-two-slots.hdr"), |json| json["keyslots"]["0"]["priority"] = 0.into());
    assert_eq!(luks::inspect(&ignored).unwrap().keyslots[0].priority, Priority::Ignore);
    assert_eq!(luks::unlock(&ignored, FIRST, &cheap()).unwrap_err().kind(), ErrorKind::WrongKey);
    assert_eq!(luks::unlock_slot(&ignored, 0, FIRST, &cheap()).unwrap().slot(), 0);

    let unbound = with_json(fixture("luks2-two-slots.hdr"), |json| {
        json["digests"]["0"]["keyslots"] = serde_json::json!(["0"]);
    });
    assert_eq!(luks::inspect(&unbound).unwrap().keyslots[1].state, SlotState::Unbound);
    assert_eq!(luks::unlock(&unbound, SECOND, &cheap()).unwrap_err().kind(), ErrorKind::WrongKey);
    assert_eq!(luks::unlock_slot(&unbound, 1, SECOND, &cheap()).unwrap_err().kind(), ErrorKind::NoKeyslot);

    let none = with_json(fixture("luks2-two-slots.hdr"), |json| {
        json["digests"]["0"]["keyslots"] = serde_json::json!([]);
    });
    assert_eq!(luks::unlock(&none, FIRST, &cheap()).unwrap_err().kind(), ErrorKind::NoKeyslot);
}

#[test]
fn unknown_slots_and_fields_are_passed_over() {
    let image = with_json(fixture("luks2-two-slots.hdr"), |json| {
        json["keyslots"]["0"]["type"] = "future".into();
        json["keyslots"]["0"]["af"] = serde_json::json!(["other", "shape"]);
        json["keyslots"]["1"]["comment"] = serde_json::json!({"any": [1, null]});
        json["keyslots"]["9"] = serde_json::json!({"type": "bare"});
        json["tokens"]["5"] = serde_json::json!({"type": "luks2-keyring", "keyslots": ["1"]});
        json["novel"] = 5.into();
    });
    let info = luks::inspect(&image).unwrap();
    assert_eq!(info.keyslots[0].state, SlotState::Unsupported("keyslot of the type future".to_owned()));
    assert_eq!(luks::unlock(&image, SECOND, &cheap()).unwrap().slot(), 1);
    // What was not tried does not turn a wrong key into something else, but it is mentioned.
    let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey);
    assert!(error.to_string().contains("keyslot 0 not tried: keyslot of the type future"), "{error}");
}

#[test]
fn what_cannot_be_mapped_is_inspected_and_refused_by_name() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change); 10] = [
        ("serpent-xts-plain64", |json| json["segments"]["0"]["encryption"] = "serpent-xts-plain64".into()),
        ("twofish-cbc-essiv:sha256", |json| {
            json["segments"]["0"]["encryption"] = "twofish-cbc-essiv:sha256".into()
        }),
        ("cipher_null-ecb", |json| json["segments"]["0"]["encryption"] = "cipher_null-ecb".into()),
        ("aes-xts-plain64 with a key of 128 bits", |json| {
            json["segments"]["0"]["encryption"] = "aes-xts-plain64".into()
        }),
        ("sector size 8192", |json| json["segments"]["0"]["sector_size"] = 8192.into()),
        ("integrity", |json| {
            json["segments"]["0"]["integrity"] = serde_json::json!({"type": "hmac(sha256)"});
        }),
        ("re-encryption", |json| {
            json["config"]["requirements"] = serde_json::json!({"mandatory": ["online-reencrypt-v2"]});
        }),
        ("unknown requirement (novelty)", |json| {
            json["config"]["requirements"] = serde_json::json!({"mandatory": ["novelty"]});
        }),
        ("2 data segments", |json| json["segments"]["1"] = json["segments"]["0"].clone()),
        ("type linear", |json| json["segments"]["0"]["type"] = "linear".into()),
    ];
    for (reason, change) in cases {
        let image = with_json(fixture("luks2-two-slots.hdr"), change);
        let info = luks::inspect(&image).unwrap();
        let opaque = info.opaque.unwrap_or_else(|| panic!("{reason} should make the disk opaque"));
        assert!(opaque.contains(reason), "{opaque}");
        assert!(info.volume_key_digest.is_some());
        let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_slot_that_costs_too_much_does_not_hide_one_that_opens() {
    let image = with_json(fixture("luks2-two-slots.hdr"), |json| {
        json["keyslots"]["0"]["kdf"]["iterations"] = u32::MAX.into();
    });
    assert_eq!(luks::unlock(&image, SECOND, &cheap()).unwrap().slot(), 1);
    let error = luks::unlock(&image, FIRST, &cheap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooCostly);
    assert!(error.to_string().contains("`pbkdf2_iterations`"), "{error}");
}

#[test]
fn the_digest_of_the_key_ignores_everything_but_the_key() {
    let image = fixture("luks2-two-slots.hdr");
    let before = luks::inspect(&image).unwrap();
    let without_slot = with_json(image.clone(), |json| {
        json["keyslots"].as_object_mut().unwrap().remove("1");
        json["digests"]["0"]["keyslots"] = serde_json::json!(["0"]);
    });
    let after = luks::inspect(&without_slot).unwrap();
    assert_eq!(before.volume_key_digest, after.volume_key_digest);
    assert_ne!(before.header_sha256, after.header_sha256);

    let salt = json(&fixture("luks2-xts-4096.hdr"))["digests"]["0"]["salt"].clone();
    let other_key = luks::inspect(&with_json(image, |json| json["digests"]["0"]["salt"] = salt)).unwrap();
    assert_ne!(before.volume_key_digest, other_key.volume_key_digest);
}

#[test]
fn debug_output_holds_no_key() {
    let unlocked = luks::unlock(&fixture("luks1-xts.hdr"), FIRST, &cheap()).unwrap();
    let text = format!("{unlocked:?} {:?}", unlocked.mapping(4096).unwrap());
    assert!(text.contains("VolumeKey(256 bits)"));
    assert!(!text.contains("1, 2, 3"), "{text}");
}
