//! The file a disk is restored into: `PATH.partial` until it is whole, then `PATH`.
//!
//! Whoever can write to the directory may have put a link at `PATH.partial`: the file is always made
//! anew, never opened through a name that exists. A lock on it keeps two restores to one path apart.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cofre_repo::{ErrorKind, RepoError, error::Result};
use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, openat, renameat_with},
    io::Errno,
};

/// A file under construction. Dropped before [`commit`](Self::commit), it is removed.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    force: bool,
}

fn failed(doing: &str, path: &Path, error: io::Error) -> RepoError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::TargetUnwritable,
    };
    RepoError::new(kind, format!("cannot {doing} {}", path.display())).with_source(error)
}

fn exists(path: &Path) -> RepoError {
    RepoError::new(ErrorKind::TargetExists, format!("{} exists already", path.display()))
}

impl Partial {
    /// Refuses a target that must not be replaced, before any work is done.
    pub(super) fn refuse_existing(target: &Path, force: bool) -> Result<()> {
        if target.file_name().is_none() || target.as_os_str().as_encoded_bytes().ends_with(b"/") {
            let message = format!("{} is no name of a file", target.display());
            return Err(RepoError::new(ErrorKind::Invalid, message)
                .recommend("Give the path of the file to write, not of a directory."));
        }
        match fs::symlink_metadata(target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("look at", target, e)),
            Ok(found) if !found.is_file() => Err(RepoError::new(
                ErrorKind::TargetExists,
                format!("{} exists already and is no regular file", target.display()),
            )
            .recommend("Restore into a file, then copy it to the device.")),
            Ok(_) if force => Ok(()),
            Ok(_) => Err(exists(target)),
        }
    }

    /// Makes `PATH.partial`, in place of one that a dead restore left.
    pub(super) fn create(target: &Path, force: bool) -> Result<Self> {
        let mut name = OsString::from(target);
        name.push(".partial");
        let path = PathBuf::from(name);
        remove_leftover(&path)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => busy(&path),
            _ => failed("create", &path, e),
        })?;
        // File systems without locks keep nobody apart; commit looks again.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { file, path, target: target.to_owned(), force })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write through.
    pub(super) fn file(&self) -> Result<File> {
        self.file.try_clone().map_err(|e| failed("write", &self.path, e))
    }

    /// Whether the name still leads to our file.
    fn is_ours(&self) -> bool {
        let named = fs::symlink_metadata(&self.path);
        named.is_ok_and(|named| {
            self.file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (named.dev(), named.ino()))
        })
    }

    /// Gives the file its name. It is durable already; afterwards its name is, too.
    pub(super) fn commit(self) -> Result<()> {
        if !self.is_ours() {
            return Err(RepoError::new(
                ErrorKind::TargetUnwritable,
                format!("{} was moved or replaced while it was written", self.path.display()),
            ));
        }
        if self.force {
            Self::refuse_existing(&self.target, true)?;
            fs::rename(&self.path, &self.target).map_err(|e| failed("rename to", &self.target, e))?;
        } else {
            match renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                Err(Errno::EXIST) => return Err(exists(&self.target)),
                // The file system cannot do that at once: look, then rename.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    Self::refuse_existing(&self.target, false)?;
                    fs::rename(&self.path, &self.target).map_err(|e| failed("rename to", &self.target, e))?;
                }
                Err(e) => return Err(failed("rename to", &self.target, e.into())),
            }
        }
        let directory = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|d| d.sync_all())
            .map_err(|e| failed("sync the directory", directory, e))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a commit the name is gone, and this does nothing.
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn busy(path: &Path) -> RepoError {
    let message = format!("another restore is writing {}", path.display());
    RepoError::new(ErrorKind::TargetExists, message)
        .recommend("Wait until it is done, or choose another path.")
}

/// Removes what a dead restore left, of whatever kind it is, unless a living one writes it.
fn remove_leftover(path: &Path) -> Result<()> {
    match openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => {
            if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Err(busy(path));
            }
        }
        Err(Errno::NOENT) => return Ok(()),
        // a link, or not ours to read: the name can be removed all the same
        Err(_) => {}
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove the old file", path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_link_in_the_way_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, victim) = (dir.path().join("a.raw"), dir.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.path().join("a.raw.partial")).unwrap();
        let partial = Partial::create(&target, false).unwrap();
        partial.file().unwrap().write_all(b"disk").unwrap();
        partial.commit().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&target).unwrap(), b"disk");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        assert!(!dir.path().join("a.raw.partial").exists());
    }

    #[test]
    fn what_exists_is_kept_unless_forced_and_only_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.raw");
        let late = Partial::create(&target, false).unwrap();
        fs::write(&target, "old").unwrap();
        let kind = |r: Result<()>| r.unwrap_err().kind();
        assert_eq!(kind(late.commit()), ErrorKind::TargetExists, "it came while we worked");
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert!(!dir.path().join("a.raw.partial").exists());
        assert_eq!(kind(Partial::refuse_existing(&target, false)), ErrorKind::TargetExists);
        Partial::refuse_existing(&target, true).unwrap();
        Partial::create(&target, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");

        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(kind(Partial::refuse_existing(&link, true)), ErrorKind::TargetExists);
        assert_eq!(kind(Partial::refuse_existing(dir.path(), true)), ErrorKind::TargetExists);
        assert_eq!(kind(Partial::refuse_existing(Path::new("/"), true)), ErrorKind::Invalid);
    }

    #[test]
    fn two_restores_to_one_path_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.raw");
        let first = Partial::create(&target, false).unwrap();
        assert_eq!(Partial::create(&target, false).unwrap_err().kind(), ErrorKind::TargetExists);
        drop(first);
        drop(Partial::create(&target, false).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_was_swapped_is_not_published() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.raw");
        let partial = Partial::create(&target, false).unwrap();
        let path = partial.path().to_owned();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        assert_eq!(partial.commit().unwrap_err().kind(), ErrorKind::TargetUnwritable);
        assert!(!target.exists());
        assert_eq!(fs::read(&path).unwrap(), b"another's", "not ours to remove");
    }
}
