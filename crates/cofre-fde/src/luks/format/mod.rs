//! Writing LUKS2 headers: for a new disk, and for the same disk with other secrets.
//!
//! A header is made in memory and given to the caller as the bytes that belong at byte 0 of the disk
//! or of a header file: both copies and the key areas, nothing behind them. What lies between them
//! and the data is left alone. `cryptsetup luksFormat` fills it with random bytes, which hides
//! nothing (the header says which areas are in use) and costs 16 MiB that neither compress nor stay
//! a hole in an image or a backup; material of earlier keyslots is what has to go, and is
//! overwritten by [`rekey`].

mod binary;
mod json;
mod random;
mod write;

use std::fmt;

use zeroize::Zeroizing;

use self::{
    random::Random,
    write::{HeaderPlan, Identity},
};
use super::{
    header::{self, KeyDigest},
    header2::SMALLEST,
    kdf::Kdf,
    mapping::Segment,
    unlock::{self, Unlocked},
};
use crate::{
    error::{ErrorKind, FdeError},
    hash::HashAlgorithm,
    limits::Limits,
    read_at::ReadAt,
    secret::VolumeKey,
    sector::{CipherMode, CipherSpec, IvRule},
};

/// Where random bytes come from: fills the whole slice, as a cryptographic generator does. Taken from
/// outside, so that the program has one generator and this crate none.
pub type RandomBytes<'a> = dyn FnMut(&mut [u8]) -> std::io::Result<()> + 'a;

/// Most keyslots that are written at a time.
const MAX_SECRETS: usize = 8;
/// The volume key is random and as long as the cipher's: its digest needs no stretching. This is the
/// least that cryptsetup writes.
const DIGEST_ITERATIONS: u32 = 1000;

/// What a new LUKS2 header says. The cipher is `aes-xts-plain64`, a copy of the header has 16 KiB.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// UUID of the volume; `None`: a random one.
    pub uuid: Option<String>,
    /// Label, up to 47 bytes; may be empty.
    pub label: String,
    /// Length of the volume key: 256 (AES-128-XTS) or 512 (AES-256-XTS) bits.
    pub key_bits: u32,
    /// Sector size of the data in bytes: 512 or 4096.
    pub sector_size: u32,
    /// How a secret becomes the key of its keyslot.
    pub kdf: Kdf,
    /// First byte of the data, a multiple of 4096 behind the last key area; 0: the header is detached.
    pub data_offset: u64,
}

impl FormatOptions {
    /// AES-256-XTS in 4096-byte sectors, data from 16 MiB on, as cryptsetup writes it.
    #[must_use]
    pub fn new(kdf: Kdf) -> Self {
        Self {
            uuid: None,
            label: String::new(),
            key_bits: 512,
            sector_size: 4096,
            kdf,
            data_offset: 16 << 20,
        }
    }

    fn segment(&self) -> Result<Segment, FdeError> {
        if ![256, 512].contains(&self.key_bits) {
            return Err(invalid(format!("a volume key of {} bits: 256 or 512 are written", self.key_bits)));
        }
        if ![512, 4096].contains(&self.sector_size) {
            return Err(invalid(format!("sector size {}: 512 or 4096 are written", self.sector_size)));
        }
        Ok(Segment {
            offset: self.data_offset,
            size: None,
            cipher: CipherSpec { mode: CipherMode::Xts, iv: IvRule::Plain64 },
            sector_size: self.sector_size,
            iv_tweak: 0,
        })
    }
}

/// A header that was made, and what it unlocks to.
pub struct Formatted {
    header: Vec<u8>,
    unlocked: Unlocked,
}

impl Formatted {
    /// The bytes to write at byte 0 of the disk or header file. None of them is secret without one of
    /// the secrets.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The volume, as [`unlock`](super::unlock) would give it: its mapping encrypts the data.
    #[must_use]
    pub fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }
}

impl fmt::Debug for Formatted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, unlocked) = (self.header.len(), &self.unlocked);
        formatter.debug_struct("Formatted").field("header", &length).field("unlocked", unlocked).finish()
    }
}

/// Makes a header with a new random volume key, and one keyslot for each of `secrets`, in their order.
///
/// # Errors
/// [`ErrorKind::Invalid`] when an option is not one that is written, or the key areas do not fit
/// before the data; [`ErrorKind::TooCostly`] when unlocking would go beyond [`Limits::default`];
/// [`ErrorKind::Io`] when there are no random bytes.
pub fn format(
    options: &FormatOptions,
    secrets: &[&[u8]],
    random: &mut RandomBytes<'_>,
) -> Result<Formatted, FdeError> {
    let segment = options.segment()?;
    let mut random = Random::new(random);
    let identity = Identity {
        uuid: match &options.uuid {
            Some(uuid) => uuid.clone(),
            None => random.uuid()?,
        },
        label: options.label.clone(),
        subsystem: String::new(),
    };
    let key = random.volume_key(options.key_bits as usize / 8)?;
    let digest = new_digest(&key, &mut random)?;
    let plan = HeaderPlan {
        identity,
        copy_size: SMALLEST,
        sequence: 1,
        segment: &segment,
        digest: &digest,
        kdf: &options.kdf,
    };
    let header = plan.write(&key, secrets, &mut random)?;
    Ok(Formatted { header, unlocked: Unlocked::new(0, VolumeKey::new(key), segment) })
}

/// Makes a header for the same volume key with other secrets: what was encrypted stays readable, with
/// the new secrets only. UUID, labels, segment and the digest of the volume key stay; every keyslot is
/// replaced, and tokens go, as they belong to keyslots. The header is at least as long as the old one
/// with its key areas, so that writing it leaves nothing of the old keyslots.
///
/// `secret` opens the old header within `limits`; `source` is the disk or the header file.
///
/// # Errors
/// Those of [`unlock`](super::unlock) and [`format`](fn@format); [`ErrorKind::Unsupported`] for LUKS1, and for a
/// header with keyslots of another key, which would be lost.
pub fn rekey(
    source: &dyn ReadAt,
    secret: &[u8],
    limits: &Limits,
    kdf: &Kdf,
    secrets: &[&[u8]],
    random: &mut RandomBytes<'_>,
) -> Result<Formatted, FdeError> {
    let old = header::read(source)?;
    let copies = old.copies.as_ref().filter(|_| old.version == 2);
    let copies = copies.ok_or_else(|| FdeError::unsupported("only LUKS2 headers are written"))?;
    if let Some(slot) = old.keyslots.iter().find(|slot| !old.is_bound(slot.number)) {
        let message =
            format!("keyslot {} holds another key, which would be lost: remove it first", slot.number);
        return Err(FdeError::unsupported(message));
    }
    let [digest] = old.digests.as_slice() else {
        let message = format!("{} digests of the volume key instead of one", old.digests.len());
        return Err(FdeError::unsupported(message));
    };
    let unlocked = unlock::unlock(source, secret, limits)?;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let plan = HeaderPlan {
        identity: Identity {
            uuid: old.uuid.clone(),
            label: text(&old.label),
            subsystem: text(&old.subsystem),
        },
        copy_size: copies.size,
        sequence: copies
            .sequence
            .checked_add(1)
            .ok_or_else(|| invalid("the sequence number is at its end"))?,
        segment: unlocked.segment(),
        digest,
        kdf,
    };
    let mut header = plan.write(unlocked.volume_key().expose(), secrets, &mut Random::new(random))?;
    let old_end = usize::try_from(old.end()).map_err(|_| invalid("the header is too long"))?;
    header.resize(header.len().max(old_end), 0);
    let (key, segment) = (unlocked.volume_key().clone(), unlocked.segment().clone());
    Ok(Formatted { header, unlocked: Unlocked::new(0, key, segment) })
}

fn new_digest(key: &[u8], random: &mut Random<'_, '_>) -> Result<KeyDigest, FdeError> {
    let (hash, salt) = (HashAlgorithm::Sha256, random.salt()?);
    let mut digest = Zeroizing::new(vec![0; hash.output_size()]);
    hash.pbkdf2(key, &salt, DIGEST_ITERATIONS, &mut digest);
    Ok(KeyDigest {
        keyslots: Vec::new(),
        bound: true,
        hash: hash.name().to_owned(),
        iterations: DIGEST_ITERATIONS,
        salt,
        digest: digest.to_vec(),
    })
}

fn invalid(message: impl Into<String>) -> FdeError {
    FdeError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
