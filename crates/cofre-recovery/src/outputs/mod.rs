//! The files that a restore of disks writes beside the disks, from models to bytes and back: the
//! machine's configuration ([`configuration`]), its keys and secrets ([`encryption`]), a deployment
//! template ([`template`]), and what follows from them when keys go back into a key vault
//! ([`keys_back`]). docs/restore-files.md describes each.

pub mod configuration;
pub mod encryption;
pub mod keys_back;
mod members;
pub mod template;
mod text;

use cofre_arm::ObjectUrl;

pub use configuration::{Configuration, ConfiguredDisk};
pub use encryption::{EncryptionFile, KeyAndSecret, KeyBlob};
pub use keys_back::{CapturedSecret, MovedKeys, SecretToSet};
pub use template::TemplateCutoffs;

/// Most disks that are read of a file: one to boot from and a slot for each of 64 others.
const MAX_DATA_DISKS: usize = 64;

/// A disk that was restored as a VHD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredDisk {
    /// The disk's name in the machine.
    pub name: String,
    /// Its slot; none for the disk that the machine boots from.
    pub lun: Option<u32>,
    /// Name of the blob, `os.vhd`.
    pub blob: String,
    /// Where the blob is.
    pub uri: String,
    /// Bytes of the disk.
    pub size: u64,
}

/// The URL of a key or secret as the files show it: without the port that it may have.
fn without_port(url: &str) -> String {
    url.parse::<ObjectUrl>().map_or_else(|_| url.to_owned(), |url| url.to_string())
}

/// Whole GiB that hold so many bytes.
fn whole_gib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}
