//! The service key: what the running service opens its repositories with.

use std::{fmt, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64ct::{Base64, Encoding};
use cofre_arm::{ApiError, Problem, Result};
use zeroize::Zeroizing;

use super::files::{read, write_private};

/// Key, in hex digits, and a newline.
const FILE_LENGTH: u32 = 65;

/// A key of 256 bits that seals the secrets of repositories in the database.
pub struct ServiceKey(RandomizedNonceKey);

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}

fn failed(what: &str) -> ApiError {
    ApiError::new(Problem::StateUnavailable, what.to_owned())
}

impl ServiceKey {
    fn new(key: &[u8; 32]) -> Result<Self> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, key)
            .map(Self)
            .map_err(|_| failed("the service key cannot be used"))
    }

    /// Makes a random key and writes it to a new file of mode 0600.
    ///
    /// # Errors
    /// `Conflict` when the file exists, `StateUnavailable`.
    pub fn create_file(path: &Path) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| failed("the system gives no random bytes"))?;
        let mut text = Zeroizing::new(String::with_capacity(FILE_LENGTH as usize));
        for byte in key.iter() {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        text.push('\n');
        write_private(path, text.as_bytes())?;
        Self::new(&key)
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// `StateUnavailable` when the file is missing, may be read by others, or holds no key.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = read(path, FILE_LENGTH, true)?;
        let mut key = Zeroizing::new([0; 32]);
        let no_key = || failed(&format!("{} does not hold a service key", path.display()));
        let digits = bytes.trim_ascii_end();
        if digits.len() != 64 {
            return Err(no_key());
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(no_key()) };
            *byte = high << 4 | low;
        }
        Self::new(&key)
    }

    /// Seals a repository's secret; only `open` with the same repository opens it. Base64 text.
    ///
    /// # Errors
    /// Never in practice.
    pub fn seal(&self, repository: &str, secret: &[u8]) -> Result<String> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(associated(repository), &mut sealed)
            .map_err(|_| failed("the repository's secret cannot be sealed"))?;
        let mut all = nonce.as_ref().to_vec();
        all.extend_from_slice(&sealed);
        Ok(Base64::encode_string(&all))
    }

    /// Opens what `seal` gave.
    ///
    /// # Errors
    /// `StateUnavailable` when it was changed, is of another repository or under another key.
    pub fn open(&self, repository: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let cannot = || {
            failed(&format!("the secret of repository {repository} does not open with this service key"))
                .recommend(
                    "Use the service key that the home was made with, or recover the home from its kit.",
                )
        };
        let all = Base64::decode_vec(sealed).map_err(|_| cannot())?;
        let (nonce, sealed) = all.split_at_checked(NONCE_LEN).ok_or_else(cannot)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| cannot())?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length =
            self.0.open_in_place(nonce, associated(repository), &mut plain).map_err(|_| cannot())?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

fn associated(repository: &str) -> Aad<Vec<u8>> {
    Aad::from([b"cofre repository secret 1\0", repository.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn seals_for_one_repository() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.key");
        let key = ServiceKey::create_file(&path).unwrap();
        let sealed = key.seal("r1", b"secret").unwrap();
        assert_ne!(sealed, key.seal("r1", b"secret").unwrap());
        let again = ServiceKey::from_file(&path).unwrap();
        assert_eq!(&**again.open("r1", &sealed).unwrap(), b"secret");
        for (repository, sealed) in [
            ("r2", sealed.clone()),
            ("r1", String::new()),
            ("r1", format!("{sealed}AAAA")),
            ("r1", sealed.replacen(char::is_alphanumeric, "_", 1)),
        ] {
            assert!(again.open(repository, &sealed).is_err());
        }
        let mut bytes = Base64::decode_vec(&sealed).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(again.open("r1", &Base64::encode_string(&bytes)).is_err(), "byte {at}");
            bytes[at] ^= 1;
        }
        assert_eq!(format!("{key:?}"), "ServiceKey(…)");
    }

    #[test]
    fn files_that_hold_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.key");
        for bad in ["", "abc", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(ServiceKey::from_file(&path).is_err(), "{bad:?}");
        }
        assert_eq!(ServiceKey::create_file(&path).unwrap_err().problem(), Problem::Conflict);
    }
}
