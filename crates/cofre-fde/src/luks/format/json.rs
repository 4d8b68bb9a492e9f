//! The JSON of a header (on-disk format, section 3), in cryptsetup's order of fields and without
//! white space; the readers are `metadata` and `keyslot_json`.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde::Serialize;

use super::{
    invalid,
    write::{AF_HASH, AREA_CIPHER, AREA_KEY, HeaderPlan},
};
use crate::{
    error::FdeError,
    luks::{
        STRIPES,
        header2::BINARY,
        kdf::{Kdf, SaltedKdf},
    },
};

/// A keyslot that is to be written.
pub(super) struct KeyslotPlan {
    pub(super) kdf: SaltedKdf,
    pub(super) area_offset: u64,
    pub(super) area_size: u64,
    pub(super) key_bytes: u32,
}

#[derive(Serialize)]
struct Document<'a> {
    keyslots: BTreeMap<usize, Keyslot<'a>>,
    tokens: BTreeMap<usize, ()>,
    segments: BTreeMap<usize, SegmentObject>,
    digests: BTreeMap<usize, Digest<'a>>,
    config: Config,
}

#[derive(Serialize)]
struct Keyslot<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    key_size: u32,
    af: AntiForensic,
    area: Area,
    kdf: KdfObject<'a>,
}

#[derive(Serialize)]
struct AntiForensic {
    #[serde(rename = "type")]
    kind: &'static str,
    stripes: u32,
    hash: &'static str,
}

#[derive(Serialize)]
struct Area {
    #[serde(rename = "type")]
    kind: &'static str,
    offset: String,
    size: String,
    encryption: &'static str,
    key_size: usize,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum KdfObject<'a> {
    Pbkdf2 { hash: &'a str, iterations: u32, salt: String },
    Argon2i { time: u32, memory: u32, cpus: u32, salt: String },
    Argon2id { time: u32, memory: u32, cpus: u32, salt: String },
}

#[derive(Serialize)]
struct SegmentObject {
    #[serde(rename = "type")]
    kind: &'static str,
    offset: String,
    size: String,
    iv_tweak: String,
    encryption: String,
    sector_size: u32,
}

#[derive(Serialize)]
struct Digest<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    keyslots: Vec<String>,
    segments: [&'static str; 1],
    hash: &'a str,
    iterations: u32,
    salt: String,
    digest: String,
}

#[derive(Serialize)]
struct Config {
    json_size: String,
    keyslots_size: String,
}

/// The whole document as text.
pub(super) fn document(
    plan: &HeaderPlan<'_>,
    slots: &[KeyslotPlan],
    areas_size: u64,
) -> Result<String, FdeError> {
    let segment = plan.segment;
    let document = Document {
        keyslots: slots.iter().map(keyslot).enumerate().collect(),
        tokens: BTreeMap::new(),
        segments: BTreeMap::from([(
            0,
            SegmentObject {
                kind: "crypt",
                offset: segment.offset.to_string(),
                size: segment.size.map_or_else(|| "dynamic".to_owned(), |size| size.to_string()),
                iv_tweak: segment.iv_tweak.to_string(),
                encryption: segment.cipher.to_string(),
                sector_size: segment.sector_size,
            },
        )]),
        digests: BTreeMap::from([(
            0,
            Digest {
                kind: "pbkdf2",
                keyslots: (0..slots.len()).map(|number| number.to_string()).collect(),
                segments: ["0"],
                hash: &plan.digest.hash,
                iterations: plan.digest.iterations,
                salt: Base64::encode_string(&plan.digest.salt),
                digest: Base64::encode_string(&plan.digest.digest),
            },
        )]),
        config: Config {
            json_size: (plan.copy_size - BINARY as u64).to_string(),
            keyslots_size: areas_size.to_string(),
        },
    };
    serde_json::to_string(&document).map_err(|error| invalid("the header cannot be written").because(error))
}

fn keyslot(slot: &KeyslotPlan) -> Keyslot<'_> {
    let salt = Base64::encode_string(&slot.kdf.salt);
    Keyslot {
        kind: "luks2",
        key_size: slot.key_bytes,
        af: AntiForensic { kind: "luks1", stripes: STRIPES, hash: AF_HASH.name() },
        area: Area {
            kind: "raw",
            offset: slot.area_offset.to_string(),
            size: slot.area_size.to_string(),
            encryption: AREA_CIPHER,
            key_size: AREA_KEY,
        },
        kdf: match &slot.kdf.kdf {
            Kdf::Pbkdf2 { hash, iterations } => KdfObject::Pbkdf2 { hash, iterations: *iterations, salt },
            Kdf::Argon2i(cost) => {
                KdfObject::Argon2i { time: cost.passes, memory: cost.memory_kib, cpus: cost.lanes, salt }
            }
            Kdf::Argon2id(cost) => {
                KdfObject::Argon2id { time: cost.passes, memory: cost.memory_kib, cpus: cost.lanes, salt }
            }
        },
    }
}
