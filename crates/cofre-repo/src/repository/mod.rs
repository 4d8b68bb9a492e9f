//! An open repository, and how one is made.

mod blobs;
mod points;
mod session;

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

pub use blobs::BlobReader;
pub(crate) use points::open_disk;
pub use points::{Point, PointSelector, UnreadablePoint};
pub use session::Session;

use crate::{
    clock::{Clock, SystemClock},
    config::{ChunkSize, Config},
    crypto::{RawKey, SealingKey},
    error::{ErrorKind, RepoError, Result},
    failpoint,
    id::PackId,
    index::{Index, PackState},
    keyfile,
    process::Process,
    prune::mark,
    secret::RepositorySecret,
    storage::{Kind, Object, Storage},
    unpacked,
};

/// A repository whose master key is known.
#[derive(Clone)]
pub struct Repository {
    storage: Arc<dyn Storage>,
    key: Arc<SealingKey>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    process: Arc<Process>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.storage.location())
    }
}

impl Repository {
    /// Makes a repository where there is none. The configuration is written last: until then there
    /// is no repository, and the remains of an attempt that died are cleared away.
    ///
    /// # Errors
    /// [`ErrorKind::RepositoryExists`], [`ErrorKind::Storage`].
    pub fn init(storage: Arc<dyn Storage>, secret: &RepositorySecret, chunk_size: ChunkSize) -> Result<Self> {
        let clock = SystemClock;
        let exists = |what: &str| {
            RepoError::new(ErrorKind::RepositoryExists, format!("{} {what}", storage.location()))
        };
        if storage.length(&Object::config())?.is_some() {
            return Err(exists("is a repository already"));
        }
        for kind in [Kind::Pack, Kind::Index, Kind::Snapshot] {
            if !storage.list(kind)?.is_empty() {
                return Err(exists("holds a repository without its file `config`")
                    .recommend("Restore `config` from a copy, or use another path."));
            }
        }
        storage.prepare()?;

        let master = RawKey::generate()?;
        let key = SealingKey::new(&master)?;
        let key_file = keyfile::create(&*storage, secret, &master, clock.now())?;
        failpoint::reached("init.after-key");
        let config = Config::new(chunk_size)?;
        // restic keeps this one file uncompressed
        let created = storage.create(&Object::config(), &unpacked::seal(&key, &config, false)?)?;
        failpoint::reached("init.after-config");
        if !created {
            // somebody else was faster; our key opens nothing
            storage.delete(&[key_file.into()])?;
            return Err(exists("was made by another process at the same time"));
        }
        // From here on the repository is ours: what other attempts left opens nothing either.
        let mut strays: Vec<_> = storage.list(Kind::Key)?.into_iter().map(|(object, _)| object).collect();
        strays.retain(|object| *object != key_file.into());
        storage.delete(&strays)?;
        Ok(Self {
            storage,
            key: Arc::new(key),
            config: Arc::new(config),
            clock: Arc::new(clock),
            process: Arc::new(Process::this()),
        })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`ErrorKind::NoRepository`], [`ErrorKind::WrongSecret`], [`ErrorKind::UnsupportedRepository`],
    /// [`ErrorKind::Damaged`], [`ErrorKind::Storage`].
    pub fn open(storage: Arc<dyn Storage>, secret: &RepositorySecret) -> Result<Self> {
        let Some(sealed) = storage.read(&Object::config(), 1 << 20)? else {
            return Err(RepoError::new(
                ErrorKind::NoRepository,
                format!("there is no repository at {}", storage.location()),
            ));
        };
        let mut failure = None;
        let mut strays = Vec::new();
        for (key_file, master) in keyfile::open(&*storage, secret)? {
            let key = SealingKey::new(&master)?;
            match unpacked::open::<Config>(&key, "config", sealed.clone()) {
                Ok(config) => {
                    config.check_version()?;
                    config.chunk_size()?;
                    // A key file of the same password that does not open the configuration is what an
                    // `init` that died left; restic could take it for the right one.
                    storage.delete(&strays)?;
                    return Ok(Self {
                        storage,
                        key: Arc::new(key),
                        config: Arc::new(config),
                        clock: Arc::new(SystemClock),
                        process: Arc::new(Process::this()),
                    });
                }
                Err(e) => {
                    strays.push(key_file);
                    failure = Some(e);
                }
            }
        }
        Err(failure.unwrap_or_else(|| RepoError::damaged("config", "cannot be opened")))
    }

    /// The same repository with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the objects lie.
    #[must_use]
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The key everything is sealed with.
    #[must_use]
    pub fn key(&self) -> &SealingKey {
        &self.key
    }

    /// Now, by the repository's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Reads all indexes and what is known of damaged and marked packs.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`].
    pub fn load_index(&self) -> Result<Index> {
        let mut index = Index::load(self.storage(), self.key())?;
        index.set_state(&self.damaged_packs()?, PackState::Damaged);
        index.set_state(&mark::marked_packs(self)?, PackState::Marked);
        Ok(index)
    }

    /// Packs that a check found damaged.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`].
    pub fn damaged_packs(&self) -> Result<HashSet<PackId>> {
        let records = self.storage.list(Kind::Damage)?;
        Ok(records.iter().filter_map(|(object, _)| object.name().parse().ok()).collect())
    }
}
