//! Another root key in the place of the one there is.
//!
//! A rotation writes the new key beside, seals the ring under it, gives it its name and removes the old one. Wherever it
//! dies, one of the files opens the ring; the next command that opens the home finds it and removes the others.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use cofre_arm::{ApiError, Problem};
use cofre_recovery::key_vault_error;
use cofre_repo::{Cancel, failpoint};

use super::{
    Home, KeyState, Layout, NewRootKey, RootKeyKind,
    root_key::{Found, Source, find},
};
use crate::report::{Report, Result};

/// Gives the file whose key opens the ring its name, and removes all others. Safe to be done again from any point.
pub(super) fn settle(layout: &Layout, found: Found) -> Result<()> {
    let source = found.source;
    if !found.unsettled {
        return Ok(());
    }
    let folder = layout.keys();
    let sync = || File::open(&folder)?.sync_all();
    let failed = |doing: &str, error: io::Error| {
        let message = format!("cannot {doing} in {}", folder.display());
        Report::from(ApiError::new(Problem::StateUnavailable, message).because(error))
    };
    let settled = Source { pending: false, ..source };
    if source.pending {
        fs::rename(source.path(layout), settled.path(layout))
            .and_then(|()| sync())
            .map_err(|error| failed("give the new root key its name", error))?;
        failpoint::reached("root-key.renamed");
    }
    for other in Source::all().filter(|other| *other != settled) {
        match fs::remove_file(other.path(layout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("remove a root key that opens nothing any more", error)),
        }
    }
    sync().map_err(|error| failed("remove a root key that opens nothing any more", error))?;
    failpoint::reached("root-key.old-removed");
    Ok(())
}

/// A root key that took the place of another.
#[derive(Clone, Debug)]
pub(crate) struct RotatedRootKey {
    pub(crate) kind: RootKeyKind,
    pub(crate) path: PathBuf,
    pub(crate) id: String,
}

impl Home {
    /// Seals the key vaults' ring under a new root key; `None` is one of the same kind. Refused while others have the
    /// home open: they would go on with a key that opens nothing any more.
    pub(crate) fn rotate_root_key(
        &self,
        kind: Option<RootKeyKind>,
        cancel: &Cancel,
    ) -> Result<RotatedRootKey> {
        let now = find(&self.layout, &KeyState::new(self.store.clone()))?.source.kind;
        let new = NewRootKey::for_home(kind.unwrap_or(now), now, cancel)?;
        let in_use = || {
            ApiError::new(Problem::Conflict, "the home is open in another process; nothing was changed")
                .recommend("Wait until backups and other commands of this home are over, then try again.")
        };
        if !self.keys_lock.take()? {
            return Err(in_use().into());
        }
        let rotated = self.exchange(&new);
        self.keys_lock.share_again()?;
        rotated
    }

    /// With the lock held alone.
    fn exchange(&self, new: &NewRootKey) -> Result<RotatedRootKey> {
        // A rotation that died may have left the right key under the name that the new one will have.
        settle(&self.layout, find(&self.layout, &KeyState::new(self.store.clone()))?)?;
        let pending = Source { kind: new.kind(), pending: true };
        let path = pending.path(&self.layout);
        let key = new.create(&path)?;
        failpoint::reached("root-key.pending-written");
        // Where this fails, nobody knows which key opens the ring until it is looked at: both stay.
        self.key_vaults.rotate_root(&self.operator(), &key).map_err(key_vault_error)?;
        failpoint::reached("root-key.ring-sealed");
        settle(&self.layout, Found { source: pending, unsettled: true })?;
        let path = Source { pending: false, ..pending }.path(&self.layout);
        Ok(RotatedRootKey { kind: new.kind(), path, id: key.id().map_err(key_vault_error)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::{InitRequest, init, keys_lock::KeysLock};

    fn home(root: &std::path::Path) -> Home {
        Home::open(root, &Cancel::new()).unwrap().0
    }

    /// A new home in a folder.
    fn made(folder: &std::path::Path) -> PathBuf {
        let root = folder.join("home");
        let request = InitRequest {
            folder: root.clone(),
            location: "local".to_owned(),
            image_folders: Vec::new(),
            kit: None,
            root_key: NewRootKey::File,
            server: crate::home::ServerSettings::default(),
            database: None,
        };
        init(&request).unwrap();
        root
    }

    #[test]
    fn a_key_that_still_waits_for_its_name_is_not_lost_to_the_next_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let root = made(folder.path());
        let layout = Layout::new(&root);
        let named = layout.root_key(RootKeyKind::File);
        let pending = Source { kind: RootKeyKind::File, pending: true }.path(&layout);
        fs::rename(&named, &pending).unwrap();
        let other = KeysLock::share(&layout.keys_lock()).unwrap();
        let opened = home(&root);
        assert!(pending.exists() && !named.exists(), "somebody else has the home open");
        assert!(opened.rotate_root_key(None, &Cancel::new()).is_err());
        drop(home(&root));
        drop(other);

        let rotated = opened.rotate_root_key(None, &Cancel::new()).unwrap();
        assert_eq!(rotated.path, named);
        assert!(named.exists() && !pending.exists());
        // The same process goes on with the new key, and may do it again.
        opened.key_vaults.rotate_blob_key(&opened.operator()).unwrap();
        let again = opened.rotate_root_key(None, &Cancel::new()).unwrap();
        assert_ne!(again.id, rotated.id);
        drop(opened);
        home(&root).key_vaults.rotate_blob_key(&home(&root).operator()).unwrap();
    }

    #[test]
    fn an_obstacle_is_told_before_anything_is_begun_and_keeps_no_home_shut() {
        let folder = tempfile::tempdir().unwrap();
        let root = made(folder.path());
        let layout = Layout::new(&root);
        let named = layout.root_key(RootKeyKind::File);
        let before = fs::read(&named).unwrap();
        let obstacle = layout.root_key(RootKeyKind::Passphrase);
        fs::create_dir(&obstacle).unwrap();
        let opened = home(&root);
        let error = opened.rotate_root_key(None, &Cancel::new()).unwrap_err();
        assert!(error.message.contains("cannot remove"), "{error:?}");
        assert_eq!(fs::read(&named).unwrap(), before);
        fs::remove_dir(&obstacle).unwrap();

        let aside = root.join("aside");
        fs::rename(&named, &aside).unwrap();
        assert!(opened.rotate_root_key(None, &Cancel::new()).is_err(), "no key there opens the ring");
        fs::rename(&aside, &named).unwrap();
        opened.rotate_root_key(None, &Cancel::new()).unwrap();
        assert_ne!(fs::read(&named).unwrap(), before);
    }
}
