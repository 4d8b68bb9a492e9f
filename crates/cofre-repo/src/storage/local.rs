//! Objects as files below a directory.
//!
//! A file is written under `cofre/tmp/`, fsynced, moved to its name, and its directory fsynced. A
//! writer holds an exclusive `flock` on its temporary file, so [`LocalStorage::sweep`] can tell the
//! files of the dead from those of the living on any file system that has locks.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{Kind, Object, Staged, Storage};
use crate::{
    crypto::random,
    error::{ErrorKind, RepoError, Result},
    failpoint,
};

/// Where unfinished files lie. Inside the repository: a rename must not cross file systems.
const TEMPORARY: &str = "cofre/tmp";

/// A file younger than this is never swept: its writer may not have locked it yet.
const SWEEP_AGE: Duration = Duration::from_secs(60);

/// A repository in a local directory.
#[derive(Debug)]
pub struct LocalStorage {
    root: PathBuf,
    /// Makes the names of this writer's temporary files unique.
    writer: u64,
    next: AtomicU64,
}

fn failed(doing: &str, path: &Path, error: io::Error) -> RepoError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Storage,
    };
    RepoError::new(kind, format!("cannot {doing} {}", path.display())).with_source(error)
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| failed("sync the directory", path, e))
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|e| failed("create the directory", path, e)),
    }
}

impl LocalStorage {
    /// A store below `root`, which need not exist yet.
    ///
    /// # Errors
    /// When the random generator fails.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let mut writer = [0; 8];
        random(&mut writer)?;
        Ok(Self { root: root.into(), writer: u64::from_le_bytes(writer), next: AtomicU64::new(0) })
    }

    fn path(&self, object: &Object) -> PathBuf {
        self.root.join(object.to_string())
    }

    /// The directory an object lies in.
    fn parent(&self, object: &Object) -> PathBuf {
        match self.path(object).parent() {
            Some(parent) => parent.to_owned(),
            None => self.root.clone(),
        }
    }

    fn open(&self, object: &Object) -> Result<Option<File>> {
        let path = self.path(object);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("open", &path, e)),
        }
    }

    fn stage_file(&self) -> Result<StagedFile> {
        let directory = self.root.join(TEMPORARY);
        let name = format!("{:016x}-{}", self.writer, self.next.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            // a repository that restic made has no directories of ours yet
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.root.join("config").exists() => {
                self.prepare()?;
                open()
            }
            other => other,
        }
        .map_err(|e| failed("create", &path, e))?;
        // Where the file system has no locks, what a writer that died has left stays: better than to take
        // the file of a living one.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(StagedFile { file: Some(file), path, root: self.root.clone() })
    }
}

struct StagedFile {
    /// `None` once it has its final name.
    file: Option<File>,
    path: PathBuf,
    root: PathBuf,
}

impl StagedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(RepoError::new(ErrorKind::Storage, "the object is finished already"));
        };
        file.write_all(bytes).map_err(|e| failed("write", &self.path, e))
    }

    fn sync(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_all().map_err(|e| failed("sync", &self.path, e))?;
        failpoint::reached("storage.object-staged");
        Ok(())
    }

    fn rename_to(&mut self, target: &Path) -> Result<()> {
        self.sync()?;
        fs::rename(&self.path, target).map_err(|e| failed("rename to", target, e))?;
        self.file = None;
        sync_directory(target.parent().unwrap_or(&self.root))
    }

    /// Gives the file its name unless the name is taken.
    fn link_to(&mut self, target: &Path) -> Result<bool> {
        self.sync()?;
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(failed("create", target, e)),
        }
        sync_directory(target.parent().unwrap_or(&self.root))?;
        Ok(true)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Staged for StagedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)
    }

    fn commit(mut self: Box<Self>, object: &Object) -> Result<()> {
        let target = self.root.join(object.to_string());
        self.rename_to(&target)
    }
}

/// Whether a file name can be an object's: lower-case hex digits, at least one.
fn is_object_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn list_directory(path: &Path, each: &mut dyn FnMut(String, &fs::DirEntry) -> Result<()>) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("list", path, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| failed("list", path, e))?;
        if let Ok(name) = entry.file_name().into_string()
            && is_object_name(&name)
        {
            each(name, &entry)?;
        }
    }
    Ok(())
}

impl Storage for LocalStorage {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn read(&self, object: &Object, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(object)? else { return Ok(None) };
        let path = self.path(object);
        let length = file.metadata().map_err(|e| failed("read", &path, e))?.len();
        if length > limit {
            return Err(RepoError::damaged(
                &object.to_string(),
                format!("is {length} bytes long, more than the {limit} that make sense"),
            ));
        }
        let length = usize::try_from(length)
            .map_err(|_| RepoError::damaged(&object.to_string(), "does not fit into memory"))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).map_err(|e| failed("read", &path, e))?;
        Ok(Some(bytes))
    }

    fn read_range(&self, object: &Object, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let name = object.to_string();
        let file = self.open(object)?.ok_or_else(|| RepoError::damaged(&name, "is missing"))?;
        file.read_exact_at(buffer, offset).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => RepoError::damaged(
                &name,
                format!("ends before byte {}", offset.saturating_add(buffer.len() as u64)),
            ),
            _ => RepoError::damaged(&name, format!("cannot be read at byte {offset}")).with_source(e),
        })
    }

    fn length(&self, object: &Object) -> Result<Option<u64>> {
        let path = self.path(object);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("look at", &path, e)),
        }
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>> {
        let mut found = Vec::new();
        let mut add = |name: String, entry: &fs::DirEntry| {
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => found.push((Object { kind, name }, metadata.len())),
                Ok(_) => {}
                // deleted since the directory was read
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("look at", &entry.path(), e)),
            }
            Ok(())
        };
        let directory = self.root.join(kind.directory());
        if kind == Kind::Pack {
            list_directory(&directory, &mut |name, entry| {
                if name.len() != 2 {
                    return Ok(());
                }
                list_directory(&entry.path(), &mut add)
            })?;
        } else {
            list_directory(&directory, &mut add)?;
        }
        Ok(found)
    }

    fn create(&self, object: &Object, bytes: &[u8]) -> Result<bool> {
        let mut staged = self.stage_file()?;
        staged.write(bytes)?;
        staged.link_to(&self.path(object))
    }

    fn replace(&self, object: &Object, bytes: &[u8]) -> Result<()> {
        let mut staged = self.stage_file()?;
        staged.write(bytes)?;
        staged.rename_to(&self.path(object))
    }

    fn delete(&self, objects: &[Object]) -> Result<()> {
        let mut touched = BTreeSet::new();
        for object in objects {
            let path = self.path(object);
            match fs::remove_file(&path) {
                Ok(()) => {
                    touched.insert(self.parent(object));
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("delete", &path, e)),
            }
        }
        touched.iter().try_for_each(|directory| sync_directory(directory))
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        Ok(Box::new(self.stage_file()?))
    }

    fn prepare(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|e| failed("create the directory", &self.root, e))?;
        make_directory(&self.root.join("cofre"))?;
        make_directory(&self.root.join(TEMPORARY))?;
        for kind in Kind::DIRECTORIES {
            make_directory(&self.root.join(kind.directory()))?;
        }
        for prefix in 0..=255_u8 {
            make_directory(&self.root.join(format!("data/{prefix:02x}")))?;
        }
        for directory in ["data", "cofre", ""] {
            sync_directory(&self.root.join(directory))?;
        }
        if let Some(parent) = self.root.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(())
    }

    fn sweep(&self) -> Result<()> {
        let directory = self.root.join(TEMPORARY);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed("list", &directory, e)),
        };
        for entry in entries.flatten() {
            let old_enough = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| t.elapsed().is_ok_and(|age| age > SWEEP_AGE));
            if old_enough
                && let Ok(file) = File::open(entry.path())
                && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}
