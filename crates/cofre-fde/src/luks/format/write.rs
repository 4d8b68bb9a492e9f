//! Puts a header together: keyslots, JSON, both copies.

use zeroize::Zeroizing;

use super::{
    MAX_SECRETS, binary, invalid,
    json::{self, KeyslotPlan},
    random::Random,
};
use crate::{
    error::FdeError,
    hash::HashAlgorithm,
    limits::{Budget, Limits},
    luks::{
        antiforensic,
        header::{KeyDigest, material_bytes},
        kdf::{Kdf, SaltedKdf},
        mapping::Segment,
    },
    sector::{CipherSpec, SectorCipher},
};

/// Key areas begin and end on multiples of this, in bytes, and so do the data.
const ALIGNMENT: u64 = 4096;
/// The largest space for key areas that cryptsetup accepts, in bytes.
const MAX_AREAS: u64 = 128 << 20;
/// Key areas are encrypted with AES-256-XTS, whatever the data are.
pub(super) const AREA_CIPHER: &str = "aes-xts-plain64";
pub(super) const AREA_KEY: usize = 64;
pub(super) const AF_HASH: HashAlgorithm = HashAlgorithm::Sha256;
/// Fewest PBKDF2 iterations that cryptsetup writes.
const MIN_ITERATIONS: u32 = 1000;
/// Longest secret that cryptsetup takes from a key file, in bytes.
const MAX_SECRET: usize = 8 << 20;

/// Names of a volume.
pub(super) struct Identity {
    pub(super) uuid: String,
    pub(super) label: String,
    pub(super) subsystem: String,
}

/// All that a header says, but its keyslots.
pub(super) struct HeaderPlan<'a> {
    pub(super) identity: Identity,
    /// Length of one copy in bytes.
    pub(super) copy_size: u64,
    pub(super) sequence: u64,
    pub(super) segment: &'a Segment,
    pub(super) digest: &'a KeyDigest,
    pub(super) kdf: &'a Kdf,
}

impl HeaderPlan<'_> {
    /// The bytes of the header up to the end of the last key area.
    pub(super) fn write(
        &self,
        key: &[u8],
        secrets: &[&[u8]],
        random: &mut Random<'_, '_>,
    ) -> Result<Vec<u8>, FdeError> {
        self.check_identity()?;
        check_secrets(secrets)?;
        check_kdf(self.kdf)?;
        let key_bytes = u32::try_from(key.len()).map_err(|_| invalid("the volume key is too long"))?;
        let area_size = material_bytes(key_bytes).next_multiple_of(ALIGNMENT);
        let areas_start = 2 * self.copy_size;
        let end = areas_start + area_size * secrets.len() as u64;
        let areas_size = self.areas_size(areas_start, end)?;

        let slots = (0..secrets.len() as u64).map(|number| {
            Ok(KeyslotPlan {
                kdf: SaltedKdf { kdf: self.kdf.clone(), salt: random.salt()? },
                area_offset: areas_start + number * area_size,
                area_size,
                key_bytes,
            })
        });
        let slots = slots.collect::<Result<Vec<_>, FdeError>>()?;
        let text = json::document(self, &slots, areas_size)?;

        let mut bytes = vec![0; usize::try_from(end).map_err(|_| invalid("the header is too long"))?];
        // What the whole header may cost is what unlocking it with default limits may cost.
        let mut budget = Budget::new(&Limits::default());
        let mut areas = bytes.split_off(usize::try_from(areas_start).unwrap_or(usize::MAX));
        let each = areas.len() / secrets.len();
        for ((slot, secret), area) in slots.iter().zip(secrets).zip(areas.chunks_exact_mut(each)) {
            let material = key_material(slot, key, secret, &mut budget, random)?;
            area[..material.len()].copy_from_slice(&material);
        }
        for offset in [0, self.copy_size] {
            let mut salt = [0; binary::SALT];
            random.fill(&mut salt)?;
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let length = usize::try_from(self.copy_size).unwrap_or(usize::MAX);
            binary::write_copy(&mut bytes[at..at + length], self, offset, &salt, text.as_bytes())?;
        }
        bytes.append(&mut areas);
        Ok(bytes)
    }

    fn check_identity(&self) -> Result<(), FdeError> {
        let Identity { uuid, label, subsystem } = &self.identity;
        let is_uuid = uuid.len() == 36
            && uuid.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            });
        if !is_uuid {
            return Err(invalid("the UUID is none: 8-4-4-4-12 hexadecimal digits are one"));
        }
        for (name, text) in [("label", label), ("subsystem", subsystem)] {
            if text.len() >= binary::LABEL || text.chars().any(char::is_control) {
                return Err(invalid(format!("the {name} has more than 47 bytes or a control character")));
            }
        }
        Ok(())
    }

    /// The space for key areas: up to the data, or as much as is used where there are no data.
    fn areas_size(&self, start: u64, end: u64) -> Result<u64, FdeError> {
        let data = self.segment.offset;
        if data == 0 {
            return Ok(end - start);
        }
        if data < end || !data.is_multiple_of(ALIGNMENT) {
            return Err(invalid(format!(
                "data from byte {data} on: they start at a multiple of {ALIGNMENT}, at byte {end} or behind"
            )));
        }
        Ok((data - start).min(MAX_AREAS))
    }
}

fn check_secrets(secrets: &[&[u8]]) -> Result<(), FdeError> {
    if !(1..=MAX_SECRETS).contains(&secrets.len()) {
        return Err(invalid(format!("{} secrets: one to {MAX_SECRETS} are written", secrets.len())));
    }
    if secrets.iter().any(|secret| secret.is_empty() || secret.len() > MAX_SECRET) {
        return Err(invalid("a secret is empty or longer than 8 MiB"));
    }
    Ok(())
}

fn check_kdf(kdf: &Kdf) -> Result<(), FdeError> {
    kdf.check()?;
    match kdf {
        Kdf::Pbkdf2 { iterations, .. } if *iterations < MIN_ITERATIONS => {
            Err(invalid(format!("{iterations} PBKDF2 iterations: at least {MIN_ITERATIONS} are written")))
        }
        _ => Ok(()),
    }
}

/// The content of a key area: the volume key in stripes, encrypted under the key that `secret` gives.
fn key_material(
    slot: &KeyslotPlan,
    key: &[u8],
    secret: &[u8],
    budget: &mut Budget,
    random: &mut Random<'_, '_>,
) -> Result<Zeroizing<Vec<u8>>, FdeError> {
    let area_key = slot.kdf.derive(secret, AREA_KEY, budget)?;
    let mut material = antiforensic::split(key, AF_HASH, |filler| random.fill(filler))?;
    material.resize(usize::try_from(material_bytes(slot.key_bytes)).unwrap_or(usize::MAX), 0);
    SectorCipher::new(AREA_CIPHER.parse::<CipherSpec>()?, &area_key, 512, 0)?.encrypt(0, &mut material)?;
    Ok(material)
}
