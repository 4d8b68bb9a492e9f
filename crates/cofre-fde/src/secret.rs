//! Keys that are wiped from memory when they are dropped.

use std::fmt;

use zeroize::Zeroizing;

/// The key a volume's data are encrypted with. Wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct VolumeKey(Zeroizing<Vec<u8>>);

impl VolumeKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes. Whoever holds them can read and forge the whole disk.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for VolumeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VolumeKey({} bits)", self.0.len() * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_only() {
        let key = VolumeKey::new(Zeroizing::new(vec![0xAB; 64]));
        assert_eq!(format!("{key:?}"), "VolumeKey(512 bits)");
    }
}
