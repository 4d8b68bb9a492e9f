//! Bytes as text: hexadecimal, base64url, JSON of secrets, and lists of fields for authentication.

use std::{fmt, io};

use aws_lc_rs::constant_time;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::error::{KeyVaultError, Result};

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The `N` bytes behind exactly `2 * N` hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new([0; N]);
    if text.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Decodes base64 or base64url, with or without padding, white space around it cut off. In time that
/// does not depend on the text's content.
pub(crate) fn decode_any_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let unpadded = text.trim_ascii().trim_end_matches('=');
    let mut url = Zeroizing::new(unpadded.as_bytes().to_vec());
    for byte in url.iter_mut() {
        *byte = match *byte {
            b'+' => b'-',
            b'/' => b'_',
            other => other,
        };
    }
    let mut bytes = Zeroizing::new(vec![0; url.len() / 4 * 3 + 3]);
    let length = Base64UrlUnpadded::decode(url.as_slice(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// Secret bytes: wiped when dropped, printed as `…`, in JSON base64url without padding.
#[derive(Clone, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to keep.
    #[must_use]
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl PartialEq for SecretBytes {
    /// In time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes(…)")
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(Base64UrlUnpadded::encode_string(&self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = SecretBytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("base64url without padding")
            }

            // The text is borrowed from the input: no copy of it is left behind.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretBytes, E> {
                Base64UrlUnpadded::decode_vec(text)
                    .map(|bytes| SecretBytes(Zeroizing::new(bytes)))
                    .map_err(|_| E::custom("not base64url without padding"))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A buffer that wipes what it outgrows.
struct Wiping(Zeroizing<Vec<u8>>);

impl io::Write for Wiping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON in memory that is wiped.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Wiping(Zeroizing::new(Vec::with_capacity(4096)));
    serde_json::to_writer(&mut buffer, value)
        .map_err(|_| KeyVaultError::invalid("the object cannot be written as JSON"))?;
    Ok(buffer.0)
}

/// Fields, each behind its length (32 bits, big-endian), so that no two lists of fields have the same bytes.
#[derive(Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    pub(crate) fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        // No field comes near 4 GiB; should one, its full length behind the marker keeps it unambiguous.
        match u32::try_from(bytes.len()) {
            Ok(length) if length < u32::MAX => self.0.extend_from_slice(&length.to_be_bytes()),
            _ => {
                self.0.extend_from_slice(&u32::MAX.to_be_bytes());
                self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            }
        }
        self.0.extend_from_slice(bytes);
        self
    }

    /// A field that may be absent: `0`, or `1` and the field.
    pub(crate) fn optional(mut self, bytes: Option<impl AsRef<[u8]>>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        match bytes {
            Some(bytes) => self.field(bytes),
            None => self,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_base64_is_read() {
        let bytes = [0xfb, 0xff, 0xbf, 0x01];
        for text in ["+/+/AQ==", "-_-_AQ", "+/+/AQ", "-_-_AQ==", " -_+/AQ=\n"] {
            assert_eq!(decode_any_base64(text).unwrap().as_slice(), bytes, "{text}");
        }
        for text in ["A", "!!!!", "AQ==AQ==", "ä"] {
            assert!(decode_any_base64(text).is_none(), "{text}");
        }
        assert!(decode_any_base64("").unwrap().is_empty());
    }

    #[test]
    fn hexadecimal_digits_are_counted() {
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(unhex::<2>(b"00aB").as_deref(), Some(&[0, 0xab]));
        assert!(
            unhex::<2>(b"00a").is_none() && unhex::<2>(b"00ag").is_none() && unhex::<2>(b"+0ab").is_none()
        );
    }

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let a = Fields::default().field("ab").field("c").optional(None::<&str>);
        let b = Fields::default().field("a").field("bc").optional(None::<&str>);
        let c = Fields::default().field("ab").field("c").optional(Some(""));
        assert_ne!(a.bytes(), b.bytes());
        assert_ne!(a.bytes(), c.bytes());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretBytes::new(Zeroizing::new(vec![65; 3]))), "SecretBytes(…)");
    }
}
