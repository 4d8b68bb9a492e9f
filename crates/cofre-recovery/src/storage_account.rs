//! Where restored disks go: a folder that stands for a storage account, with a folder for each
//! container.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cofre_arm::{ApiError, Problem, Result};
use cofre_disk::{BlockSink, DiskError, VhdIdentity, VhdSink};

use crate::trust::write_private;

/// A storage account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageAccount {
    /// Its name.
    pub name: String,
    /// Its folder: it exists and may be written.
    pub folder: PathBuf,
}

/// Finds storage accounts.
pub trait StorageAccounts: Send + Sync {
    /// The account of this name.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no name, `NotFound`.
    fn account(&self, name: &str) -> Result<StorageAccount>;

    /// The names of all accounts, in their order.
    ///
    /// # Errors
    /// `StorageAccountOffline`.
    fn names(&self) -> Result<Vec<String>>;
}

/// A container that is being filled. What is in it when this is dropped before [`keep`](Self::keep)
/// is deleted: a container holds all of a restore or is not there.
pub(crate) struct Container {
    folder: PathBuf,
    keep: bool,
}

fn offline(account: &StorageAccount, doing: &str, error: io::Error) -> ApiError {
    let message = format!("cannot {doing} the storage account {}", account.name);
    ApiError::new(Problem::StorageAccountOffline, message).because(error)
}

/// A file that could not be written.
fn unwritable(path: &Path, error: DiskError) -> ApiError {
    let recommendation = match error.kind() {
        cofre_disk::ErrorKind::NoSpace => "Free some space, or restore to another storage account.",
        _ => "See the cause, and restore again.",
    };
    ApiError::new(Problem::TransferFailed, format!("cannot write {}", path.display()))
        .recommend(recommendation)
        .because(error)
}

impl Container {
    /// Makes a new container, which only its owner may read.
    pub(crate) fn create(account: &StorageAccount, name: &str) -> Result<Self> {
        let root = account.folder.canonicalize().map_err(|e| offline(account, "find", e))?;
        let folder = root.join(name);
        DirBuilder::new().mode(0o700).create(&folder).map_err(|e| offline(account, "write to", e))?;
        Ok(Self { folder, keep: false })
    }

    /// Deletes a container that another attempt left half filled.
    pub(crate) fn delete(account: &StorageAccount, name: &str) {
        if let Ok(root) = account.folder.canonicalize() {
            let _ = fs::remove_dir_all(root.join(name));
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, blob: &str) -> PathBuf {
        self.folder.join(blob)
    }

    /// Where a blob is, as a URL.
    pub(crate) fn uri(&self, blob: &str) -> String {
        let path = self.path(blob);
        let mut uri = String::from("file://");
        for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                    uri.push(char::from(*byte))
                }
                other => uri.push_str(&format!("%{other:02X}")),
            }
        }
        uri
    }

    /// Writes a small file.
    pub(crate) fn write(&self, blob: &str, bytes: &[u8]) -> Result<()> {
        write_private(&self.path(blob), bytes)
    }

    /// Lets `fill` write a disk as a fixed VHD. The blob has its name when all of it is durable.
    pub(crate) fn write_vhd<T>(
        &self,
        blob: &str,
        size: u64,
        identity: VhdIdentity,
        fill: impl FnOnce(&dyn BlockSink) -> Result<T>,
    ) -> Result<T> {
        let partial = self.path(&format!("{blob}.partial"));
        let path = self.path(blob);
        let failed =
            |e| unwritable(&partial, DiskError::io(cofre_disk::ErrorKind::Unwritable, "write", &partial, e));
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(failed)?;
        let sink = VhdSink::from_file(file, &partial, size, identity).map_err(|e| unwritable(&partial, e))?;
        let filled = fill(&sink)?;
        drop(sink);
        fs::rename(&partial, &path).and_then(|()| File::open(&self.folder)?.sync_all()).map_err(failed)?;
        Ok(filled)
    }

    /// Leaves the container where it is.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.keep = true;
        self.folder.clone()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_container_is_whole_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let account = StorageAccount { name: "a".into(), folder: dir.path().join("with space") };
        let error = Container::create(&account, "c").err().unwrap();
        assert_eq!(error.problem(), Problem::StorageAccountOffline);
        fs::create_dir(&account.folder).unwrap();

        let container = Container::create(&account, "c").unwrap();
        container.write("x.json", b"{}").unwrap();
        assert!(container.uri("x.json").ends_with("/with%20space/c/x.json"));
        assert_eq!(fs::metadata(container.path("x.json")).unwrap().mode() & 0o7777, 0o600);
        assert!(Container::create(&account, "c").is_err(), "never mixed with another restore");
        let identity = || VhdIdentity { unique_id: [1; 16], timestamp: 0 };
        let failure =
            container.write_vhd("os.vhd", 512, identity(), |_| Err::<(), _>(ApiError::invalid("x")));
        assert!(failure.is_err() && !container.path("os.vhd").exists());
        drop(container);
        assert_eq!(fs::read_dir(&account.folder).unwrap().count(), 0);

        let container = Container::create(&account, "c").unwrap();
        container
            .write_vhd("os.vhd", 512, identity(), |sink| {
                sink.write_all_at(&[7; 512], 0).unwrap();
                sink.finish().map_err(|e| ApiError::invalid(e.to_string()))
            })
            .unwrap();
        let folder = container.keep();
        assert_eq!(fs::metadata(folder.join("os.vhd")).unwrap().len(), 1024, "the disk and its footer");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }
}
