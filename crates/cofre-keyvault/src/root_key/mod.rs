//! The root key: seals the ring, and nothing else.

mod passphrase;
mod private_file;

use std::{fmt, path::Path};

use zeroize::Zeroizing;

use crate::{
    crypto::{KEY_BYTES, SymmetricKey},
    encoding::{Fields, hex, unhex},
    envelope::NamedKey,
    error::Result,
};

/// The key that seals the ring. Wiped when dropped, never shown.
///
/// It comes from a file, from a passphrase and a file that says how it is derived, or as bytes from whatever else
/// holds it: a token, a key service.
#[derive(Clone)]
pub struct RootKey(SymmetricKey);

impl fmt::Debug for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RootKey(…)")
    }
}

impl RootKey {
    /// Takes 32 bytes that nobody can guess.
    #[must_use]
    pub fn from_bytes(bytes: &Zeroizing<[u8; 32]>) -> Self {
        Self(SymmetricKey::from_array(bytes.clone()))
    }

    /// Reads the file that [`create_file`](Self::create_file) made: 64 hexadecimal digits and perhaps a
    /// newline.
    ///
    /// # Errors
    /// [`ErrorKind::RootKey`](crate::ErrorKind::RootKey) when it cannot be read, is no regular file, is open to others than its
    /// owner, or holds something else.
    pub fn from_file(path: &Path) -> Result<Self> {
        // One byte more than a good file has is read too, so that a longer one is noticed.
        let text = private_file::read(path, KEY_BYTES * 2 + 1)?;
        let digits = text.strip_suffix(b"\n").unwrap_or(&text);
        let bytes = unhex::<KEY_BYTES>(digits)
            .ok_or_else(|| private_file::fault(path, "does not hold 64 hexadecimal digits"))?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Draws a key and writes it to a new file of mode 0600, durably.
    ///
    /// # Errors
    /// [`ErrorKind::RootKey`](crate::ErrorKind::RootKey) when the file is there already or cannot be written.
    pub fn create_file(path: &Path) -> Result<Self> {
        let key = SymmetricKey::random()?;
        let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES * 2 + 1));
        for byte in key.expose() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text.push('\n');
        private_file::create(path, text.as_bytes())?;
        Ok(Self(key))
    }

    /// What tells keys apart, 32 hexadecimal digits: the header of the ring names the key that seals it by them. Nobody
    /// can turn them back into the key.
    ///
    /// # Errors
    /// [`ErrorKind::Cryptography`](crate::ErrorKind::Cryptography).
    pub fn id(&self) -> Result<String> {
        Ok(self.ring_key()?.id)
    }

    /// The key that seals the ring, named by what cannot be turned back into it.
    pub(crate) fn ring_key(&self) -> Result<NamedKey> {
        let key = self.0.derive("cofre-keyvault ring")?;
        let id = key.authenticate(Fields::default().field("cofre-keyvault ring key id").bytes());
        Ok(NamedKey { id: hex(&id[..16]), key })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_file_is_made_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let key = RootKey::create_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = RootKey::from_file(&path).unwrap();
        assert_eq!(read.0.expose(), key.0.expose());
        assert_eq!(read.ring_key().unwrap().id, key.ring_key().unwrap().id);
        assert_eq!(format!("{key:?}"), "RootKey(…)");

        let before = fs::read(&path).unwrap();
        assert_eq!(RootKey::create_file(&path).unwrap_err().kind(), ErrorKind::RootKey);
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn exposed_and_malformed_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        RootKey::create_file(&path).unwrap();
        let good = fs::read(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(RootKey::from_file(&path).unwrap_err().to_string().contains("0600"), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in [&good[..63], &[], &[good.as_slice(), b"\n"].concat(), &[good.as_slice(), b"0"].concat()] {
            fs::write(&path, bad).unwrap();
            let error = RootKey::from_file(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RootKey);
            let digits = std::str::from_utf8(&good[..32]).unwrap();
            assert!(!format!("{error:?}").contains(digits));
        }
        fs::write(&path, &good[..64]).unwrap();
        RootKey::from_file(&path).unwrap();
        assert!(RootKey::from_file(directory.path()).is_err());
        assert!(RootKey::from_file(&directory.path().join("none")).is_err());
    }
}
