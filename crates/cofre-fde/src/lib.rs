#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod hash;
mod hex;
mod inspection;
mod limits;
pub mod luks;
mod read_at;
mod secret;
pub mod sector;
mod view;

pub use error::{ErrorKind, FdeError};
pub use hash::HashAlgorithm;
pub use inspection::{Inspection, inspect};
pub use limits::Limits;
#[cfg(unix)]
pub use read_at::FileSource;
pub use read_at::ReadAt;
pub use secret::VolumeKey;
pub use view::{Mapping, PlaintextView, Run, RunContent};
