//! Whole disks whose plaintext other readers agreed on. `COFRE_TESTDATA` names the directory that
//! holds them, in `luks/`; without it these tests are passed over. `xz` and `gunzip` unpack them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cofre_fde::{
    ErrorKind, FileSource, Limits, Mapping as _, ReadAt,
    luks::{self, SlotState, Unlocked},
};
use sha2::{Digest as _, Sha256};

fn testdata() -> Option<PathBuf> {
    let directory = std::env::var_os("COFRE_TESTDATA").map(|root| Path::new(&root).join("luks"));
    let found = directory.filter(|directory| directory.is_dir());
    if found.is_none() {
        eprintln!("passed over: COFRE_TESTDATA names no directory with test images");
    }
    found
}

/// Unpacks an image into a file without a name.
fn unpack(packed: &Path) -> FileSource {
    let file = tempfile::tempfile().unwrap();
    let tool = if packed.extension().is_some_and(|extension| extension == "xz") { "xz" } else { "gunzip" };
    let status = Command::new(tool)
        .arg("-dc")
        .stdin(File::open(packed).unwrap_or_else(|error| panic!("{}: {error}", packed.display())))
        .stdout(Stdio::from(file.try_clone().unwrap()))
        .status()
        .unwrap();
    assert!(status.success(), "{tool} {}", packed.display());
    FileSource::new(file).unwrap()
}

fn sha256(source: &dyn ReadAt) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < source.size() {
        let length = usize::try_from(source.size() - offset).unwrap().min(buffer.len());
        source.read_exact_at(&mut buffer[..length], offset).unwrap();
        hasher.update(&buffer[..length]);
        offset += length as u64;
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decrypting and encrypting the whole segment gives back the stored bytes.
fn assert_reversible(unlocked: &Unlocked, data: &FileSource) {
    let mapping = unlocked.mapping(data.size()).unwrap();
    let start = unlocked.segment().offset;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < mapping.view_size() {
        let length = usize::try_from(mapping.view_size() - done).unwrap().min(buffer.len());
        let piece = &mut buffer[..length];
        data.read_exact_at(piece, start + done).unwrap();
        let stored = piece.to_vec();
        mapping.decrypt(start + done, piece).unwrap();
        assert!(piece != stored);
        mapping.encrypt(start + done, piece).unwrap();
        assert!(piece == stored, "at byte {done} of the segment");
        done += length as u64;
    }
}

#[test]
fn disks_with_a_file_system_give_the_digest_that_dm_crypt_gave() {
    let Some(directory) = testdata() else { return };
    for (name, digest) in [
        ("luks2-xts256-4k", "c9854ede70a0b491a436309579df8f70f0181f7e07a8e964506610d3188bb37b"),
        ("luks2-xts256-512", "0419edc87a59ff913af03efc2fd5666031283b3c37873d42563a11bf612b4859"),
        ("luks1-xts256", "b9237c4cd11c0fa9db4437da019d1c1d5d863c9247351d68a24ca8564046c4c7"),
        ("luks1-cbc-essiv", "3d1696bfeead21d56e44468cf329574795e35677899386191102f95a5cfa0210"),
    ] {
        let disk = unpack(&directory.join(format!("{name}.img.xz")));
        let key = std::fs::read(directory.join(format!("{name}.key"))).unwrap();
        let unlocked = luks::unlock(&disk, &key, &Limits::default()).unwrap();
        assert_eq!(sha256(&unlocked.view(&disk).unwrap()), digest, "{name}");
        assert_reversible(&unlocked, &disk);
    }
}

#[test]
fn a_disk_with_a_detached_header_gives_the_digest_that_dm_crypt_gave() {
    let Some(directory) = testdata() else { return };
    let header = unpack(&directory.join("luks2-detached.hdr.xz"));
    let data = unpack(&directory.join("luks2-detached.img.xz"));
    let key = std::fs::read(directory.join("luks2-detached.key")).unwrap();
    let unlocked = luks::unlock(&header, &key, &Limits::default()).unwrap();
    let view = unlocked.view(&data).unwrap();
    assert_eq!(sha256(&view), "4f7429b1d5dae55e9fc03d868f17c7c37013a57091dce6b9e35c77189cfb3608");
    assert_reversible(&unlocked, &data);
    assert_eq!(luks::inspect(&data).unwrap_err().kind(), ErrorKind::NotEncrypted);
}

/// The digest of the first is that of `qemu-img convert` on the same image. QEMU refuses the old header
/// of the third; its digest was checked sector by sector with cryptsetup's volume key and OpenSSL.
#[test]
fn old_images_open() {
    let Some(directory) = testdata() else { return };
    for (name, payload, slots, digest) in [
        ("compatimage", 1032, 1, "7428e8f2436882a07eb32765086f5c899474c08b5576f556b573d2aabdf923e8"),
        ("compatimage2", 8192, 2, "38ef2d1b8c387efb50680e1d3f234f170d2b7b6c6d9eb856b4f426543a6c4ef2"),
        ("compatv10image", 1010, 1, "653c841dcef99d47a93752cdf7bf01145b061902c4a457a61198405fdfe9971c"),
    ] {
        let disk = unpack(&directory.join(format!("{name}.img.xz")));
        let info = luks::inspect(&disk).unwrap();
        assert_eq!((info.data_offset, info.keyslots.len()), (payload * 512, slots), "{name}");
        let unlocked = luks::unlock(&disk, b"compatkey", &Limits::default()).unwrap();
        assert_eq!(unlocked.slot(), 0);
        assert_eq!(sha256(&unlocked.view(&disk).unwrap()), digest, "{name}");
        assert_reversible(&unlocked, &disk);
        if slots == 2 {
            // The argon2id slot has another passphrase; cryptsetup does not open it with this one either.
            let error = luks::unlock_slot(&disk, 1, b"compatkey", &Limits::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKey);
        }
    }
}

/// Sector n of the plaintext is 512 bytes of value n. Two of the three need 1 GiB for Argon2.
#[test]
fn small_images_with_a_known_pattern() {
    let Some(directory) = testdata() else { return };
    for (name, memory_kib) in [
        ("fve-luks1-sha1", 0),
        ("fve-luks2-aes-xts-plain64", 802_200),
        ("fve-luks2-aes-cbc-plain", 1_048_576),
    ] {
        let disk = unpack(&directory.join(format!("{name}.bin.gz")));
        if memory_kib > 0 {
            let limits = Limits { argon2_memory_kib: memory_kib - 1, ..Limits::default() };
            let error = luks::unlock(&disk, b"password", &limits).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooCostly);
            assert!(error.to_string().contains("`argon2_memory_kib`"), "{error}");
        }
        let limits = Limits { argon2_memory_kib: memory_kib, ..Limits::default() };
        let view = luks::unlock(&disk, b"password", &limits).unwrap().view(&disk).unwrap();
        let mut plain = vec![0; 2048];
        view.read_exact_at(&mut plain, 0).unwrap();
        for (sector, bytes) in (0_u8..).zip(plain.chunks(512)) {
            assert!(bytes.iter().all(|byte| *byte == sector), "{name}, sector {sector}");
        }
    }
}

#[test]
fn an_unbound_keyslot_is_seen() {
    let Some(directory) = testdata() else { return };
    let disk = unpack(&directory.join("luks2_keyslot_unassigned.img.xz"));
    let info = luks::inspect(&disk).unwrap();
    let states: Vec<_> = info.keyslots.iter().map(|slot| (slot.number, slot.state.clone())).collect();
    assert!(
        states.contains(&(0, SlotState::Active)) && states.contains(&(1, SlotState::Unbound)),
        "{states:?}"
    );
}

#[test]
fn headers_of_every_size_are_read() {
    let Some(directory) = testdata() else { return };
    let mut archive = unpack_to_memory(&directory.join("luks2_mda_images.tar.xz"));
    let mut sizes = Vec::new();
    while let Some((name, disk)) = next_member(&mut archive) {
        let copies = luks::inspect(&disk).unwrap().copies.unwrap();
        assert!(name.ends_with(&format!("_{}", copies.size / 1024)), "{name}: {}", copies.size);
        sizes.push(copies.size);

        // Each opens from its secondary copy alone as well.
        let mut wrecked = disk;
        wrecked[..4096].fill(0);
        assert_eq!(luks::inspect(&wrecked).unwrap().copies.unwrap().size, copies.size);
    }
    sizes.sort_unstable();
    assert_eq!(sizes, (14..=22).map(|power| 1 << power).collect::<Vec<u64>>());
}

fn unpack_to_memory(packed: &Path) -> Vec<u8> {
    let source = unpack(packed);
    let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Cuts the first file off a tar archive: name and bytes.
fn next_member(archive: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let field = |bytes: &[u8]| {
        let mut text = String::new();
        bytes.split(|byte| *byte == 0).next()?.read_to_string(&mut text).ok()?;
        Some(text)
    };
    let name = field(archive.get(..100)?).filter(|name| !name.is_empty())?;
    let size = usize::from_str_radix(field(&archive[124..136])?.trim(), 8).ok()?;
    let rest = archive.split_off(512);
    let mut bytes = rest;
    *archive = bytes.split_off(size.next_multiple_of(512));
    bytes.truncate(size);
    Some((name, bytes))
}
