//! The repository of a protected item: made at its first backup, opened with the service key.
//!
//! ```text
//! REPOSITORIES/ID/envelope.json     the secret, sealed to the recovery kit
//! REPOSITORIES/ID/repository/       a restic repository
//! ```
//!
//! The envelope is durable before the database knows the secret, and both before the first byte of the
//! repository: what is stored can always be opened by the kit.

use std::{fs, path::PathBuf, sync::Arc};

use cofre_arm::{ApiError, Problem, Result};
use cofre_repo::{
    ErrorKind, RepoError, Repository, RepositorySecret, config::ChunkSize, storage::local::LocalStorage,
};
use zeroize::Zeroizing;

use crate::{
    documents::{self, Loaded},
    item::{ItemRepository, ProtectedItem},
    service::{Recovery, new_guid},
};

/// An error of a repository, as the control plane reports it.
pub(crate) fn transfer_failed(error: RepoError) -> ApiError {
    let (problem, message) = match error.kind() {
        ErrorKind::Interrupted => (Problem::JobInterrupted, "the transfer was interrupted"),
        ErrorKind::Locked => (Problem::OperationInProgress, "the repository is in use"),
        _ => (Problem::TransferFailed, "the transfer failed"),
    };
    let recommendation = error.recommendation().to_owned();
    ApiError::new(problem, message).recommend(recommendation).because(error)
}

impl Recovery {
    /// Folder of a repository, with its envelope.
    pub(crate) fn repository_folder(&self, id: &str) -> PathBuf {
        self.parts().repositories.join(id)
    }

    fn repository_storage(&self, id: &str) -> Result<Arc<LocalStorage>> {
        LocalStorage::new(self.repository_folder(id).join("repository"))
            .map(Arc::new)
            .map_err(transfer_failed)
    }

    /// The secret of an item's repository.
    pub(crate) fn repository_secret(&self, repository: &ItemRepository) -> Result<RepositorySecret> {
        let secret = self.parts().service_key.open(&repository.id, &repository.sealed_secret)?;
        RepositorySecret::new(&secret).map_err(transfer_failed)
    }

    /// Opens the repository of an item, or says that there is none.
    pub(crate) fn open_repository(&self, item: &ProtectedItem) -> Result<Repository> {
        let repository = item.repository.as_ref().ok_or_else(|| {
            let message = format!("{} has no recovery point", item.friendly_name);
            ApiError::new(Problem::NotFound, message)
                .recommend("Back it up first: `cofre backup now`.")
                .about(&item.id)
        })?;
        let secret = self.repository_secret(repository)?;
        Repository::open(self.repository_storage(&repository.id)?, &secret).map_err(transfer_failed)
    }

    /// Opens the repository of an item for a backup; makes it at the first.
    pub(crate) fn prepare_repository(&self, item: &mut Loaded<ProtectedItem>) -> Result<Repository> {
        if item.value.repository.is_none() {
            item.value.repository = Some(self.new_repository()?);
            let mut batch = self.batch();
            batch.changes.push(documents::replace(item)?);
            let committed = self.store().commit(&batch).map_err(documents::unavailable)?;
            item.revision = committed.revision;
        }
        let Some(repository) = &item.value.repository else {
            return Err(ApiError::new(Problem::StateUnavailable, "the item has no repository"));
        };
        let secret = self.repository_secret(repository)?;
        let storage = self.repository_storage(&repository.id)?;
        match Repository::open(storage.clone(), &secret) {
            // not made yet, or an attempt died before its end
            Err(e) if e.kind() == ErrorKind::NoRepository => {
                Repository::init(storage, &secret, ChunkSize::DEFAULT).map_err(transfer_failed)
            }
            other => other.map_err(transfer_failed),
        }
    }

    /// A new secret, sealed for the database and, durably, in an envelope.
    fn new_repository(&self) -> Result<ItemRepository> {
        let id = new_guid()?;
        let mut bytes = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut *bytes)
            .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system gives no random bytes"))?;
        let mut secret = Zeroizing::new(String::with_capacity(64));
        for byte in bytes.iter() {
            secret.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            secret.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        let sealed_secret = self.parts().service_key.seal(&id, secret.as_bytes())?;
        let folder = self.repository_folder(&id);
        fs::create_dir_all(&folder).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, format!("cannot make {}", folder.display())).because(e)
        })?;
        self.parts().recovery_key.seal(&id, secret.as_bytes())?.write(&folder)?;
        Ok(ItemRepository { id, sealed_secret })
    }
}
