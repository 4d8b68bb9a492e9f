//! Names that the backup contract composes or restricts.

use crate::error::{ApiError, Result};

/// Type of Recovery Services vaults.
pub const RECOVERY_VAULT: &str = "Microsoft.RecoveryServices/vaults";
/// Type of virtual machines of the Resource Manager model.
pub const VIRTUAL_MACHINE: &str = "Microsoft.Compute/virtualMachines";
/// Type of virtual machines of the classic model.
pub const CLASSIC_VIRTUAL_MACHINE: &str = "Microsoft.ClassicCompute/virtualMachines";
/// Type of key vaults.
pub const KEY_VAULT: &str = "Microsoft.KeyVault/vaults";

/// Checks the name of a Recovery Services vault: 2 to 50 letters, digits and hyphens, a letter first.
///
/// # Errors
/// When it is none.
pub fn check_recovery_vault(name: &str) -> Result<()> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if starts && characters && (2..=50).contains(&name.len()) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{name:?} cannot be the name of a vault: 2 to 50 letters, digits and hyphens, a letter first"
    )))
}

/// Checks a name that the user chooses for a machine, a policy or a disk: 1 to 64 letters, digits,
/// `.`, `_` and `-`, beginning with a letter or digit.
///
/// # Errors
/// When it is none.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if starts && characters && name.len() <= 64 {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{name:?} cannot be the name of a {what}: 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
    )))
}

/// The name of the container of a machine.
#[must_use]
pub fn container(group: &str, machine: &str) -> String {
    format!("iaasvmcontainer;iaasvmcontainerv2;{group};{machine}")
}

/// The name of the protected item of a machine.
#[must_use]
pub fn item(group: &str, machine: &str) -> String {
    format!("vm;iaasvmcontainerv2;{group};{machine}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_names() {
        for good in ["bv", "Vault-1", &"v".repeat(50)] {
            check_recovery_vault(good).unwrap();
        }
        for bad in ["", "v", "1vault", "-v", "va_lt", "vä", &"v".repeat(51)] {
            assert!(check_recovery_vault(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_names() {
        check_name("machine", "web-1.a_b").unwrap();
        for bad in ["", ".web", "a/b", "a b", "a;b", &"v".repeat(65)] {
            assert!(check_name("machine", bad).is_err(), "{bad}");
        }
        assert_eq!(item("rg", "web"), "vm;iaasvmcontainerv2;rg;web");
        assert_eq!(container("rg", "web"), "iaasvmcontainer;iaasvmcontainerv2;rg;web");
    }
}
