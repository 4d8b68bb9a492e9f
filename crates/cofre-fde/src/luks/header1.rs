//! The LUKS1 header: 592 bytes, big-endian, no checksum.

use super::{
    STRIPES,
    header::{DataSegment, Header, KeyDigest, be32, check_key_bytes, material_bytes, text},
    kdf::{Kdf, SaltedKdf},
    keyslot::{Priority, SlotMethod, SlotRecord},
};
use crate::{
    error::FdeError,
    read_at::{ReadAt, read_part},
};

/// Length of the header without key material, in bytes.
const LENGTH: usize = 592;
const SLOTS: u32 = 8;
const FIRST_SLOT: usize = 208;
const SLOT_LENGTH: usize = 48;
const ENABLED: u32 = 0x00ac_71f3;
const DISABLED: u32 = 0x0000_dead;

/// What all slots of a header share.
struct Shared {
    cipher: String,
    hash: String,
    key_bytes: u32,
}

pub(super) fn read(source: &dyn ReadAt) -> Result<Header, FdeError> {
    let mut bytes = [0; LENGTH];
    read_part(source, &mut bytes, 0, "the LUKS1 header")?;
    let cipher = format!("{}-{}", text(&bytes[8..40], "cipher name")?, text(&bytes[40..72], "cipher mode")?);
    let hash = text(&bytes[72..104], "hash name")?;
    let key_bytes = check_key_bytes(u64::from(be32(&bytes, 108)), "the volume key")?;
    let shared = Shared { cipher, hash, key_bytes };

    let mut keyslots = Vec::new();
    for number in 0..SLOTS {
        let start = FIRST_SLOT + number as usize * SLOT_LENGTH;
        keyslots.extend(keyslot(number, &bytes[start..start + SLOT_LENGTH], &shared)?);
    }
    let data_offset = u64::from(be32(&bytes, 104)) * 512;
    // cryptsetup refuses this too; 0 means that the header is detached.
    if let Some(slot) = keyslots.iter().find(|slot| data_offset != 0 && slot.area_end() > data_offset) {
        return Err(FdeError::damaged(format!(
            "keyslot {} ends at byte {}, behind the start of the data at byte {data_offset}",
            slot.number,
            slot.area_end()
        )));
    }
    let digest = KeyDigest {
        keyslots: keyslots.iter().map(|slot| slot.number).collect(),
        bound: true,
        hash: shared.hash,
        iterations: be32(&bytes, 164),
        salt: bytes[132..164].to_vec(),
        digest: bytes[112..132].to_vec(),
    };
    Ok(Header {
        version: 1,
        uuid: text(&bytes[168..208], "UUID")?,
        label: None,
        subsystem: None,
        copies: None,
        metadata_end: LENGTH as u64,
        keyslots,
        digests: vec![digest.checked("the volume key digest")?],
        data: DataSegment {
            offset: data_offset,
            size: None,
            iv_tweak: 0,
            cipher: shared.cipher,
            sector_size: 512,
            key_bytes: Some(key_bytes),
        },
        opaque: None,
    })
}

/// One of the eight slots, or `None` when it is off.
fn keyslot(number: u32, bytes: &[u8], shared: &Shared) -> Result<Option<SlotRecord>, FdeError> {
    match be32(bytes, 0) {
        ENABLED => {}
        DISABLED => return Ok(None),
        other => {
            return Err(FdeError::damaged(format!("keyslot {number} is neither on nor off ({other:#010x})")));
        }
    }
    let stripes = be32(bytes, 44);
    if stripes != STRIPES {
        return Err(FdeError::damaged(format!(
            "keyslot {number} has {stripes} stripes instead of {STRIPES}"
        )));
    }
    let iterations = be32(bytes, 4);
    if iterations == 0 {
        return Err(FdeError::damaged(format!("keyslot {number} has 0 iterations")));
    }
    let kdf = Kdf::Pbkdf2 { hash: shared.hash.clone(), iterations };
    Ok(Some(SlotRecord {
        number,
        kind: "luks1".to_owned(),
        priority: Priority::Normal,
        key_bytes: shared.key_bytes,
        area_offset: u64::from(be32(bytes, 40)) * 512,
        area_size: material_bytes(shared.key_bytes),
        method: Ok(SlotMethod {
            kdf: SaltedKdf { kdf, salt: bytes[8..40].to_vec() },
            area_cipher: shared.cipher.clone(),
            area_key_bytes: shared.key_bytes,
            af_hash: shared.hash.clone(),
        }),
    }))
}
