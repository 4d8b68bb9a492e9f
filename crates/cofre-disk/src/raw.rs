//! Raw images: the bytes of the file or block device are the bytes of the disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use crate::{
    beneath::Root,
    block::{BlockSink, BlockSource, Extent, ExtentKind, check_offset, check_range},
    error::{DiskError, ErrorKind},
    host::{FileId, HostFile},
};

/// After a failed read the bytes around it are read again in pieces of these sizes, so that the error
/// names the first sector that is gone, and the good sectors before it are known to be good.
const RETRY_STEPS: [usize; 2] = [4096, 512];

/// A raw image, opened read-only.
#[derive(Debug)]
pub struct RawSource {
    host: HostFile,
}

impl RawSource {
    /// Opens a regular file or a block device.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, [`ErrorKind::Unsupported`] for anything that is neither file nor block
    /// device, and [`ErrorKind::InUse`] when a running QEMU holds it for writing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DiskError> {
        Ok(Self { host: HostFile::open(path.as_ref())? })
    }

    /// Opens a file inside the folder tree under `root`; `path` is absolute or begins at the root. Links
    /// and `..` may be in it as long as they do not leave the tree.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the path leads outside, and as [`open`](Self::open).
    pub fn open_beneath(path: impl AsRef<Path>, root: impl AsRef<Path>) -> Result<Self, DiskError> {
        let (file, resolved) = Root::open(root.as_ref())?.named(path.as_ref())?;
        Self::from_file(file, resolved)
    }

    /// Takes a file that the caller opened for reading. `path` is its name in messages, and where
    /// [`verify_unchanged`](BlockSource::verify_unchanged) looks for it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: File, path: impl AsRef<Path>) -> Result<Self, DiskError> {
        Ok(Self { host: HostFile::from_file(file, path.as_ref())? })
    }

    /// Where the image was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.host.path
    }

    pub(crate) fn id(&self) -> FileId {
        self.host.id
    }
}

impl BlockSource for RawSource {
    fn size(&self) -> u64 {
        self.host.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.host.size, offset, buffer.len(), &self.label())?;
        let read = |piece: &mut [u8], at| self.host.file.read_at(piece, at);
        read_fully(read, buffer, offset, &self.host.path)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        let size = self.host.size;
        check_offset(size, offset, &self.label())?;
        let (end, kind) = if self.host.is_device() {
            (size, ExtentKind::Data)
        } else {
            next_change(&self.host.file, offset, size)
                .map_err(|e| DiskError::io(ErrorKind::Unreadable, "ask for the holes of", self.path(), e))?
        };
        Ok(Extent { start: offset, length: end.min(size) - offset, kind })
    }

    fn verify_unchanged(&self) -> Result<(), DiskError> {
        self.host.verify_unchanged()
    }

    fn label(&self) -> String {
        self.host.path.display().to_string()
    }
}

/// What `offset` is, and where that ends.
fn next_change(file: &File, offset: u64, size: u64) -> io::Result<(u64, ExtentKind)> {
    // Moves the position of the file, which nobody reads: every read names its offset.
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) if data > offset => Ok((data, ExtentKind::Hole)),
        Ok(_) => match seek(file, SeekFrom::Hole(offset)) {
            Ok(hole) if hole > offset => Ok((hole, ExtentKind::Data)),
            // The file changed between the two questions; reading it decides.
            Ok(_) | Err(Errno::NXIO) => Ok((size, ExtentKind::Data)),
            Err(e) => Err(e.into()),
        },
        Err(Errno::NXIO) => Ok((size, ExtentKind::Hole)),
        // The file system cannot tell: then everything has to be read.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok((size, ExtentKind::Data)),
        Err(e) => Err(e.into()),
    }
}

/// Fills `buffer` from `offset` on with calls of `read`.
fn read_fully(
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    buffer: &mut [u8],
    offset: u64,
    path: &Path,
) -> Result<(), DiskError> {
    let mut at = offset;
    let mut rest = buffer;
    let mut smaller = RETRY_STEPS.iter();
    let mut step = usize::MAX;
    while !rest.is_empty() {
        // Pieces end at multiples of the step, so that a piece is never a part of two sectors.
        let into_step = usize::try_from(at % step as u64).unwrap_or(0);
        let length = rest.len().min(step - into_step);
        match read(&mut rest[..length], at) {
            Ok(0) => {
                let message = format!(
                    "{} ended at byte {at} while it was read: it became shorter; start the backup again",
                    path.display()
                );
                return Err(DiskError::new(ErrorKind::Changed, message).at(at));
            }
            Ok(count) => {
                at += count as u64;
                rest = &mut rest[count..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => match smaller.next() {
                Some(&next) => step = next,
                None => {
                    let doing = format!("read byte {at} of");
                    return Err(DiskError::io(ErrorKind::Unreadable, &doing, path, e).at(at));
                }
            },
        }
    }
    Ok(())
}

/// A raw image that is being written.
#[derive(Debug)]
pub struct RawSink {
    file: File,
    path: PathBuf,
    size: u64,
}

impl RawSink {
    /// Creates `path`, readable by its owner only, as a disk of `size` zeros that takes no space yet.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when something has that name, and the errors of the operating system.
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| DiskError::io(ErrorKind::Unwritable, "create", path, e))?;
        Self::from_file(file, path, size).inspect_err(|_| {
            // Made a moment ago and empty; the error that counts is the first one.
            let _ = std::fs::remove_file(path);
        })
    }

    /// Takes a regular file that is open for writing, **empties it** and makes it a disk of `size`
    /// zeros. `path` is its name in messages.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for anything but a regular file: a block device cannot be emptied,
    /// and bytes that are never written would keep what was there before.
    pub fn from_file(file: File, path: impl AsRef<Path>, size: u64) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let look = |e| DiskError::io(ErrorKind::Unwritable, "look at", path, e);
        if !file.metadata().map_err(look)?.is_file() {
            let message = format!(
                "{} is no regular file; restore into a file, then copy it to the device",
                path.display()
            );
            return Err(DiskError::new(ErrorKind::Unsupported, message));
        }
        let resize =
            |e| DiskError::io(ErrorKind::Unwritable, &format!("set the size ({size} bytes) of"), path, e);
        file.set_len(0).map_err(resize)?;
        file.set_len(size).map_err(resize)?;
        Ok(Self { file, path: path.to_path_buf(), size })
    }

    /// Where the image is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl BlockSink for RawSink {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, bytes.len(), &self.path.display().to_string())?;
        self.file.write_all_at(bytes, offset).map_err(|e| {
            let doing = format!("write {} bytes at {offset} of", bytes.len());
            DiskError::io(ErrorKind::Unwritable, &doing, &self.path, e).at(offset)
        })
    }

    /// Waits until the bytes and the size are on disk. The name is the caller's to make durable, by a
    /// sync of the directory, since it is the caller who may rename the file afterwards.
    fn finish(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|e| DiskError::io(ErrorKind::Unwritable, "sync", &self.path, e))
    }
}

#[cfg(test)]
mod tests;
