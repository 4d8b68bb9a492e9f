//! Small files that only their owner may read, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use cofre_arm::{ApiError, Problem, Result};
use zeroize::Zeroizing;

fn unusable(doing: &str, path: &Path, error: io::Error) -> ApiError {
    ApiError::new(Problem::StateUnavailable, format!("cannot {doing} {}", path.display())).because(error)
}

/// Writes a new file of mode 0600 and returns when it is durable. An existing file is never replaced.
///
/// # Errors
/// `Conflict` when the file exists, `StateUnavailable`.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    // what an attempt that died has left
    let _ = fs::remove_file(&partial);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| unusable("write", &partial, e))?;
    // a link fails where the name is taken; a rename would replace what is there
    let linked = fs::hard_link(&partial, path);
    let _ = fs::remove_file(&partial);
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ApiError::new(Problem::Conflict, format!("{} exists already", path.display())));
        }
        other => other.map_err(|e| unusable("write", path, e))?,
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|d| d.sync_all()).map_err(|e| unusable("sync the folder of", path, e))
}

/// Reads a file of at most `limit` bytes; with `private`, refuses one that others may read.
pub(super) fn read(path: &Path, limit: u32, private: bool) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(|e| unusable("read", path, e))?;
    let mode = file.metadata().map_err(|e| unusable("read", path, e))?.mode();
    if private && mode & 0o077 != 0 {
        let message = format!("{} can be read by others (mode {:04o})", path.display(), mode & 0o7777);
        let advice =
            format!("Run `chmod 600 {}`; if somebody may have read it, make a new key.", path.display());
        return Err(ApiError::new(Problem::StateUnavailable, message).recommend(advice));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit as usize + 1));
    file.take(u64::from(limit) + 1).read_to_end(&mut bytes).map_err(|e| unusable("read", path, e))?;
    if bytes.len() > limit as usize {
        let message = format!("{} has more than {limit} bytes, which it should not", path.display());
        return Err(ApiError::new(Problem::StateUnavailable, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_files_are_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(dir.path().join("key.partial"), "left by an attempt that died").unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(write_private(&path, b"other").unwrap_err().problem(), Problem::Conflict);
        assert_eq!(&**read(&path, 6, true).unwrap(), b"secret");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(read(&path, 5, true).is_err(), "longer than it should be");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path, 6, true).unwrap_err().to_string().contains("0640"));
        assert!(read(&path, 6, false).is_ok());
    }
}
