//! Finding the backing files of an image on the host, inside one folder tree and nowhere else.
//!
//! The name of a backing file comes from whoever made the image. It is resolved as QEMU would resolve it,
//! and what it leads to has to be in the tree. The file is then opened by its resolved name, with the
//! kernel's promise that no link is followed and the tree is not left, so that nothing can be exchanged
//! between the look and the opening.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::{
    error::{DiskError, ErrorKind},
    host::FileId,
    raw::RawSource,
};

/// Opens the files of one chain.
pub(super) struct Folder {
    root: PathBuf,
    handle: rustix::fd::OwnedFd,
    /// Where the image whose backing file is next lives: what relative names are relative to.
    directory: PathBuf,
    seen: HashSet<FileId>,
}

impl Folder {
    /// The tree under the directory of the image at `path`, or under `root` where that is given, and
    /// the image.
    pub(super) fn open(path: &Path, root: Option<&Path>) -> Result<(Self, RawSource), DiskError> {
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let canonical = |path: &Path| {
            path.canonicalize().map_err(|e| DiskError::io(ErrorKind::Unreadable, "resolve", path, e))
        };
        let directory = canonical(parent)?;
        let root = match root {
            Some(root) => canonical(root)?,
            None => directory.clone(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &root, flags, Mode::empty())
            .map_err(|e| DiskError::io(ErrorKind::Unreadable, "open", &root, e.into()))?;
        if !directory.starts_with(&root) {
            return Err(outside(path, path, &root));
        }
        let mut folder = Self { root, handle, directory, seen: HashSet::new() };
        let image = RawSource::open(path)?;
        folder.seen.insert(image.id());
        Ok((folder, image))
    }

    /// Opens the backing file of that name of the image called `referrer`.
    pub(super) fn backing(&mut self, name: &[u8], referrer: &Path) -> Result<RawSource, DiskError> {
        let name = Path::new(OsStr::from_bytes(name));
        // An absolute name replaces the directory.
        let joined = self.directory.join(name);
        let resolved = match joined.canonicalize() {
            Ok(resolved) => resolved,
            // Whether there is something outside is none of the image's business: the answer is the same.
            Err(_) if !resolve_dots(&joined).starts_with(&self.root) => {
                return Err(outside(name, referrer, &self.root));
            }
            Err(e) => return Err(self.unopened(&joined, referrer, e)),
        };
        let Ok(relative) = resolved.strip_prefix(&self.root) else {
            return Err(outside(name, referrer, &self.root));
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(&self.handle, relative, flags, Mode::empty(), resolve)
            .map_err(|e| self.unopened(&resolved, referrer, e.into()))?;
        let image = RawSource::from_file(File::from(file), &resolved)?;
        if !self.seen.insert(image.id()) {
            let message = format!(
                "qcow2 image {}: its backing file {} is above it in the same chain: a loop",
                referrer.display(),
                resolved.display()
            );
            return Err(DiskError::new(ErrorKind::Malformed, message));
        }
        // As QEMU does: the next name is relative to where this one was said to be, link or not. Should
        // that be outside of the tree, then so is every relative name, and it is refused.
        let parent = joined.parent().unwrap_or(&self.root);
        self.directory = parent.canonicalize().map_err(|e| self.unopened(parent, referrer, e))?;
        Ok(image)
    }

    fn unopened(&self, path: &Path, referrer: &Path, source: io::Error) -> DiskError {
        let doing = format!("open, as backing file of {},", referrer.display());
        DiskError::io(ErrorKind::Unreadable, &doing, path, source)
    }
}

fn outside(name: &Path, referrer: &Path, root: &Path) -> DiskError {
    let message = format!(
        "qcow2 image {}: the file {} is not inside {}; all files of a disk have to be in one folder tree \
         (move them there and `qemu-img rebase -u`, or flatten the image with `qemu-img convert`)",
        referrer.display(),
        name.display(),
        root.display()
    );
    DiskError::new(ErrorKind::Invalid, message)
}

/// Takes `.` and `..` out of an absolute path without looking at the file system. Only to choose between
/// two errors: with links the answer may be another than the system's.
fn resolve_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}
