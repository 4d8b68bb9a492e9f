//! Finding the backing files of an image on the host, inside one folder tree and nowhere else.
//!
//! The name of a backing file comes from whoever made the image, and often that is not who runs the
//! backup.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    beneath::{Root, canonical},
    error::{DiskError, ErrorKind},
    host::FileId,
    raw::RawSource,
};

/// Opens the files of one chain.
pub(super) struct Folder {
    root: Root,
    /// Where the image whose backing file is next lives: what relative names are relative to.
    directory: PathBuf,
    seen: HashSet<FileId>,
}

impl Folder {
    /// The tree under the directory of the image at `path`, and the image.
    pub(super) fn around(path: &Path) -> Result<(Self, RawSource), DiskError> {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let root = Root::open(parent.unwrap_or(Path::new(".")))?;
        let directory = root.path().to_path_buf();
        Ok(Self::with(root, directory, RawSource::open(path)?))
    }

    /// The tree under `root`, and the image at `path` inside it.
    pub(super) fn beneath(path: &Path, root: &Path) -> Result<(Self, RawSource), DiskError> {
        let image = RawSource::open_beneath(path, root)?;
        let root = Root::open(root)?;
        let joined = root.path().join(path);
        let directory = canonical(joined.parent().unwrap_or(&joined))?;
        Ok(Self::with(root, directory, image))
    }

    fn with(root: Root, directory: PathBuf, image: RawSource) -> (Self, RawSource) {
        (Self { root, directory, seen: HashSet::from([image.id()]) }, image)
    }

    /// Opens the backing file of that name of the image called `referrer`.
    pub(super) fn backing(&mut self, name: &[u8], referrer: &Path) -> Result<RawSource, DiskError> {
        let name = Path::new(OsStr::from_bytes(name));
        // An absolute name replaces the directory.
        let joined = self.directory.join(name);
        let unopened = |e: io::Error| {
            let doing = format!("open, as backing file of {},", referrer.display());
            DiskError::io(ErrorKind::Unreadable, &doing, &joined, e)
        };
        let Some(resolved) = self.root.resolve(&joined).map_err(unopened)? else {
            return Err(outside(name, referrer, self.root.path()));
        };
        let image = RawSource::from_file(self.root.file(&resolved).map_err(unopened)?, &resolved)?;
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
        self.directory = canonical(joined.parent().unwrap_or(&joined))?;
        Ok(image)
    }
}

fn outside(name: &Path, referrer: &Path, root: &Path) -> DiskError {
    let message = format!(
        "qcow2 image {}: its backing file {} is not inside {}; all files of a disk have to be in one folder \
         tree (move them there and `qemu-img rebase -u`, or flatten the image with `qemu-img convert`)",
        referrer.display(),
        name.display(),
        root.display()
    );
    DiskError::new(ErrorKind::Invalid, message)
}
