//! What names may look like. Names are compared without regard to case and shown as created.

use crate::error::{KeyVaultError, Result};

/// Longest name of a key or secret, in characters.
const LONGEST_OBJECT_NAME: usize = 127;

/// 3 to 24 letters, digits and hyphens; begins with a letter, ends with a letter or digit, no two
/// hyphens in a row.
pub(crate) fn is_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && name.as_bytes()[0].is_ascii_alphabetic()
        && !name.ends_with('-')
        && !name.contains("--")
}

/// 1 to 127 letters, digits and hyphens.
pub(crate) fn is_object_name(name: &str) -> bool {
    (1..=LONGEST_OBJECT_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// 32 hexadecimal digits.
pub(crate) fn is_version(version: &str) -> bool {
    version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn check_vault_name(name: &str) -> Result<()> {
    if is_vault_name(name) {
        return Ok(());
    }
    Err(KeyVaultError::invalid(
        "the name of a key vault has 3 to 24 letters, digits and hyphens, begins with a letter, ends with a \
         letter or digit, and has no two hyphens in a row",
    ))
}

pub(crate) fn check_object_name(name: &str) -> Result<()> {
    if is_object_name(name) {
        return Ok(());
    }
    Err(KeyVaultError::invalid("the name of a key or secret has 1 to 127 letters, digits and hyphens"))
}

pub(crate) fn check_version(version: &str) -> Result<()> {
    if is_version(version) {
        return Ok(());
    }
    Err(KeyVaultError::invalid("a version has 32 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_names() {
        for good in ["abc", "a-1", "Vault-of-24-characters-x", "a23456789012345678901234"] {
            assert!(is_vault_name(good), "{good}");
        }
        for bad in
            ["", "ab", "1abc", "-abc", "abc-", "a--c", "a_c", "a.c", "äbc", "a234567890123456789012345"]
        {
            assert!(!is_vault_name(bad), "{bad}");
        }
    }

    #[test]
    fn object_names_and_versions() {
        assert!(is_object_name("9") && is_object_name(&"a".repeat(127)) && is_object_name("-"));
        assert!(!is_object_name("") && !is_object_name(&"a".repeat(128)) && !is_object_name("a/b"));
        assert!(is_version(&"0aF9".repeat(8)));
        assert!(!is_version("") && !is_version(&"g".repeat(32)) && !is_version(&"0".repeat(33)));
    }
}
