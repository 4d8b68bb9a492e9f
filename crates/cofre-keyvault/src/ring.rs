//! The ring: the keys that everything else is sealed under. One record, sealed under the root key, so
//! that a new root key costs one write. No key ever leaves the ring: backup blobs outlive vaults.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    crypto::{SymmetricKey, equal, random_id},
    encoding::{Fields, SecretBytes, to_json},
    envelope::{self, NamedKey, RING},
    error::{ErrorKind, KeyVaultError, Result},
    place::Place,
};

/// Where the ring's record is.
pub(crate) const PATH: &str = "ring";
const VERSION: u32 = 1;
/// What an exported list of blob keys calls itself.
const EXPORT_FORMAT: &str = "cofre-keyvault-blob-keys";
/// Longest exported list that is read, in bytes: some thousands of keys.
const LONGEST_EXPORT: usize = 1 << 20;

/// What a key of the ring seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Use {
    /// The records of one vault.
    Vault,
    /// Backup blobs of one subscription and geography; proofs are derived from it too.
    Blob,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    /// 32 hexadecimal digits.
    id: String,
    r#use: Use,
    /// The vault's name in lower case; of blob keys empty.
    vault: String,
    place: Place,
    /// Came from elsewhere: opens, but does not seal.
    imported: bool,
    created: Timestamp,
    key: SecretBytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ring {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Export {
    format: String,
    version: u32,
    place: Place,
    keys: Vec<Entry>,
}

impl Entry {
    fn new(r#use: Use, vault: &str, place: &Place, now: Timestamp) -> Result<Self> {
        let key = SecretBytes::new(Zeroizing::new(SymmetricKey::random()?.expose().to_vec()));
        let (vault, place) = (vault.to_ascii_lowercase(), place.clone());
        Ok(Self { id: random_id()?, r#use, vault, place, imported: false, created: now, key })
    }

    fn is_sound(&self) -> bool {
        self.key.expose().len() == crate::crypto::KEY_BYTES
            && self.id.len() == 32
            && self.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && (self.r#use == Use::Vault) != self.vault.is_empty()
    }

    fn named(&self) -> Result<NamedKey> {
        let key = SymmetricKey::from_slice(self.key.expose()).ok_or_else(|| KeyVaultError::damaged(PATH))?;
        Ok(NamedKey { id: self.id.clone(), key })
    }
}

fn context() -> Fields {
    Fields::default().field(PATH)
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { version: VERSION, keys: Vec::new() }
    }

    pub(crate) fn open(root: &NamedKey, sealed: &[u8]) -> Result<Self> {
        match envelope::key_id(RING, sealed) {
            None => return Err(KeyVaultError::damaged(PATH)),
            Some(id) if id != root.id => {
                return Err(KeyVaultError::new(
                    ErrorKind::RootKey,
                    format!(
                        "the ring is sealed under the root key {id}, not under {}: give the right root key",
                        root.id
                    ),
                ));
            }
            Some(_) => {}
        }
        let json =
            envelope::open(RING, root, &context(), sealed)?.ok_or_else(|| KeyVaultError::damaged(PATH))?;
        let ring: Self = serde_json::from_slice(&json).map_err(|_| KeyVaultError::damaged(PATH))?;
        let ids: BTreeSet<_> = ring.keys.iter().map(|entry| &entry.id).collect();
        if ring.version != VERSION || ids.len() != ring.keys.len() || !ring.keys.iter().all(Entry::is_sound) {
            return Err(KeyVaultError::damaged(PATH));
        }
        Ok(ring)
    }

    pub(crate) fn seal(&self, root: &NamedKey) -> Result<Vec<u8>> {
        envelope::seal(RING, root, &context(), &to_json(self)?)
    }

    /// Adds a key for a new vault and returns it.
    pub(crate) fn add_vault_key(&mut self, vault: &str, place: &Place, now: Timestamp) -> Result<NamedKey> {
        let entry = Entry::new(Use::Vault, vault, place, now)?;
        let key = entry.named()?;
        self.keys.push(entry);
        Ok(key)
    }

    /// The key of this id, if it is the one of this vault.
    pub(crate) fn vault_key(&self, id: &str, vault: &str) -> Result<Option<NamedKey>> {
        let found = self.keys.iter().find(|entry| {
            entry.r#use == Use::Vault && entry.id == id && entry.vault.eq_ignore_ascii_case(vault)
        });
        found.map(Entry::named).transpose()
    }

    /// Adds a key for new blobs of a place; those there are stay, to open old ones. Returns its id.
    pub(crate) fn add_blob_key(&mut self, place: &Place, now: Timestamp) -> Result<String> {
        let entry = Entry::new(Use::Blob, "", place, now)?;
        let id = entry.id.clone();
        self.keys.push(entry);
        Ok(id)
    }

    fn blob_keys<'a>(&'a self, place: &'a Place) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.keys.iter().filter(|entry| entry.r#use == Use::Blob && entry.place.is_same_as(place))
    }

    /// The key that seals new blobs of a place.
    pub(crate) fn current_blob_key(&self, place: &Place) -> Result<Option<NamedKey>> {
        self.blob_keys(place).rfind(|entry| !entry.imported).map(Entry::named).transpose()
    }

    /// The key of this id, if it seals or sealed blobs of this place.
    pub(crate) fn blob_key(&self, id: &str, place: &Place) -> Result<Option<NamedKey>> {
        self.blob_keys(place).find(|entry| entry.id == id).map(Entry::named).transpose()
    }

    /// Whether any key has this id.
    pub(crate) fn has_key(&self, id: &str) -> bool {
        self.keys.iter().any(|entry| entry.id == id)
    }

    /// All blob keys of a place, for a recovery kit.
    pub(crate) fn export_blob_keys(&self, place: &Place) -> Result<Zeroizing<Vec<u8>>> {
        let keys = self.blob_keys(place).cloned().collect();
        to_json(&Export { format: EXPORT_FORMAT.to_owned(), version: VERSION, place: place.clone(), keys })
    }

    /// Adds exported keys that are not there yet; returns how many.
    pub(crate) fn import_blob_keys(&mut self, place: &Place, export: &[u8]) -> Result<usize> {
        let malformed = || KeyVaultError::invalid("this is no list of blob keys that this version can read");
        if export.len() > LONGEST_EXPORT {
            return Err(malformed());
        }
        let export: Export = serde_json::from_slice(export).map_err(|_| malformed())?;
        if export.format != EXPORT_FORMAT || export.version != VERSION {
            return Err(malformed());
        }
        let mut added = 0;
        for mut entry in export.keys {
            if entry.r#use != Use::Blob || !entry.is_sound() {
                return Err(malformed());
            }
            if !entry.place.is_same_as(place) {
                return Err(KeyVaultError::invalid(format!(
                    "the blob key {} is of another subscription or geography than this service: make a service \
                     for that place from the kit",
                    entry.id
                )));
            }
            match self.keys.iter().find(|known| known.id == entry.id) {
                Some(known) if known.r#use == Use::Blob && equal(known.key.expose(), entry.key.expose()) => {}
                Some(_) => {
                    return Err(KeyVaultError::invalid(format!(
                        "the ring has another key of the id {}",
                        entry.id
                    )));
                }
                None => {
                    entry.imported = true;
                    self.keys.push(entry);
                    added += 1;
                }
            }
        }
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_key::RootKey;

    fn place(subscription: &str) -> Place {
        Place {
            tenant: "t".to_owned(),
            subscription: subscription.to_owned(),
            geography: "europe".to_owned(),
        }
    }

    fn root() -> NamedKey {
        let mut bytes = Zeroizing::new([0; 32]);
        crate::crypto::fill_random(&mut *bytes).unwrap();
        RootKey::from_bytes(&bytes).ring_key().unwrap()
    }

    #[test]
    fn opens_under_its_root_key_alone() {
        let root_key = root();
        let mut ring = Ring::new();
        let vault = ring.add_vault_key("Vault", &place("s"), Timestamp::UNIX_EPOCH).unwrap();
        let sealed = ring.seal(&root_key).unwrap();
        let opened = Ring::open(&root_key, &sealed).unwrap();
        let found = opened.vault_key(&vault.id, "vault").unwrap().unwrap();
        assert_eq!(found.key.expose(), vault.key.expose());
        assert!(opened.vault_key(&vault.id, "other").unwrap().is_none());
        assert!(opened.blob_key(&vault.id, &place("s")).unwrap().is_none());

        assert_eq!(Ring::open(&root(), &sealed).unwrap_err().kind(), ErrorKind::RootKey);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            let kind = Ring::open(&root_key, &bad).unwrap_err().kind();
            // Bytes 6 to 21 name the root key.
            let expected = if (6..22).contains(&at) { ErrorKind::RootKey } else { ErrorKind::Damaged };
            assert_eq!(kind, expected, "byte {at}");
            assert!(Ring::open(&root_key, &sealed[..at]).is_err());
        }
    }

    #[test]
    fn blob_keys_belong_to_their_place_and_stay() {
        let mut ring = Ring::new();
        assert!(ring.current_blob_key(&place("s")).unwrap().is_none());
        let first = ring.add_blob_key(&place("s"), Timestamp::UNIX_EPOCH).unwrap();
        let second = ring.add_blob_key(&place("s"), Timestamp::UNIX_EPOCH).unwrap();
        ring.add_blob_key(&place("other"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(ring.current_blob_key(&place("s")).unwrap().unwrap().id, second);
        assert!(ring.blob_key(&first, &place("s")).unwrap().is_some());
        assert!(ring.blob_key(&first, &place("other")).unwrap().is_none());

        let export = ring.export_blob_keys(&place("s")).unwrap();
        let mut home = Ring::new();
        let own = home.add_blob_key(&place("s"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(home.import_blob_keys(&place("s"), &export).unwrap(), 2);
        assert_eq!(home.import_blob_keys(&place("s"), &export).unwrap(), 0);
        assert_eq!(home.current_blob_key(&place("s")).unwrap().unwrap().id, own, "imported keys do not seal");
        assert!(home.blob_key(&first, &place("s")).unwrap().is_some());

        assert_eq!(home.import_blob_keys(&place("other"), &export).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(home.import_blob_keys(&place("s"), b"{}").is_err());
        let text = std::str::from_utf8(&export).unwrap();
        let forged = text.replacen("\"key\":\"", "\"key\":\"AAAA", 1);
        assert!(home.import_blob_keys(&place("s"), forged.as_bytes()).is_err());
        let at = text.find("\"key\":\"").unwrap() + 7;
        let flipped = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = format!("{}{flipped}{}", &text[..at], &text[at + 1..]);
        let error = home.import_blob_keys(&place("s"), forged.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("another key of the id"), "{error}");
    }
}
