//! Storage accounts of a home: a folder each.

use std::{fs, path::PathBuf};

use cofre_arm::{ApiError, Problem, Result, names};
use cofre_recovery::storage_account::{StorageAccount, StorageAccounts};

use super::DEFAULT_STORAGE_ACCOUNT;

/// The folders of a folder.
pub(crate) struct Folders(pub(crate) PathBuf);

impl StorageAccounts for Folders {
    fn account(&self, name: &str) -> Result<StorageAccount> {
        names::check_name("storage account", name)?;
        let folder = self.0.join(name);
        if !folder.is_dir() {
            let message = format!("there is no storage account {name}: {} is no folder", folder.display());
            return Err(ApiError::new(Problem::NotFound, message).recommend(format!(
                "Make the folder, mount something there, or use the account {DEFAULT_STORAGE_ACCOUNT:?}."
            )));
        }
        Ok(StorageAccount { name: name.to_owned(), folder })
    }

    fn names(&self) -> Result<Vec<String>> {
        let offline = |e| {
            let message = format!("cannot list {}", self.0.display());
            ApiError::new(Problem::StorageAccountOffline, message).because(e)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(offline)? {
            let entry = entry.map_err(offline)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if names::check_name("storage account", name).is_ok() && entry.path().is_dir() {
                found.push(name.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_folders_with_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("file"), "").unwrap();
        let accounts = Folders(dir.path().to_owned());
        assert_eq!(accounts.names().unwrap(), ["a", "b"]);
        assert_eq!(accounts.account("a").unwrap().folder, dir.path().join("a"));
        assert_eq!(accounts.account("c").unwrap_err().problem(), Problem::NotFound);
        for outside in ["../x", "/tmp", "."] {
            assert_eq!(
                accounts.account(outside).unwrap_err().problem(),
                Problem::InvalidParameter,
                "{outside}"
            );
        }
    }
}
