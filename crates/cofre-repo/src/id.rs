//! Ids: one type for each kind of thing, so that none is taken for another.
//!
//! Blobs, packs, indexes, snapshots, locks and key files are named by the SHA-256 of their content
//! (64 hex digits); a recovery point by 128 random bits (32 hex digits), because restic's own
//! commands may rewrite a snapshot and so change its name (docs/format.md, "Identity").

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` as lower-case hex digits into `out`, which is twice as long.
fn encode(bytes: &[u8], out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// Reads lower-case hex digits, exactly twice as many as `out` has bytes.
fn decode(text: &[u8], out: &mut [u8]) -> bool {
    if text.len() != 2 * out.len() {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

/// Text that is not an id.
#[derive(Debug, thiserror::Error)]
#[error("not an id: {wanted} lower-case hex digits expected")]
pub struct ParseIdError {
    wanted: usize,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl From<[u8; $bytes]> for $name {
            fn from(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
        }

        impl $name {
            /// The id as lower-case hex digits.
            #[must_use]
            pub fn to_hex(&self) -> String {
                self.to_string()
            }

            /// Appends the hex digits to `out`.
            pub fn write_hex(&self, out: &mut Vec<u8>) {
                let start = out.len();
                out.resize(start + 2 * $bytes, 0);
                encode(&self.0, &mut out[start..]);
            }

            /// The first eight hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $bytes];
                encode(&self.0, &mut text);
                f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                if decode(text.as_bytes(), &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(ParseIdError { wanted: 2 * $bytes })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} hex digits", 2 * $bytes)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

id_type!(
    /// A blob: SHA-256 of its plaintext. Chunks of disks and trees are blobs.
    BlobId, 32);
id_type!(
    /// A pack file: SHA-256 of its stored bytes.
    PackId, 32);
id_type!(
    /// An index file: SHA-256 of its stored bytes.
    IndexId, 32);
id_type!(
    /// A snapshot file: SHA-256 of its stored bytes.
    SnapshotId, 32);
id_type!(
    /// A lock file: SHA-256 of its stored bytes.
    LockId, 32);
id_type!(
    /// A key file: SHA-256 of its stored bytes.
    KeyId, 32);
id_type!(
    /// A repository: 256 random bits from its configuration.
    RepositoryId, 32);
id_type!(
    /// A recovery point: 128 random bits, chosen when the point is made.
    PointId, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_refusals() {
        let id = PointId(*b"\x00\x01\xab\xff0123456789ab");
        assert_eq!(id.to_hex().parse::<PointId>().unwrap(), id);
        assert_eq!(serde_json::from_str::<PointId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert_eq!(id.short(), "0001abff");
        let hex = id.to_hex();
        assert!(hex[1..].parse::<PointId>().is_err());
        assert!(hex.to_uppercase().parse::<PointId>().is_err());
        assert!(hex.replace('f', "g").parse::<PointId>().is_err());
    }
}
