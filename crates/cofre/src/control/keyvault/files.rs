//! Files with secrets and blobs.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use cofre_arm::ApiError;
use zeroize::Zeroizing;

use crate::report::Result;

/// Reads a file of at most `limit` bytes, byte for byte; `-` is standard input.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>> {
    let unreadable = |e: io::Error| ApiError::invalid(format!("cannot read {}", path.display())).because(e);
    // one allocation of the final size: a growing buffer would leave copies behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    let most = limit as u64 + 1;
    if path.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        File::open(path).map_err(unreadable)?.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if bytes.len() > limit {
        return Err(ApiError::invalid(format!("{} has more than {limit} bytes", path.display())).into());
    }
    Ok(bytes)
}

/// Writes a new file that only its owner may read.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(cofre_recovery::trust::write_private(path, bytes)?)
}
