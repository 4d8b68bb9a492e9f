#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod attributes;
mod audit;
mod blob;
mod bundle;
mod caller;
mod clock;
mod crypto;
mod deletion;
mod encoding;
mod envelope;
mod error;
mod names;
mod objects;
mod permission;
mod place;
mod policy;
mod private_key;
pub mod proof;
mod ring;
mod roles;
mod root_key;
mod rsa_key;
mod secret_value;
mod service;
mod signature;
pub mod state;
mod vault;

pub use attributes::{Attributes, AttributesChange, Tags};
pub use audit::{AuditEvent, Operation, Outcome, Scope};
pub use blob::{BlobHeader, LONGEST_BLOB, MOST_VERSIONS, read_blob_header};
pub use bundle::{
    ItemProperties, KeyBundle, KeyOperationResult, KeySpec, KeyUpdate, Page, PageRequest, SecretBundle,
    SecretSpec, SecretUpdate,
};
pub use caller::{BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID, Caller};
pub use clock::{Clock, SystemClock};
pub use deletion::{DeletedItem, DeletedKey, DeletedVault, Deletion, Recovery};
pub use encoding::SecretBytes;
pub use error::{ErrorKind, KeyVaultError, Result};
pub use permission::{CertificatePermission, KeyOperation, KeyPermission, Permission, SecretPermission};
pub use place::Place;
pub use policy::{AccessPolicy, AccessTemplate, Permissions, Principal};
pub use private_key::PrivateKey;
pub use roles::RolePermissions;
pub use root_key::RootKey;
pub use rsa_key::{RsaComponents, RsaSize, WrapAlgorithm};
pub use secret_value::{LONGEST_CONTENT_TYPE, LONGEST_SECRET, SecretValue};
pub use service::{KeyVaults, Recorded};
pub use signature::SignatureAlgorithm;
pub use vault::{Vault, VaultSpec, VaultUpdate};
