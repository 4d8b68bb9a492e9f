//! The root key of a home: which file it comes from. The ring's header names the key that seals it, so that of several
//! files the right one is told without trying.

use std::{fmt, path::PathBuf};

use clap::ValueEnum;
use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{ErrorKind, KeyVaultError, KeyVaults, RootKey, state::State};
use cofre_recovery::key_vault_error;
use cofre_repo::Cancel;

use super::{
    Layout,
    keys_lock::KeysLock,
    passphrase::{self, Passphrase, Which},
    rotation::settle,
};
use crate::{
    exit::Exit,
    report::{Report, Result},
};

/// Where a root key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RootKeyKind {
    /// A file that holds it: whoever can read the home can open its key vaults
    File,
    /// A passphrase: nobody opens the home without it, and nobody can help who forgets it
    Passphrase,
}

impl RootKeyKind {
    const ALL: [Self; 2] = [Self::File, Self::Passphrase];

    /// As it is called on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Passphrase => "passphrase",
        }
    }
}

/// A root key that is to be made.
#[derive(Clone)]
pub(crate) enum NewRootKey {
    /// In a file.
    File,
    /// From a passphrase.
    Passphrase(Passphrase),
}

impl fmt::Debug for NewRootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind().name())
    }
}

impl NewRootKey {
    /// A key for a home that is to be made. Asks for the passphrase where no file is set up for it.
    pub(crate) fn for_new_home(kind: RootKeyKind, cancel: &Cancel) -> Result<Self> {
        if kind == RootKeyKind::File {
            return Ok(Self::File);
        }
        match Which::Current.read()? {
            Some(passphrase) => Self::from_passphrase(passphrase),
            None => Self::from_passphrase(passphrase::ask_twice(Which::Current, cancel)?),
        }
    }

    /// A key for a home that has one of kind `now`.
    pub(super) fn for_home(kind: RootKeyKind, now: RootKeyKind, cancel: &Cancel) -> Result<Self> {
        if kind == RootKeyKind::File {
            return Ok(Self::File);
        }
        match Which::New.read()? {
            Some(passphrase) => Self::from_passphrase(passphrase),
            // A home without a passphrase has no current one: what is set up as such can only be the new one.
            None if now == RootKeyKind::File => Self::for_new_home(kind, cancel),
            None => Self::from_passphrase(passphrase::ask_twice(Which::New, cancel)?),
        }
    }

    /// Refused before anything is made, where it is too short.
    fn from_passphrase(passphrase: Passphrase) -> Result<Self> {
        RootKey::check_passphrase(&passphrase).map_err(key_vault_error)?;
        Ok(Self::Passphrase(passphrase))
    }

    pub(crate) fn kind(&self) -> RootKeyKind {
        match self {
            Self::File => RootKeyKind::File,
            Self::Passphrase(_) => RootKeyKind::Passphrase,
        }
    }

    /// Makes it, in a new file.
    pub(super) fn create(&self, path: &std::path::Path) -> Result<RootKey> {
        let key = match self {
            Self::File => RootKey::create_file(path),
            Self::Passphrase(passphrase) => RootKey::create_passphrase_file(path, passphrase),
        };
        Ok(key.map_err(key_vault_error)?)
    }
}

/// A file that a root key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) kind: RootKeyKind,
    /// Written by a rotation that has not given it its name yet.
    pub(super) pending: bool,
}

impl Source {
    /// In the order in which they are looked at.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|pending| RootKeyKind::ALL.map(|kind| Self { kind, pending }))
    }

    pub(super) fn path(self, layout: &Layout) -> PathBuf {
        let mut path = layout.root_key(self.kind);
        if self.pending {
            path.as_mut_os_string().push(".new");
        }
        path
    }

    /// The id of the key it is for.
    fn id(self, layout: &Layout) -> std::result::Result<String, KeyVaultError> {
        let path = self.path(layout);
        match self.kind {
            RootKeyKind::File => RootKey::from_file(&path)?.id(),
            RootKeyKind::Passphrase => RootKey::id_of_passphrase_file(&path),
        }
    }

    fn open(self, layout: &Layout, cancel: &Cancel) -> Result<RootKey> {
        let path = self.path(layout);
        if self.kind == RootKeyKind::File {
            return Ok(RootKey::from_file(&path).map_err(key_vault_error)?);
        }
        // What is wrong with the file itself is said before anybody is asked for a passphrase.
        RootKey::id_of_passphrase_file(&path).map_err(key_vault_error)?;
        let try_one =
            |passphrase: Result<Passphrase>| match RootKey::from_passphrase_file(&path, &passphrase?) {
                Err(error) if error.kind() == ErrorKind::RootKey => Err(wrong_passphrase(&error)),
                other => other.map_err(|error| key_vault_error(error).into()),
            };
        // The first refusal is told: it is that of the passphrase meant for this.
        let mut refusal = None;
        for passphrase in passphrase::all_from_files() {
            match try_one(passphrase) {
                Ok(key) => return Ok(key),
                Err(report) => refusal = refusal.or(Some(report)),
            }
        }
        refusal.map_or_else(|| try_one(passphrase::ask(Which::Current, cancel)), Err)
    }
}

fn wrong_passphrase(error: &KeyVaultError) -> Report {
    Report {
        code: "RootPassphraseWrong",
        exit: Exit::WrongSecret,
        message: error.to_string(),
        causes: Vec::new(),
        recommendations: vec![
            "Try again with the passphrase of this home. After a rotation it is the new one.".to_owned(),
        ],
    }
}

/// The file whose key seals the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) source: Source,
    /// Whether other files have to go, or this one needs its name. Never while there is no ring: then nobody can tell which
    /// of them will be needed.
    pub(super) unsettled: bool,
}

/// Finds it.
pub(super) fn find(layout: &Layout, state: &dyn State) -> Result<Found> {
    let ring = KeyVaults::root_key_id(state).map_err(key_vault_error)?;
    let there: Vec<_> = Source::all().filter(|source| source.path(layout).exists()).collect();
    let mut unreadable = None;
    for &source in &there {
        match (source.id(layout), &ring) {
            // In an empty storage any key will do: the ring will be made under it.
            (Ok(_), None) if !source.pending => return Ok(Found { source, unsettled: false }),
            (Ok(id), Some(ring)) if id == *ring => {
                return Ok(Found { source, unsettled: source.pending || there.len() > 1 });
            }
            (Err(error), _) if !source.pending => unreadable = Some(error),
            _ => {}
        }
    }
    if let Some(error) = unreadable {
        return Err(key_vault_error(error).into());
    }
    let keys = layout.keys();
    let message = match ring {
        Some(ring) if !there.is_empty() => {
            format!(
                "no key in {} opens the key vaults: they are sealed under the root key {ring}",
                keys.display()
            )
        }
        _ => format!("there is no root key of the key vaults in {}", keys.display()),
    };
    let advice = format!(
        "Restore {} or {} from a copy that was made after the last rotation.",
        layout.root_key(RootKeyKind::File).display(),
        layout.root_key(RootKeyKind::Passphrase).display()
    );
    Err(ApiError::new(Problem::StateUnavailable, message).recommend(advice).into())
}

/// Opens the root key of a home, and finishes a rotation that died. The lock is shared before and after.
pub(super) fn open(layout: &Layout, state: &dyn State, lock: &KeysLock, cancel: &Cancel) -> Result<RootKey> {
    let mut found = find(layout, state)?;
    // Where others have the home open too, they use the same key, and whoever comes later cleans up.
    if found.unsettled && lock.take()? {
        // What cannot be cleaned up now keeps nobody from working: a rotation says what is in the way.
        let _ = find(layout, state).and_then(|found| settle(layout, found));
        lock.share_again()?;
        found = find(layout, state)?;
    }
    found.source.open(layout, cancel)
}
