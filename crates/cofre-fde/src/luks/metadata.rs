//! The JSON of a LUKS2 header (on-disk format, section 3): digests and segments, and all of it together.

use base64ct::{Base64, Encoding};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

use super::{
    header::{DataSegment, KeyDigest},
    keyslot::SlotRecord,
    keyslot_json,
    numbered::{Number, Numbered, Short},
};
use crate::{error::FdeError, sector::printable};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keyslots: Numbered<'a>,
    #[serde(borrow)]
    digests: Numbered<'a>,
    #[serde(borrow)]
    segments: Numbered<'a>,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Short<String>,
}

#[derive(Deserialize)]
struct DigestObject {
    #[serde(rename = "type")]
    kind: String,
    keyslots: Short<Number>,
    segments: Short<Number>,
    hash: Option<String>,
    iterations: Option<u32>,
    salt: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
struct SegmentObject {
    #[serde(rename = "type")]
    kind: String,
    offset: Number,
    size: String,
    iv_tweak: Option<Number>,
    encryption: Option<String>,
    sector_size: Option<u32>,
    integrity: Option<IgnoredAny>,
    #[serde(default)]
    flags: Short<String>,
}

/// What the JSON says.
pub(super) struct Metadata {
    pub(super) keyslots: Vec<SlotRecord>,
    pub(super) digests: Vec<KeyDigest>,
    pub(super) data: DataSegment,
    pub(super) opaque: Option<String>,
}

/// Parses the JSON area of a header, which ends at its first NUL.
pub(super) fn parse(area: &[u8]) -> Result<Metadata, FdeError> {
    let length = area.iter().position(|byte| *byte == 0);
    let length = length.ok_or_else(|| FdeError::damaged("the JSON area of the header has no end"))?;
    let document: Document =
        serde_json::from_slice(&area[..length]).map_err(|error| unexpected("the JSON", &error))?;

    let keyslots = document.keyslots.0.iter().map(|(number, raw)| keyslot_json::keyslot(*number, raw));
    let keyslots = keyslots.collect::<Result<Vec<_>, _>>()?;
    let segments = document
        .segments
        .0
        .iter()
        .map(|(number, raw)| Ok((*number, object::<SegmentObject>(raw, &format!("segment {number}"))?)));
    let segments = segments.collect::<Result<Vec<_>, FdeError>>()?;
    let mut opaque = why_opaque(&document.config.requirements.mandatory.0, &segments);

    let only_segment = match (&opaque, segments.as_slice()) {
        (None, [(number, _)]) => Some(u64::from(*number)),
        _ => None,
    };
    let mut digests = Vec::new();
    for (number, raw) in &document.digests.0 {
        let what = format!("digest {number}");
        let digest: DigestObject = object(raw, &what)?;
        if digest.kind == "pbkdf2" {
            digests.push(key_digest(digest, only_segment, &what)?);
        } else {
            let reason = format!("digest {number} is of the type {}", printable(&digest.kind));
            opaque.get_or_insert(reason);
        }
    }
    let data = data_segment(&segments, &keyslots, &digests)?;
    Ok(Metadata { keyslots, digests, data, opaque })
}

pub(super) fn object<T: DeserializeOwned>(raw: &RawValue, what: &str) -> Result<T, FdeError> {
    serde_json::from_str(raw.get()).map_err(|error| unexpected(what, &error))
}

/// The parser's errors quote what they met, at any length: they are cut, and not kept as a source.
fn unexpected(what: &str, error: &serde_json::Error) -> FdeError {
    let place = format!("line {}, column {}", error.line(), error.column());
    FdeError::damaged(format!(
        "{what} in the header is not as it should be ({place}): {}",
        printable(&error.to_string())
    ))
}

pub(super) fn base64(text: &str, what: &str) -> Result<Vec<u8>, FdeError> {
    Base64::decode_vec(text).map_err(|_| FdeError::damaged(format!("{what} is not base64")))
}

pub(super) fn required<T>(field: Option<T>, what: &str, name: &str) -> Result<T, FdeError> {
    field.ok_or_else(|| FdeError::damaged(format!("{what} in the header has no {name}")))
}

/// A digest is bound when it belongs to the one data segment, or, in a header with several
/// segments, to any.
fn key_digest(object: DigestObject, only_segment: Option<u64>, what: &str) -> Result<KeyDigest, FdeError> {
    let bound = match only_segment {
        Some(number) => object.segments.0.contains(&Number(number)),
        None => !object.segments.0.is_empty(),
    };
    let keyslots = object.keyslots.0.iter().map(|number| {
        u32::try_from(number.0)
            .map_err(|_| FdeError::damaged(format!("{what} names a keyslot that cannot be")))
    });
    KeyDigest {
        keyslots: keyslots.collect::<Result<_, _>>()?,
        bound,
        hash: required(object.hash, what, "hash")?,
        iterations: required(object.iterations, what, "number of iterations")?,
        salt: base64(&required(object.salt, what, "salt")?, &format!("the salt of {what}"))?,
        digest: base64(&required(object.digest, what, "digest")?, what)?,
    }
    .checked(what)
}

/// Why the data cannot be mapped: everything but one plain crypt segment.
fn why_opaque(requirements: &[String], segments: &[(u32, SegmentObject)]) -> Option<String> {
    if let Some(requirement) = requirements.first() {
        let name = printable(requirement);
        let what = if name.contains("reencrypt") { "re-encryption under way" } else { "unknown requirement" };
        return Some(format!("{what} ({name})"));
    }
    let [(number, segment)] = segments else {
        let backup = segments.iter().any(|(_, segment)| segment.is_backup());
        let what = if backup { "re-encryption under way: " } else { "" };
        return Some(format!("{what}{} data segments instead of one", segments.len()));
    };
    if segment.kind != "crypt" {
        return Some(format!("segment {number} is of the type {}", printable(&segment.kind)));
    }
    if segment.is_backup() {
        return Some(format!("re-encryption under way: segment {number} is a backup of another"));
    }
    segment.integrity.is_some().then(|| "data integrity protection (dm-integrity)".to_owned())
}

impl SegmentObject {
    fn is_backup(&self) -> bool {
        self.flags.0.iter().any(|flag| flag.starts_with("backup-"))
    }
}

/// The first segment that is no backup stands for the data; what several of them mean is for
/// `why_opaque`.
fn data_segment(
    segments: &[(u32, SegmentObject)],
    keyslots: &[SlotRecord],
    digests: &[KeyDigest],
) -> Result<DataSegment, FdeError> {
    let mut live = segments.iter().map(|(_, segment)| segment).filter(|segment| !segment.is_backup());
    let first = live.next();
    let bound = |number| digests.iter().any(|digest| digest.bound && digest.keyslots.contains(&number));
    let size = match first.map(|segment| segment.size.as_str()) {
        None | Some("dynamic") => None,
        Some(text) => {
            Some(text.parse().map_err(|_| FdeError::damaged("the size of a segment is no number"))?)
        }
    };
    Ok(DataSegment {
        offset: live
            .map(|segment| segment.offset.0)
            .fold(first.map_or(0, |segment| segment.offset.0), u64::min),
        size,
        iv_tweak: first.and_then(|segment| segment.iv_tweak).map_or(0, |tweak| tweak.0),
        cipher: first.and_then(|segment| segment.encryption.as_deref()).map_or_else(String::new, printable),
        sector_size: first.and_then(|segment| segment.sector_size).unwrap_or(512),
        key_bytes: keyslots.iter().find(|slot| bound(slot.number)).map(|slot| slot.key_bytes),
    })
}
