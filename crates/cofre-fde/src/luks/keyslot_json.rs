//! Keyslots in the JSON of a LUKS2 header (on-disk format, section 3.2).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    MAX_KEY_BYTES, STRIPES,
    header::{check_key_bytes, material_bytes},
    kdf::{Argon2Cost, Kdf, SaltedKdf},
    keyslot::{Priority, SlotMethod, SlotRecord},
    metadata::{base64, object, required},
    numbered::Number,
};
use crate::{error::FdeError, sector::printable};

/// What is read of a keyslot of any type.
#[derive(Deserialize)]
struct AnyKeyslot {
    #[serde(rename = "type")]
    kind: String,
}

/// What is read of a keyslot of an unknown type, as far as it is there.
#[derive(Default, Deserialize)]
struct ForeignKeyslot {
    key_size: Option<u32>,
    priority: Option<u8>,
    area: Option<AreaPlace>,
}

#[derive(Deserialize)]
struct AreaPlace {
    offset: Number,
    size: Number,
}

#[derive(Deserialize)]
struct Luks2Keyslot {
    key_size: u64,
    priority: Option<u8>,
    af: AntiForensic,
    area: Area,
    kdf: KdfObject,
}

#[derive(Deserialize)]
struct AntiForensic {
    #[serde(rename = "type")]
    kind: String,
    stripes: Option<u32>,
    hash: Option<String>,
}

#[derive(Deserialize)]
struct Area {
    #[serde(rename = "type")]
    kind: String,
    offset: Number,
    size: Number,
    encryption: String,
    key_size: u64,
}

#[derive(Deserialize)]
struct KdfObject {
    #[serde(rename = "type")]
    kind: String,
    salt: String,
    hash: Option<String>,
    iterations: Option<u32>,
    time: Option<u32>,
    memory: Option<u32>,
    cpus: Option<u32>,
}

pub(super) fn keyslot(number: u32, raw: &RawValue) -> Result<SlotRecord, FdeError> {
    let what = format!("keyslot {number}");
    let any: AnyKeyslot = object(raw, &what)?;
    if any.kind != "luks2" {
        return Ok(foreign_keyslot(number, &any.kind, raw));
    }
    let slot: Luks2Keyslot = object(raw, &what)?;
    let priority = match slot.priority {
        None | Some(1) => Priority::Normal,
        Some(0) => Priority::Ignore,
        Some(2) => Priority::Prefer,
        Some(other) => return Err(FdeError::damaged(format!("{what} has the priority {other}"))),
    };
    let key_bytes = check_key_bytes(slot.key_size, &format!("the key of {what}"))?;
    let (area_offset, area_size) = (slot.area.offset.0, slot.area.size.0);
    if area_size < material_bytes(key_bytes) {
        return Err(FdeError::damaged(format!("the key area of {what} is too small: {area_size} bytes")));
    }
    let method = slot_method(slot, &what)?;
    Ok(SlotRecord { number, kind: any.kind, priority, key_bytes, area_offset, area_size, method })
}

/// A slot of a type that is not known, or no keyslot in truth (`reencrypt`): it is listed, and its
/// area, if it has one, counts as part of the header.
fn foreign_keyslot(number: u32, kind: &str, raw: &RawValue) -> SlotRecord {
    let slot: ForeignKeyslot = serde_json::from_str(raw.get()).unwrap_or_default();
    SlotRecord {
        number,
        kind: printable(kind),
        priority: if slot.priority == Some(0) { Priority::Ignore } else { Priority::Normal },
        key_bytes: slot.key_size.filter(|bytes| *bytes <= MAX_KEY_BYTES).unwrap_or(0),
        area_offset: slot.area.as_ref().map_or(0, |area| area.offset.0),
        area_size: slot.area.as_ref().map_or(0, |area| area.size.0),
        method: Err(format!("keyslot of the type {}", printable(kind))),
    }
}

/// How a slot of the type `luks2` is opened; the inner error is the name of what is not known.
fn slot_method(slot: Luks2Keyslot, what: &str) -> Result<Result<SlotMethod, String>, FdeError> {
    if slot.area.kind != "raw" {
        return Ok(Err(format!("key area of the type {}", printable(&slot.area.kind))));
    }
    if slot.af.kind != "luks1" {
        return Ok(Err(format!("anti-forensic splitter of the type {}", printable(&slot.af.kind))));
    }
    let stripes = required(slot.af.stripes, what, "number of stripes")?;
    if stripes != STRIPES {
        return Err(FdeError::damaged(format!("{what} has {stripes} stripes instead of {STRIPES}")));
    }
    let area_key_bytes = check_key_bytes(slot.area.key_size, &format!("the area key of {what}"))?;
    let af_hash = required(slot.af.hash, what, "hash")?;
    let area_cipher = slot.area.encryption;
    Ok(salted_kdf(slot.kdf, what)?.map(|kdf| SlotMethod { kdf, area_cipher, area_key_bytes, af_hash }))
}

fn salted_kdf(object: KdfObject, what: &str) -> Result<Result<SaltedKdf, String>, FdeError> {
    let argon2 = |object: &KdfObject| {
        Ok::<_, FdeError>(Argon2Cost {
            passes: required(object.time, what, "time cost")?,
            memory_kib: required(object.memory, what, "memory cost")?,
            lanes: required(object.cpus, what, "number of cpus")?,
        })
    };
    let kdf = match object.kind.as_str() {
        "pbkdf2" => Kdf::Pbkdf2 {
            hash: printable(&required(object.hash, what, "hash")?),
            iterations: required(object.iterations.filter(|n| *n > 0), what, "number of iterations")?,
        },
        "argon2i" => Kdf::Argon2i(argon2(&object)?),
        "argon2id" => Kdf::Argon2id(argon2(&object)?),
        other => return Ok(Err(format!("key derivation {}", printable(other)))),
    };
    Ok(Ok(SaltedKdf { kdf, salt: base64(&object.salt, &format!("the salt of {what}"))? }))
}
