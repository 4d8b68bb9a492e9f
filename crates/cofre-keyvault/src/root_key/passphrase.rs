//! A root key that is derived from a passphrase: the file holds how, and not the key.

use std::path::Path;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{RootKey, private_file, private_file::fault};
use crate::{
    crypto::{KEY_BYTES, equal, fill_random},
    encoding::{SecretBytes, to_json},
    error::{ErrorKind, KeyVaultError, Result},
};

const FORMAT: &str = "cofre-keyvault-root-key";
const VERSION: u32 = 1;
const DERIVATION: &str = "argon2id";
/// Longest file that is read, in bytes.
const LONGEST_FILE: usize = 4096;
const SALT_BYTES: usize = 32;
/// Shortest passphrase that a key is made from, in bytes. It keeps out slips of the hand; whether the words can be
/// guessed is for whoever chooses them.
const SHORTEST: usize = 12;
/// Longest passphrase, in bytes.
const LONGEST: usize = 1024;
/// What a file may ask for, so that a changed one cannot take the machine's memory or time.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// What one guess costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Four times the memory that RFC 9106 recommends where memory is short, at its 3 passes: a guess needs 256 MiB for the
/// better part of a second, which every command of a home pays too. One lane, because lanes are computed one after
/// another here: more of them would help only those who guess.
const COST: Cost = Cost { memory_kib: 256 << 10, passes: 3, lanes: 1 };

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    format: String,
    version: u32,
    derivation: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: SecretBytes,
    /// The id that the ring's header names the key by: tells a wrong passphrase, and which file opens a ring.
    key_id: String,
}

impl Content {
    fn read(path: &Path) -> Result<Self> {
        let bytes = private_file::read(path, LONGEST_FILE)?;
        let content = serde_json::from_slice::<Self>(&bytes).ok().filter(|_| bytes.len() <= LONGEST_FILE);
        let content = content.ok_or_else(|| fault(path, "does not say how a key is derived"))?;
        if content.format != FORMAT || content.version != VERSION || content.derivation != DERIVATION {
            return Err(fault(path, "is of a kind that this version does not know"));
        }
        let cost = (content.memory_kib, content.passes, content.lanes);
        let bounded = (8 * MOST_LANES.min(cost.2)..=MOST_MEMORY_KIB).contains(&cost.0)
            && (1..=MOST_PASSES).contains(&cost.1)
            && (1..=MOST_LANES).contains(&cost.2);
        if !bounded || content.salt.expose().len() != SALT_BYTES {
            return Err(fault(
                path,
                "asks for more memory or time than is allowed, or is malformed: restore it from a copy",
            ));
        }
        Ok(content)
    }

    fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }
}

fn derive(cost: Cost, passphrase: &[u8], salt: &[u8]) -> Result<RootKey> {
    let failed = || KeyVaultError::cryptography("derive the root key from a passphrase");
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES)).map_err(|_| failed())?;
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|error| {
        let message = format!(
            "the machine has no {} KiB of memory to derive the root key: free some and try again",
            cost.memory_kib
        );
        KeyVaultError::new(ErrorKind::Cryptography, message).with_source(error)
    })?;
    memory.resize(params.block_count(), Block::new());
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, &mut *key, memory.as_mut_slice())
        .map_err(|_| failed())?;
    Ok(RootKey::from_bytes(&key))
}

impl RootKey {
    /// Derives a key from a passphrase with Argon2id and a random salt, and writes how to a new file of mode 0600,
    /// durably. Without the passphrase the file is worth no more than a lock to try words on. The passphrase counts
    /// byte for byte: 12 to 1024 of them.
    ///
    /// Takes 256 MiB of memory, and as long as every later
    /// [`from_passphrase_file`](Self::from_passphrase_file).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a passphrase that is too short or too long, [`ErrorKind::RootKey`] when the file is
    /// there already or cannot be written, [`ErrorKind::Cryptography`] when there is not enough memory.
    pub fn create_passphrase_file(path: &Path, passphrase: &[u8]) -> Result<Self> {
        Self::create_passphrase_file_at(path, passphrase, COST)
    }

    /// Whether a key can be made from a passphrase: 12 to 1024 bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`].
    pub fn check_passphrase(passphrase: &[u8]) -> Result<()> {
        if (SHORTEST..=LONGEST).contains(&passphrase.len()) {
            return Ok(());
        }
        Err(KeyVaultError::invalid(format!(
            "a passphrase has {SHORTEST} to {LONGEST} bytes: take several words that nobody can guess"
        )))
    }

    pub(super) fn create_passphrase_file_at(path: &Path, passphrase: &[u8], cost: Cost) -> Result<Self> {
        Self::check_passphrase(passphrase)?;
        let mut salt = Zeroizing::new(vec![0; SALT_BYTES]);
        fill_random(&mut salt)?;
        let key = derive(cost, passphrase, &salt)?;
        let content = Content {
            format: FORMAT.to_owned(),
            version: VERSION,
            derivation: DERIVATION.to_owned(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: cost.lanes,
            salt: SecretBytes::new(salt),
            key_id: key.id()?,
        };
        let mut json = to_json(&content)?;
        json.push(b'\n');
        private_file::create(path, &json)?;
        Ok(key)
    }

    /// Derives the key of a file that [`create_passphrase_file`](Self::create_passphrase_file) made. A file may ask for
    /// at most 1 GiB of memory, 16 passes and 16 lanes.
    ///
    /// # Errors
    /// [`ErrorKind::RootKey`] when the passphrase is wrong, or the file cannot be read, is open to others than its owner,
    /// or holds something else; [`ErrorKind::Cryptography`] when there is not enough memory.
    pub fn from_passphrase_file(path: &Path, passphrase: &[u8]) -> Result<Self> {
        let content = Content::read(path)?;
        let wrong = || {
            KeyVaultError::new(
                ErrorKind::RootKey,
                format!("wrong passphrase: it does not give the key of {}", path.display()),
            )
        };
        if !(1..=LONGEST).contains(&passphrase.len()) {
            return Err(wrong());
        }
        let key = derive(content.cost(), passphrase, content.salt.expose())?;
        if equal(key.id()?.as_bytes(), content.key_id.as_bytes()) { Ok(key) } else { Err(wrong()) }
    }

    /// The [`id`](Self::id) of the key that a passphrase file is for. Nobody vouches for it before the key is derived.
    ///
    /// # Errors
    /// [`ErrorKind::RootKey`] as [`from_passphrase_file`](Self::from_passphrase_file).
    pub fn id_of_passphrase_file(path: &Path) -> Result<String> {
        Ok(Content::read(path)?.key_id)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 2 };
    const WORDS: &[u8] = b"correct horse battery";

    #[test]
    fn the_passphrase_gives_the_key_and_no_other_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        let key = RootKey::create_passphrase_file_at(&path, WORDS, CHEAP).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = RootKey::from_passphrase_file(&path, WORDS).unwrap();
        assert_eq!(read.0.expose(), key.0.expose());
        assert_eq!(RootKey::id_of_passphrase_file(&path).unwrap(), key.id().unwrap());
        for wrong in [&b"correct horse batterz"[..], b"", b"correct horse battery\n", &[b'x'; 1025]] {
            let error = RootKey::from_passphrase_file(&path, wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RootKey);
            assert!(error.to_string().contains("wrong passphrase"), "{error}");
        }
        // A second file of the same passphrase has another salt, and so another key.
        let other = directory.path().join("other.json");
        let second = RootKey::create_passphrase_file_at(&other, WORDS, CHEAP).unwrap();
        assert_ne!(second.0.expose(), key.0.expose());
        let kept = fs::read(&path).unwrap();
        assert!(RootKey::create_passphrase_file_at(&path, WORDS, CHEAP).is_err(), "nothing is overwritten");
        assert_eq!(fs::read(&path).unwrap(), kept);
        for bad in [&b""[..], b"short", &[b'x'; 1025]] {
            let error = RootKey::create_passphrase_file_at(&directory.path().join("x"), bad, CHEAP);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(!directory.path().join("x").exists());
    }

    #[test]
    fn the_default_is_written_down_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        let key = RootKey::create_passphrase_file(&path, WORDS).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            (&json["derivation"], &json["memoryKib"], &json["passes"], &json["lanes"]),
            (&"argon2id".into(), &262_144.into(), &3.into(), &1.into())
        );
        assert_eq!(RootKey::from_passphrase_file(&path, WORDS).unwrap().0.expose(), key.0.expose());
    }

    #[test]
    fn hostile_and_exposed_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        RootKey::create_passphrase_file_at(&path, WORDS, CHEAP).unwrap();
        let good: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let changes: [(&str, serde_json::Value); 14] = [
            ("memoryKib", ((1_u32 << 20) + 1).into()),
            ("memoryKib", u32::MAX.into()),
            ("memoryKib", 15.into()),
            ("memoryKib", 0.into()),
            ("passes", 17.into()),
            ("passes", 0.into()),
            ("lanes", 17.into()),
            ("lanes", 0.into()),
            ("version", 2.into()),
            ("derivation", "argon2d".into()),
            ("format", "other".into()),
            ("salt", "AAAA".into()),
            ("more", 1.into()),
            ("keyId", serde_json::Value::Null),
        ];
        for (name, value) in changes {
            let mut bad = good.clone();
            bad[name] = value.clone();
            fs::write(&path, bad.to_string()).unwrap();
            let error = RootKey::from_passphrase_file(&path, WORDS).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RootKey, "{name} {value}");
            assert!(!error.to_string().contains("wrong passphrase"), "{name} {value}: {error}");
        }
        // What is within the bounds but not what the key was made with gives another key.
        for (name, value) in [("memoryKib", 72), ("passes", 2), ("lanes", 1)] {
            let mut bad = good.clone();
            bad[name] = value.into();
            fs::write(&path, bad.to_string()).unwrap();
            let error = RootKey::from_passphrase_file(&path, WORDS).unwrap_err();
            assert!(error.to_string().contains("wrong passphrase"), "{name}: {error}");
        }
        for bad in [Vec::new(), b"{".to_vec(), [good.to_string().as_bytes(), &[b' '; 4096]].concat()] {
            fs::write(&path, bad).unwrap();
            assert_eq!(RootKey::from_passphrase_file(&path, WORDS).unwrap_err().kind(), ErrorKind::RootKey);
        }
        fs::write(&path, good.to_string()).unwrap();
        RootKey::from_passphrase_file(&path, WORDS).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(RootKey::from_passphrase_file(&path, WORDS).unwrap_err().to_string().contains("0600"));
    }
}
