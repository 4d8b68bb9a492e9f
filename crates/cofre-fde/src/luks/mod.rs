//! LUKS, versions 1 and 2.
//!
//! Facts from "LUKS1 On-Disk Format Specification 1.2.3" and "LUKS2 On-Disk Format Specification
//! 1.1.x" of the cryptsetup project, from cryptsetup's manual pages, and from headers that
//! cryptsetup 2.6 and QEMU wrote.

mod antiforensic;
mod format;
mod header;
mod header1;
mod header2;
mod inspect;
mod kdf;
mod keyslot;
mod keyslot_json;
mod mapping;
mod metadata;
mod numbered;
mod unlock;

pub use format::{FormatOptions, Formatted, RandomBytes, format, rekey};
pub use header2::{CopyState, HeaderCopies, HeaderCopy};
pub use inspect::{LuksInfo, inspect};
pub use kdf::{Argon2Cost, Kdf};
pub use keyslot::{Keyslot, Priority, SlotState};
pub use mapping::{LuksMapping, Segment};
pub use unlock::{Unlocked, unlock, unlock_slot};

/// The first bytes of a LUKS1 header and of the primary LUKS2 header.
const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// The first bytes of the secondary LUKS2 header.
const MAGIC_SECONDARY: [u8; 6] = *b"SKUL\xba\xbe";
/// The number of stripes that every keyslot has (both specifications fix it).
const STRIPES: u32 = 4000;
/// Longest volume key that is looked at, in bytes: twice AES-256 for XTS. Keys of ciphers this crate
/// refuses may be longer; their headers can be inspected.
const MAX_KEY_BYTES: u32 = 512;
/// No header reaches further than this, in bytes: two LUKS2 copies of 4 MiB and the largest keyslot
/// area cryptsetup makes, 128 MiB. It bounds what is hashed.
const MAX_HEADER_END: u64 = (2 * 4 + 128) << 20;
