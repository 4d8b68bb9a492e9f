//! Keys and secrets as they are stored: a head with the name and the current version, and one record
//! a version. Paths hold the id of the vault's key: a vault that is deleted and made again under its
//! old name begins empty, whatever was written at the same time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    attributes::{Attributes, Tags},
    deletion::DeletionMark,
    encoding::SecretBytes,
    permission::KeyOperation,
};

/// Keys or secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Key,
    Secret,
}

impl Kind {
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Secret => "secret",
        }
    }

    /// The heads of all objects of a vault.
    pub(crate) fn heads(self, vault_key: &str) -> String {
        format!("{}s/{vault_key}/", self.noun())
    }

    pub(crate) fn head(self, vault_key: &str, name: &str) -> String {
        format!("{}{}", self.heads(vault_key), name.to_ascii_lowercase())
    }

    /// The versions of all objects of a vault.
    pub(crate) fn all_versions(self, vault_key: &str) -> String {
        format!("{}-versions/{vault_key}/", self.noun())
    }

    /// The versions of one object.
    pub(crate) fn versions(self, vault_key: &str, name: &str) -> String {
        format!("{}{}/", self.all_versions(vault_key), name.to_ascii_lowercase())
    }

    pub(crate) fn version(self, vault_key: &str, name: &str, version: &str) -> String {
        format!("{}{}", self.versions(vault_key, name), version.to_ascii_lowercase())
    }
}

/// An object as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    /// The name as created.
    pub(crate) name: String,
    /// The version that counts when none is named.
    pub(crate) current: String,
    /// The number of the next version.
    pub(crate) next: u64,
    pub(crate) created: Timestamp,
    /// When it is deleted; the head stays in its place and so holds the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion: Option<DeletionMark>,
}

/// What versions of keys and of secrets share.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    /// 32 hexadecimal digits.
    pub(crate) version: String,
    /// Its place in the order of versions, from 0.
    pub(crate) sequence: u64,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Tags,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyVersion {
    pub(crate) about: About,
    pub(crate) operations: Vec<KeyOperation>,
    /// The private key, PKCS#8 in DER. The public part is in it.
    pub(crate) pkcs8: SecretBytes,
    /// Modulus and exponent, big-endian, so that the private key rests when only they are asked for.
    pub(crate) n: SecretBytes,
    pub(crate) e: SecretBytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretVersion {
    pub(crate) about: About,
    pub(crate) content_type: Option<String>,
    pub(crate) value: SecretBytes,
}

/// A version of a key or of a secret.
pub(crate) trait Version: Serialize + DeserializeOwned {
    const KIND: Kind;
    fn about(&self) -> &About;
    fn about_mut(&mut self) -> &mut About;
}

impl Version for KeyVersion {
    const KIND: Kind = Kind::Key;

    fn about(&self) -> &About {
        &self.about
    }

    fn about_mut(&mut self) -> &mut About {
        &mut self.about
    }
}

impl Version for SecretVersion {
    const KIND: Kind = Kind::Secret;

    fn about(&self) -> &About {
        &self.about
    }

    fn about_mut(&mut self) -> &mut About {
        &mut self.about
    }
}

/// A record that was opened.
#[derive(Debug)]
pub(crate) struct Stored<T> {
    pub(crate) path: String,
    pub(crate) revision: u64,
    pub(crate) body: T,
}
