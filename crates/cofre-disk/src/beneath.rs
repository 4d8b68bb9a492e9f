//! Files that have to be inside one folder tree, whatever their names and the links on the way say.
//!
//! A name is resolved as anybody would resolve it, and what it leads to has to be in the tree. The file
//! is then opened by its resolved name, with the kernel's promise that no link is followed and the tree
//! is not left, so that nothing can be exchanged between the look and the opening.

use std::{
    fs::File,
    io,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
};

use crate::error::{DiskError, ErrorKind};

/// The top of a folder tree.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    handle: OwnedFd,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        let path = canonical(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &path, flags, Mode::empty())
            .map_err(|e| DiskError::io(ErrorKind::Unreadable, "open", &path, e.into()))?;
        Ok(Self { path, handle })
    }

    /// Where the tree is, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where an absolute path leads to; none when that is outside.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match path.canonicalize() {
            Ok(resolved) => Ok(Some(resolved).filter(|resolved| resolved.starts_with(&self.path))),
            // Whether there is something outside is nobody's business: the answer is the same.
            Err(_) if !without_dots(path).starts_with(&self.path) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens what [`resolve`](Self::resolve) answered, for reading.
    pub(crate) fn file(&self, resolved: &Path) -> io::Result<File> {
        let relative = resolved.strip_prefix(&self.path).unwrap_or(resolved);
        // Should it be a fifo: do not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(File::from(openat2(&self.handle, relative, flags, Mode::empty(), resolve)?))
    }

    /// Opens the file a user named, by a path that is absolute or begins at the root.
    pub(crate) fn named(&self, name: &Path) -> Result<(File, PathBuf), DiskError> {
        let unopened = |e| DiskError::io(ErrorKind::Unreadable, "open", name, e);
        let Some(resolved) = self.resolve(&self.path.join(name)).map_err(unopened)? else {
            let message = format!("{} is not inside {}", name.display(), self.path.display());
            return Err(DiskError::new(ErrorKind::Invalid, message));
        };
        Ok((self.file(&resolved).map_err(unopened)?, resolved))
    }
}

/// A path without links and dots.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, DiskError> {
    path.canonicalize().map_err(|e| DiskError::io(ErrorKind::Unreadable, "resolve", path, e))
}

/// Takes `.` and `..` out of an absolute path without looking at the file system. Only to choose between
/// two errors: with links the answer may be another than the system's.
fn without_dots(path: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_is_inside_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let outer = dir.path().canonicalize().unwrap();
        let inner = outer.join("in");
        std::fs::create_dir_all(inner.join("sub")).unwrap();
        std::fs::write(inner.join("sub/disk"), "").unwrap();
        std::fs::write(outer.join("secret"), "").unwrap();
        symlink("../secret", inner.join("out")).unwrap();
        symlink("sub/disk", inner.join("link")).unwrap();
        let root = Root::open(&inner).unwrap();
        for name in ["sub/disk", "link", "sub/../sub/disk", "../in/link"] {
            let (_, resolved) = root.named(Path::new(name)).unwrap();
            assert_eq!(resolved, inner.join("sub/disk"));
            root.named(&inner.join(name)).unwrap();
        }
        for name in ["out", "../secret", "../none", "/etc/passwd", "/none"] {
            assert_eq!(root.named(Path::new(name)).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
        }
        assert_eq!(root.named(Path::new("sub/none")).unwrap_err().kind(), ErrorKind::NotFound);
        // A link that takes the place of a resolved file is not followed.
        assert!(root.file(&inner.join("out")).is_err());
        assert!(root.file(&inner.join("../secret")).is_err());
    }
}
