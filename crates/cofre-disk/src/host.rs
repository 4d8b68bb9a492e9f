//! The file or block device behind an image: opened without side effects, known again later.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    error::{DiskError, ErrorKind},
    locks,
};

/// What makes two open files the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileId {
    /// A regular file.
    File { device: u64, inode: u64 },
    /// A block device, whatever node leads to it.
    Device { number: u64 },
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        if metadata.file_type().is_block_device() {
            Self::Device { number: metadata.rdev() }
        } else {
            Self::File { device: metadata.dev(), inode: metadata.ino() }
        }
    }
}

/// An open regular file or block device, read-only, with what it looked like when it was opened.
#[derive(Debug)]
pub(crate) struct HostFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) id: FileId,
    modified: Option<(i64, i64)>,
}

impl HostFile {
    /// Opens `path` for reading.
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        // Looked at before it is opened: opening a fifo or a tape has effects of its own.
        let metadata =
            path.metadata().map_err(|e| DiskError::io(ErrorKind::Unreadable, "look at", path, e))?;
        check_type(&metadata, path)?;
        let file = OpenOptions::new()
            .read(true)
            // Should the path have become a fifo since: do not wait for a writer.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(|e| DiskError::io(ErrorKind::Unreadable, "open", path, e))?;
        Self::from_file(file, path)
    }

    /// Takes a file that is open for reading already; `path` is where to find it again.
    pub(crate) fn from_file(mut file: File, path: &Path) -> Result<Self, DiskError> {
        let metadata =
            file.metadata().map_err(|e| DiskError::io(ErrorKind::Unreadable, "look at", path, e))?;
        check_type(&metadata, path)?;
        locks::refuse_if_in_use(&file, path)?;
        let size = size_of(&mut file, &metadata)
            .map_err(|e| DiskError::io(ErrorKind::Unreadable, "measure", path, e))?;
        let modified = modified(&metadata);
        Ok(Self { file, path: path.to_path_buf(), size, id: FileId::of(&metadata), modified })
    }

    /// Is it a block device (which has no holes and no modification time)?
    pub(crate) fn is_device(&self) -> bool {
        matches!(self.id, FileId::Device { .. })
    }

    /// Says whether the file is still at its path, of the same size, unwritten and free.
    pub(crate) fn verify_unchanged(&self) -> Result<(), DiskError> {
        let changed = |what: &str| {
            let message = format!("{} {what} while it was read; start the backup again", self.path.display());
            Err(DiskError::new(ErrorKind::Changed, message))
        };
        let look = |e| DiskError::io(ErrorKind::Unreadable, "look at", &self.path, e);
        let mut file = &self.file;
        let now = file.metadata().map_err(look)?;
        let size = size_of(&mut file, &now).map_err(look)?;
        if size != self.size {
            return changed(&format!("changed its size from {} to {size} bytes", self.size));
        }
        match self.path.metadata() {
            Ok(metadata) if FileId::of(&metadata) == self.id => {}
            Ok(_) => return changed("was replaced by another file"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return changed("was removed"),
            Err(e) => return Err(look(e)),
        }
        if modified(&now) != self.modified {
            return changed("was written to");
        }
        locks::refuse_if_in_use(&self.file, &self.path)
    }
}

fn check_type(metadata: &Metadata, path: &Path) -> Result<(), DiskError> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    let found = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a character device"
    };
    let message =
        format!("{} is {found}; a disk image has to be a regular file or a block device", path.display());
    Err(DiskError::new(ErrorKind::Unsupported, message))
}

/// Regular files know their size; a block device is as long as its end is far.
fn size_of(file: &mut (impl Seek + ?Sized), metadata: &Metadata) -> io::Result<u64> {
    if metadata.file_type().is_block_device() { file.seek(SeekFrom::End(0)) } else { Ok(metadata.size()) }
}

/// Writes to a block device do not show on its node.
fn modified(metadata: &Metadata) -> Option<(i64, i64)> {
    metadata.is_file().then(|| (metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        let error = HostFile::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        error.to_string()
    }

    #[test]
    fn what_is_no_disk_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(dir.path()).contains("is a directory"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert!(refused(&fifo).contains("is a fifo"));
        assert!(refused(Path::new("/dev/null")).contains("is a character device"));
        let error = HostFile::open(&dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        std::fs::write(&path, [7; 1000]).unwrap();
        let host = HostFile::open(&path).unwrap();
        host.verify_unchanged().unwrap();
        assert_eq!(host.size, 1000);

        let other = dir.path().join("other.raw");
        std::fs::write(&other, [7; 1000]).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let error = host.verify_unchanged().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.to_string().contains("replaced by another file"), "{error}");

        std::fs::remove_file(&path).unwrap();
        assert!(host.verify_unchanged().unwrap_err().to_string().contains("was removed"));
    }

    #[test]
    fn growth_and_writes_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        std::fs::write(&path, [7; 1000]).unwrap();
        let host = HostFile::open(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(2000).unwrap();
        let error = host.verify_unchanged().unwrap_err();
        assert!(error.to_string().contains("size from 1000 to 2000"), "{error}");
        file.set_len(1000).unwrap();
        // The clock of the file system is coarse: move the time by hand.
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
        file.set_modified(past).unwrap();
        let error = host.verify_unchanged().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.to_string().contains("written to"), "{error}");
    }
}
