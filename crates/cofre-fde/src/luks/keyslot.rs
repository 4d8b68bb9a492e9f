//! Keyslots: the volume key, split and encrypted under a key derived from a secret.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    antiforensic,
    header::{known_hash, material_bytes},
    kdf::{Kdf, SaltedKdf},
};
use crate::{
    error::FdeError,
    limits::Budget,
    read_at::{ReadAt, read_part},
    sector::{CipherSpec, SectorCipher},
};

/// When a keyslot is tried (LUKS2; LUKS1 slots are all normal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// Tried before the others.
    Prefer,
    /// Tried.
    Normal,
    /// Tried only when asked for by number.
    Ignore,
}

/// What a keyslot is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SlotState {
    /// Opens the disk.
    Active,
    /// Holds some other key, not the disk's (LUKS2: in no digest of the data segment).
    Unbound,
    /// Of a type, or with an algorithm, that this crate does not read; the text says which.
    Unsupported(String),
}

/// A keyslot in use, as the header describes it. Slots that are off are not listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Keyslot {
    /// Its number: 0 to 7 in LUKS1, 0 to 31 in LUKS2.
    pub number: u32,
    /// `luks1`, `luks2`, or another type as the header names it (`reencrypt`).
    pub kind: String,
    /// What it is good for.
    pub state: SlotState,
    /// When it is tried.
    pub priority: Priority,
    /// Length of the key it holds, in bits.
    pub key_bits: u32,
    /// How its key is derived; `None` when unknown.
    pub kdf: Option<Kdf>,
    /// Cipher of its key area, `None` when unknown.
    pub area_cipher: Option<String>,
    /// First byte of its key area.
    pub area_offset: u64,
    /// Length of its key area in bytes.
    pub area_size: u64,
}

/// A keyslot with all that is needed to open it.
pub(super) struct SlotRecord {
    pub(super) number: u32,
    pub(super) kind: String,
    pub(super) priority: Priority,
    pub(super) key_bytes: u32,
    pub(super) area_offset: u64,
    pub(super) area_size: u64,
    /// How to open it, or why that is not known.
    pub(super) method: Result<SlotMethod, String>,
}

/// How a keyslot is opened. Names of algorithms are as in the header, and judged when needed.
pub(super) struct SlotMethod {
    pub(super) kdf: SaltedKdf,
    pub(super) area_cipher: String,
    pub(super) area_key_bytes: u32,
    pub(super) af_hash: String,
}

impl SlotRecord {
    /// End of the key area in bytes.
    pub(super) fn area_end(&self) -> u64 {
        self.area_offset.saturating_add(self.area_size)
    }

    /// How to open the slot.
    ///
    /// # Errors
    /// `Unsupported` with the reason why it cannot be opened.
    pub(super) fn method(&self) -> Result<&SlotMethod, FdeError> {
        let method = self.method.as_ref().map_err(|reason| FdeError::unsupported(reason.clone()))?;
        method.check()?;
        Ok(method)
    }

    /// What the slot looks like from outside.
    pub(super) fn describe(&self, bound: bool) -> Keyslot {
        let state = match self.method() {
            Err(error) => SlotState::Unsupported(error.to_string()),
            Ok(_) if bound => SlotState::Active,
            Ok(_) => SlotState::Unbound,
        };
        let method = self.method.as_ref().ok();
        Keyslot {
            number: self.number,
            kind: self.kind.clone(),
            state,
            priority: self.priority,
            key_bits: self.key_bytes * 8,
            kdf: method.map(|method| method.kdf.kdf.clone()),
            area_cipher: method.map(|method| method.area_cipher.clone()),
            area_offset: self.area_offset,
            area_size: self.area_size,
        }
    }

    /// The volume key that this slot holds *if* the secret is the right one: only a digest can tell.
    pub(super) fn open(
        &self,
        source: &dyn ReadAt,
        secret: &[u8],
        budget: &mut Budget,
    ) -> Result<Zeroizing<Vec<u8>>, FdeError> {
        let method = self.method()?;
        // The material is read before the costly part: a truncated source is found at once.
        let length = usize::try_from(material_bytes(self.key_bytes)).unwrap_or(usize::MAX);
        let mut material = Zeroizing::new(vec![0; length]);
        read_part(
            source,
            &mut material,
            self.area_offset,
            &format!("the key area of keyslot {}", self.number),
        )?;

        let area_key = method.kdf.derive(secret, method.area_key_bytes as usize, budget)?;
        // Key areas always have 512-byte sectors, numbered from 0, whatever the data segment uses.
        SectorCipher::new(method.area_cipher.parse::<CipherSpec>()?, &area_key, 512, 0)?
            .decrypt(0, &mut material)?;
        Ok(antiforensic::merge(&material, self.key_bytes as usize, known_hash(&method.af_hash)?))
    }
}

impl SlotMethod {
    fn check(&self) -> Result<(), FdeError> {
        self.kdf.kdf.check()?;
        self.area_cipher.parse::<CipherSpec>()?.check_key_bytes(self.area_key_bytes as usize)?;
        known_hash(&self.af_hash)?;
        Ok(())
    }
}
