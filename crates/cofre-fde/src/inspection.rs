//! The front door: what encrypts this disk, if anything.

use serde::Serialize;

use crate::{
    error::FdeError,
    luks::{self, LuksInfo},
    read_at::ReadAt,
};

/// What a header says without any key. As JSON, the field `format` names the variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Inspection {
    /// LUKS, version 1 or 2.
    Luks(LuksInfo),
}

/// Reads the header of an encrypted disk, partition or detached header file. Needs no key.
///
/// # Errors
/// [`ErrorKind::NotEncrypted`](crate::ErrorKind::NotEncrypted) when no format is recognised;
/// `Damaged`, `Truncated`, `Unsupported` and `Io` of the format that is.
pub fn inspect(source: &dyn ReadAt) -> Result<Inspection, FdeError> {
    luks::inspect(source).map(Inspection::Luks)
}
