//! One copy of a LUKS2 header as bytes (on-disk format, section 2); the reader is `header2`.

use super::{invalid, write::HeaderPlan};
use crate::{
    error::FdeError,
    hash::HashAlgorithm,
    luks::{
        MAGIC, MAGIC_SECONDARY,
        header2::{BINARY, CHECKSUM},
    },
};

/// Length of the label and subsystem fields in bytes, with a NUL at the end.
pub(super) const LABEL: usize = 48;
/// Length of the salt that makes the two copies differ, in bytes.
pub(super) const SALT: usize = 64;

/// Fills `copy`, which is zeroed, with the copy that stands at `offset`.
pub(super) fn write_copy(
    copy: &mut [u8],
    plan: &HeaderPlan<'_>,
    offset: u64,
    salt: &[u8; SALT],
    json: &[u8],
) -> Result<(), FdeError> {
    const CHECKSUM_HASH: HashAlgorithm = HashAlgorithm::Sha256;

    // The JSON ends with a NUL.
    if BINARY + json.len() >= copy.len() {
        return Err(invalid("the keyslots do not fit in the header"));
    }
    let mut put = |at: usize, bytes: &[u8]| copy[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, if offset == 0 { &MAGIC } else { &MAGIC_SECONDARY });
    put(6, &2_u16.to_be_bytes());
    put(8, &plan.copy_size.to_be_bytes());
    put(16, &plan.sequence.to_be_bytes());
    put(24, plan.identity.label.as_bytes());
    put(72, CHECKSUM_HASH.name().as_bytes());
    put(104, salt);
    put(168, plan.identity.uuid.as_bytes());
    put(208, plan.identity.subsystem.as_bytes());
    put(256, &offset.to_be_bytes());
    put(BINARY, json);
    let mut checksum = vec![0; CHECKSUM_HASH.output_size()];
    CHECKSUM_HASH.digest_into(&[copy], &mut checksum);
    copy[CHECKSUM][..checksum.len()].copy_from_slice(&checksum);
    Ok(())
}
