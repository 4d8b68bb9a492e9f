//! How anything is sealed: a plain header, then AES-256-GCM-SIV over the content.
//!
//! ```text
//! magic 4 | version 1 | kind 1 | key id 16 | nonce 12 | ciphertext | tag 16
//! ```
//!
//! The header up to and with the nonce is authenticated, and so is a context that is not stored: the
//! place where the bytes belong. GCM-SIV, because a nonce drawn twice (a virtual machine that is
//! rolled back and draws the same random bytes again) then shows at most that two contents are equal.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    crypto::{SymmetricKey, fill_random},
    encoding::{Fields, hex, unhex},
    error::{KeyVaultError, Result},
};

const NONCE: usize = 12;
const TAG: usize = 16;
const KEY_ID: usize = 16;
/// Bytes of the plain header.
pub(crate) const HEADER: usize = 4 + 1 + 1 + KEY_ID + NONCE;
const VERSION: u8 = 1;

/// What an envelope is: its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    pub(crate) magic: [u8; 4],
    pub(crate) kind: u8,
}

/// The ring under the root key.
pub(crate) const RING: Purpose = Purpose { magic: *b"CKVG", kind: 0 };
/// A record of a vault under the vault's key.
pub(crate) const RECORD: Purpose = Purpose { magic: *b"CKVR", kind: 0 };
/// A trial that opened a header, under a blob key.
pub(crate) const PROOF: Purpose = Purpose { magic: *b"CKVP", kind: 0 };
/// A backup blob of a key under a blob key.
pub(crate) const KEY_BLOB: Purpose = Purpose { magic: *b"CKVB", kind: 1 };
/// A backup blob of a secret under a blob key.
pub(crate) const SECRET_BLOB: Purpose = Purpose { magic: *b"CKVB", kind: 2 };

/// A key of the ring, by its id: 32 lower-case hexadecimal digits in text, 16 bytes in headers.
#[derive(Clone, Debug)]
pub(crate) struct NamedKey {
    pub(crate) id: String,
    pub(crate) key: SymmetricKey,
}

fn cipher(key: &SymmetricKey) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM_SIV, key.expose());
    Ok(LessSafeKey::new(key.map_err(|_| KeyVaultError::cryptography("set up a cipher"))?))
}

fn associated(header: &[u8], context: &Fields) -> Vec<u8> {
    Fields::default().field("cofre-keyvault envelope").field(header).field(context.bytes()).bytes().to_vec()
}

/// Seals `content` for `context`.
pub(crate) fn seal(purpose: Purpose, key: &NamedKey, context: &Fields, content: &[u8]) -> Result<Vec<u8>> {
    let id =
        unhex::<KEY_ID>(key.id.as_bytes()).ok_or_else(|| KeyVaultError::invalid("a key id is malformed"))?;
    let mut nonce = [0; NONCE];
    fill_random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(HEADER + content.len() + TAG);
    sealed.extend_from_slice(&purpose.magic);
    sealed.extend_from_slice(&[VERSION, purpose.kind]);
    sealed.extend_from_slice(&*id);
    sealed.extend_from_slice(&nonce);
    let associated = associated(&sealed, context);
    let cipher = cipher(&key.key)?;
    sealed.extend_from_slice(content);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let Ok(tag) = cipher.seal_in_place_separate_tag(nonce, Aad::from(&associated), &mut sealed[HEADER..])
    else {
        sealed.zeroize(); // it may still hold the content
        return Err(KeyVaultError::cryptography("seal"));
    };
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// The id of the key that sealed an envelope, as its header states it: nothing is authenticated yet.
/// `None` when this is no envelope of this purpose.
pub(crate) fn key_id(purpose: Purpose, sealed: &[u8]) -> Option<String> {
    let (header, rest) = sealed.split_at_checked(HEADER)?;
    let known = header[..4] == purpose.magic && header[4..6] == [VERSION, purpose.kind] && rest.len() >= TAG;
    known.then(|| hex(&header[6..6 + KEY_ID]))
}

/// Opens an envelope. `None` when it is not what [`seal`] made for this purpose, key and context.
pub(crate) fn open(
    purpose: Purpose,
    key: &NamedKey,
    context: &Fields,
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    if key_id(purpose, sealed).as_deref() != Some(&key.id) {
        return Ok(None);
    }
    let (header, rest) = sealed.split_at(HEADER);
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&header[HEADER - NONCE..]);
    let mut content = Zeroizing::new(rest.to_vec());
    let opened = cipher(&key.key)?.open_in_place(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(&associated(header, context)),
        &mut content,
    );
    let Ok(length) = opened.map(|plain| plain.len()) else { return Ok(None) };
    content.truncate(length);
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> NamedKey {
        NamedKey { id: "00112233445566778899aabbccddeeff".to_owned(), key: SymmetricKey::random().unwrap() }
    }

    fn context(text: &str) -> Fields {
        Fields::default().field(text)
    }

    #[test]
    fn opens_for_its_purpose_key_and_context_alone() {
        let key = key();
        let sealed = seal(RECORD, &key, &context("a"), b"content").unwrap();
        assert_eq!(open(RECORD, &key, &context("a"), &sealed).unwrap().unwrap().as_slice(), b"content");
        assert_eq!(key_id(RECORD, &sealed).unwrap(), key.id);
        assert!(open(RECORD, &key, &context("b"), &sealed).unwrap().is_none());
        assert!(open(RING, &key, &context("a"), &sealed).unwrap().is_none());
        let other = NamedKey { id: key.id.clone(), key: SymmetricKey::random().unwrap() };
        assert!(open(RECORD, &other, &context("a"), &sealed).unwrap().is_none());
        assert_ne!(seal(RECORD, &key, &context("a"), b"content").unwrap(), sealed);
    }

    proptest! {
        #[test]
        fn any_changed_byte_closes_it(
            content in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let key = key();
            let mut sealed = seal(KEY_BLOB, &key, &context("a"), &content).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert!(open(KEY_BLOB, &key, &context("a"), &sealed).unwrap().is_none());
            sealed[at] ^= flip;
            let opened = open(KEY_BLOB, &key, &context("a"), &sealed).unwrap().unwrap();
            prop_assert_eq!(opened.as_slice(), &content);
            prop_assert!(open(KEY_BLOB, &key, &context("a"), &sealed[..at]).unwrap().is_none());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(KEY_BLOB, &key(), &context("a"), &bytes).unwrap().is_none());
        }
    }
}
