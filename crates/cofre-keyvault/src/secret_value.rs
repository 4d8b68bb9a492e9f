//! The value of a secret.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    crypto::equal,
    error::{KeyVaultError, Result},
};

/// Longest value, in bytes.
pub const LONGEST_SECRET: usize = 25 * 1024;
/// Longest content type, in characters.
pub const LONGEST_CONTENT_TYPE: usize = 255;

/// The value of a secret: text of at most 25 KiB. Wiped when dropped, never shown by `Debug`.
#[derive(Clone, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes a value.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it is longer than 25 KiB.
    pub fn new(value: Zeroizing<String>) -> Result<Self> {
        if value.len() > LONGEST_SECRET {
            return Err(KeyVaultError::invalid(format!("a secret has at most {LONGEST_SECRET} bytes")));
        }
        Ok(Self(value))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretValue {
    /// In time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(…)")
    }
}

pub(crate) fn check_content_type(content_type: Option<&str>) -> Result<()> {
    let fits = content_type.is_none_or(|text| {
        text.chars().take(LONGEST_CONTENT_TYPE + 1).count() <= LONGEST_CONTENT_TYPE
            && !text.chars().any(char::is_control)
    });
    if fits {
        return Ok(());
    }
    Err(KeyVaultError::invalid(format!(
        "a content type has at most {LONGEST_CONTENT_TYPE} characters and no control characters"
    )))
}
