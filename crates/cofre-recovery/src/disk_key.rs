//! Disk keys as the platform keeps them: wrapped by a key, in a secret with tags.
//!
//! A guest's disk key is a file: for LUKS a passphrase, byte for byte. What a key vault holds of it is
//! the wrapped bytes in base64url.

use std::collections::BTreeMap;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use cofre_arm::{ApiError, ObjectUrl, Result};
use cofre_compute::OsType;
use zeroize::Zeroizing;

use crate::{
    captured::WrappedSecret,
    key_source::StoredSecret,
    outputs::keys_back::{
        DEFAULT_ALGORITHM, LINUX_FILE_NAME, TAG_ALGORITHM, TAG_FILE_NAME, TAG_KEY_URL, TAG_MACHINE,
        WRAPPED_BEK, machine_tag,
    },
};

/// Random bytes that the Linux tool draws for a disk key.
const LINUX_RANDOM_BYTES: usize = 127;

/// A new disk key for a Linux guest: 127 random bytes as base64 text with no newline.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<Zeroizing<Vec<u8>>> {
    let mut random = Zeroizing::new([0_u8; LINUX_RANDOM_BYTES]);
    aws_lc_rs::rand::fill(&mut *random).map_err(|_| {
        ApiError::new(cofre_arm::Problem::StateUnavailable, "the system gives no random bytes")
    })?;
    Ok(Zeroizing::new(Base64::encode_string(&*random).into_bytes()))
}

/// The secret that holds a wrapped disk key: `wrapped` are the bytes that wrapping with `key` gave.
#[must_use]
pub fn secret(name: &str, wrapped: &[u8], key: &ObjectUrl, machine: &str, os_type: OsType) -> StoredSecret {
    let file_name = match os_type {
        OsType::Linux => LINUX_FILE_NAME.to_owned(),
        OsType::Windows => format!("{name}.BEK"),
    };
    let tags = [
        (TAG_ALGORITHM, DEFAULT_ALGORITHM.to_owned()),
        (TAG_FILE_NAME, file_name),
        (TAG_KEY_URL, key.to_string()),
        (TAG_MACHINE, machine_tag(machine).to_owned()),
    ];
    StoredSecret {
        value: WrappedSecret::new(Zeroizing::new(Base64UrlUnpadded::encode_string(wrapped))),
        content_type: Some(WRAPPED_BEK.to_owned()),
        tags: tags.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect::<BTreeMap<_, _>>(),
    }
}

/// The wrapped bytes of a secret's value: base64 or base64url, with or without padding, as it is found.
///
/// # Errors
/// `InvalidParameter` when it is neither.
pub fn wrapped_bytes(value: &str) -> Result<Zeroizing<Vec<u8>>> {
    let plain: Zeroizing<String> = Zeroizing::new(
        value
            .trim()
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '+' => '-',
                '/' => '_',
                other => other,
            })
            .collect(),
    );
    Base64UrlUnpadded::decode_vec(&plain)
        .map(Zeroizing::new)
        .map_err(|_| ApiError::invalid("the secret's value is not base64: it is no wrapped disk key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_base64_is_read() {
        let bytes = [0xfb_u8, 0xff, 0xfe, 0x01];
        for text in ["-__-AQ", "+//+AQ==", "-__-AQ==\n", "+//+AQ"] {
            assert_eq!(&**wrapped_bytes(text).unwrap(), bytes, "{text}");
        }
        for bad in ["a", "ü", "a b", "-__-AQ!"] {
            assert!(wrapped_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_generated_key_is_text_and_the_secret_is_tagged_as_published() {
        let key = generate().unwrap();
        assert_eq!(key.len(), 172);
        assert!(key.iter().all(u8::is_ascii_graphic));
        assert_ne!(key, generate().unwrap());
        let url: ObjectUrl = "https://kv.vault.localhost/keys/kek/1".parse().unwrap();
        let made = secret("bek", &[1, 2, 3], &url, "web 1", OsType::Linux);
        assert_eq!(made.content_type.as_deref(), Some("Wrapped BEK"));
        assert_eq!(made.value.expose(), "AQID");
        assert_eq!(made.tags["DiskEncryptionKeyEncryptionKeyURL"], url.to_string());
        assert_eq!(made.tags["DiskEncryptionKeyFileName"], "LinuxPassPhraseFileName");
        assert_eq!(made.tags["MachineName"], "", "a name that the tag cannot hold");
    }
}
