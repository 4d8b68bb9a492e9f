//! What is handed out about keys and secrets. Identifiers are name and version; URLs are the business
//! of the layer above.

use crate::{
    attributes::{Attributes, AttributesChange, Tags},
    deletion::Recovery,
    encoding::SecretBytes,
    permission::KeyOperation,
    rsa_key::RsaSize,
    secret_value::SecretValue,
};

/// One version of a key, with its public part. All keys are RSA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBundle {
    /// The name as created.
    pub name: String,
    /// The version.
    pub version: String,
    /// What the key may be used for.
    pub operations: Vec<KeyOperation>,
    /// The modulus, big-endian without leading zeros.
    pub n: Vec<u8>,
    /// The public exponent, big-endian without leading zeros.
    pub e: Vec<u8>,
    /// Whether and when it may be used.
    pub attributes: Attributes,
    /// Tags.
    pub tags: Tags,
    /// What becomes of it when it is deleted.
    pub recovery: Recovery,
}

/// One version of a secret with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretBundle {
    /// Everything but the value.
    pub properties: ItemProperties,
    /// The value.
    pub value: SecretValue,
}

/// One version of a key or secret, without material: what lists hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemProperties {
    /// The name as created.
    pub name: String,
    /// The version; in a list of names, the current one.
    pub version: String,
    /// The content type of a secret.
    pub content_type: Option<String>,
    /// Whether and when it may be used.
    pub attributes: Attributes,
    /// Tags.
    pub tags: Tags,
    /// What becomes of it when it is deleted.
    pub recovery: Recovery,
}

/// Part of a list. It may hold fewer items than asked for and not be the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<String>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest<'a> {
    /// [`Page::next`] of the page before.
    pub after: Option<&'a str>,
    /// How many items at most; between 1 and 250.
    pub limit: usize,
}

impl Default for PageRequest<'_> {
    /// The first page, of 25 items.
    fn default() -> Self {
        Self { after: None, limit: 25 }
    }
}

impl PageRequest<'_> {
    pub(crate) fn bounded(&self) -> usize {
        self.limit.clamp(1, 250)
    }
}

/// A key to be made or imported.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// How long; not looked at when a key is imported.
    pub size: RsaSize,
    /// What it may be used for; `None` is everything there is.
    pub operations: Option<Vec<KeyOperation>>,
    /// Attributes.
    pub attributes: AttributesChange,
    /// Tags.
    pub tags: Tags,
}

impl Default for KeySpec {
    fn default() -> Self {
        let (attributes, tags) = (AttributesChange::default(), Tags::new());
        Self { size: RsaSize::Bits2048, operations: None, attributes, tags }
    }
}

/// What is to change about a key version; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct KeyUpdate {
    /// What it may be used for.
    pub operations: Option<Vec<KeyOperation>>,
    /// Attributes.
    pub attributes: AttributesChange,
    /// All tags anew.
    pub tags: Option<Tags>,
}

/// A secret to be set.
#[derive(Clone, Debug)]
pub struct SecretSpec {
    /// The value.
    pub value: SecretValue,
    /// What the value is, such as `Wrapped BEK`.
    pub content_type: Option<String>,
    /// Attributes.
    pub attributes: AttributesChange,
    /// Tags.
    pub tags: Tags,
}

/// What is to change about a secret version; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct SecretUpdate {
    /// The content type.
    pub content_type: Option<String>,
    /// Attributes.
    pub attributes: AttributesChange,
    /// All tags anew.
    pub tags: Option<Tags>,
}

/// What an operation with a key gave.
#[derive(Clone, Debug)]
pub struct KeyOperationResult {
    /// The key's name as created.
    pub name: String,
    /// The version that was used.
    pub version: String,
    /// The published name of the algorithm that was used.
    pub algorithm: &'static str,
    /// Ciphertext, plaintext or signature.
    pub value: SecretBytes,
}
