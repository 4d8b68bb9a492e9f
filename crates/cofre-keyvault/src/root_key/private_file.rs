//! Small files that only their owner may read.

use std::{
    fs,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

use crate::error::{ErrorKind, KeyVaultError, Result};

/// What is wrong with a root key file.
pub(super) fn fault(path: &Path, what: &str) -> KeyVaultError {
    KeyVaultError::new(ErrorKind::RootKey, format!("the root key file {} {what}", path.display()))
}

/// Reads a file of at most `limit` bytes; a longer one is given with one byte more than that.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path).map_err(|error| fault(path, "cannot be opened").with_source(error))?;
    let metadata = file.metadata().map_err(|error| fault(path, "cannot be inspected").with_source(error))?;
    if !metadata.is_file() {
        return Err(fault(path, "is no regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(fault(
            path,
            "is open to others than its owner: give it mode 0600, and rotate the root key if others may have read it",
        ));
    }
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(path, "cannot be read").with_source(error)),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes a new file of mode 0600, durably.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| fault(path, "cannot be created").with_source(error))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory.unwrap_or(Path::new(".")))?.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        fault(path, "cannot be written").with_source(error)
    })
}
