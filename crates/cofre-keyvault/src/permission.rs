//! Permissions, by their published names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{KeyVaultError, Result};

macro_rules! permissions {
    ($(#[$about:meta])* $name:ident, $kind:literal: $($variant:ident = $text:literal,)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the published names are the documentation")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// All there are: what `all` stands for.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The published name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = KeyVaultError;

            /// Reads a published name, in any case.
            fn from_str(text: &str) -> Result<Self> {
                let found = Self::ALL.iter().find(|permission| permission.as_str().eq_ignore_ascii_case(text));
                found.copied().ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|permission| permission.as_str()).collect();
                    KeyVaultError::invalid(format!(
                        concat!("there is no such permission for ", $kind, "; there are: {}"), names.join(", ")
                    ))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

permissions! {
    /// What a principal may do with keys.
    KeyPermission, "keys":
    Get = "get",
    List = "list",
    Create = "create",
    Import = "import",
    Update = "update",
    Delete = "delete",
    Backup = "backup",
    Restore = "restore",
    Recover = "recover",
    Purge = "purge",
    Encrypt = "encrypt",
    Decrypt = "decrypt",
    WrapKey = "wrapKey",
    UnwrapKey = "unwrapKey",
    Sign = "sign",
    Verify = "verify",
    Release = "release",
    Rotate = "rotate",
    GetRotationPolicy = "getrotationpolicy",
    SetRotationPolicy = "setrotationpolicy",
}

permissions! {
    /// What a principal may do with secrets.
    SecretPermission, "secrets":
    Get = "get",
    List = "list",
    Set = "set",
    Delete = "delete",
    Backup = "backup",
    Restore = "restore",
    Recover = "recover",
    Purge = "purge",
}

permissions! {
    /// What a principal may do with certificates. Kept and shown; there are no certificates here.
    CertificatePermission, "certificates":
    Get = "get",
    List = "list",
    Create = "create",
    Import = "import",
    Update = "update",
    Delete = "delete",
    Backup = "backup",
    Restore = "restore",
    Recover = "recover",
    Purge = "purge",
    ManageContacts = "managecontacts",
    ManageIssuers = "manageissuers",
    GetIssuers = "getissuers",
    ListIssuers = "listissuers",
    SetIssuers = "setissuers",
    DeleteIssuers = "deleteissuers",
}

permissions! {
    /// What a key may be used for, whoever asks (`key_ops`).
    KeyOperation, "key operations":
    Encrypt = "encrypt",
    Decrypt = "decrypt",
    WrapKey = "wrapKey",
    UnwrapKey = "unwrapKey",
    Sign = "sign",
    Verify = "verify",
}

/// A permission that an operation on the data needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// For keys.
    Key(KeyPermission),
    /// For secrets.
    Secret(SecretPermission),
}

impl From<KeyPermission> for Permission {
    fn from(permission: KeyPermission) -> Self {
        Self::Key(permission)
    }
}

impl From<SecretPermission> for Permission {
    fn from(permission: SecretPermission) -> Self {
        Self::Secret(permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_are_read_in_any_case() {
        assert_eq!("WRAPKEY".parse::<KeyPermission>().unwrap(), KeyPermission::WrapKey);
        assert_eq!(KeyPermission::UnwrapKey.to_string(), "unwrapKey");
        let json = serde_json::to_string(SecretPermission::ALL).unwrap();
        assert_eq!(json, r#"["get","list","set","delete","backup","restore","recover","purge"]"#);
        assert_eq!(serde_json::from_str::<Vec<SecretPermission>>(&json).unwrap(), SecretPermission::ALL);
        let error = "hunter2".parse::<KeyPermission>().unwrap_err().to_string();
        assert!(error.contains("unwrapKey") && !error.contains("hunter2"), "{error}");
    }
}
