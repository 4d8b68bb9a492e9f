//! The hash chain of the audit log (docs/database.md, "Events").

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256.
pub type Digest = [u8; 32];

/// What the first event of a writer has as its predecessor's hash.
pub(crate) const ORIGIN: Digest = [0; 32];

/// Keeps these hashes apart from all others. The NUL ends it, so no other domain can begin with it.
const DOMAIN: &[u8] = b"cofre audit event v1\0";

/// Where a writer's chain ends.
///
/// Two facts only an outside copy of this can prove: that the last events were not cut off, and that the chain was not
/// computed anew from some event on. Who keeps the heads of earlier days compares their hash with that of the event of
/// the same sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// How many events there are, which is the sequence of the last one.
    pub length: u64,
    /// The last one's hash; zeros if there is none.
    pub hash: Digest,
}

impl ChainHead {
    /// The head of a writer without events.
    pub(crate) const EMPTY: Self = Self { length: 0, hash: ORIGIN };
}

/// The hash of an event: over the domain, the writer's length and name, the sequence, the predecessor's hash, the time in
/// microseconds, the body's length and the body; numbers in 8 bytes, big-endian.
pub(crate) fn hash(writer: &str, sequence: i64, previous: &[u8], time: i64, body: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(&(writer.len() as u64).to_be_bytes());
    context.update(writer.as_bytes());
    context.update(&sequence.to_be_bytes());
    context.update(previous);
    context.update(&time.to_be_bytes());
    context.update(&(body.len() as u64).to_be_bytes());
    context.update(body);
    let mut digest = ORIGIN;
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out apart from this code:
    /// `printf 'cofre audit event v1\0\0\0\0\0\0\0\0\1w\0\0\0\0\0\0\0\1' … | sha256sum`, see docs/database.md.
    #[test]
    fn the_hash_is_the_documented_one() {
        let digest = hash("w", 1, &ORIGIN, 1_000_000, b"{}");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7c02536f73378ad0a153fba2748e5441839157588faadaeea0d02ffadaa22723");
    }
}
