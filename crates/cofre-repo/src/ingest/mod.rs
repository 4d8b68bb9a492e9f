//! Making a recovery point.
//!
//! ```text
//! planner ── slices ──► workers ── sealed blobs ──► packer (data)  ──┐
//! (holes, parent,       (read, zero? parent? known?                  ├─ packs ──► committer
//!  changed ranges)       SHA-256, zstd, seal)  ───► packer (trees) ──┘            (fsync, index)
//! ```
//!
//! The order of writes is the promise: packs, then the indexes that name them, then — under a lease
//! that is checked before and after — the snapshot that makes the point visible.

mod disk;
mod entropy;
mod parent;
mod pipeline;
mod plan;
mod sealer;

use std::{collections::HashSet, time::Instant};

use cofre_disk::{BlockSource, dirty::DirtyRanges};
use jiff::Timestamp;

use crate::{
    cancel::Cancel,
    crypto::{Sha256, random},
    error::{ErrorKind, RepoError, Result},
    failpoint,
    id::{BlobId, PointId, SnapshotId},
    index::{Index, file, file::IndexPack},
    lease::{self, Purpose},
    lock::Access,
    pack::{self, BlobKind},
    point::{Consistency, KeyFile, MAX_DISK_SIZE, MAX_JSON, PointDisk, PointDocument, PointKeyFile},
    progress::Progress,
    repository::{Point, PointSelector, Repository, Session},
    snapshot::{self, Snapshot},
    storage::Object,
    tree::{TreeBuilder, is_legal_name},
    unpacked,
};
use pipeline::{Pipeline, Stored};

/// A disk to be backed up.
pub struct DiskInput {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// The format of its image, for `disk.json`.
    pub format: String,
    /// Where its bytes come from.
    pub source: Box<dyn BlockSource>,
    /// The ranges that changed since the parent, if somebody kept count. Only those are read.
    pub changed: Option<DirtyRanges>,
    /// What its encryption header says, for `disk.json`.
    pub encryption: Option<serde_json::Value>,
}

/// Which earlier point the disks are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentChoice {
    /// The newest of the same machine, if there is one.
    Newest,
    /// None: every byte is read and looked up.
    None,
    /// This one.
    Point(PointSelector),
}

/// What to back up, and as what.
pub struct IngestRequest {
    /// The point's id, where the caller has one to give (that of its job); random otherwise. No other
    /// point may have it.
    pub id: Option<PointId>,
    /// Name of the machine: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Its resource id; a path made of its name if there is none.
    pub resource: Option<String>,
    /// The user's tags: no commas, no control characters.
    pub tags: Vec<String>,
    /// Instant of the guest's snapshot; now if there is none.
    pub time: Option<Timestamp>,
    /// Consistency of the data.
    pub consistency: Consistency,
    /// The point to compare with.
    pub parent: ParentChoice,
    /// The disks, in the order of their logical unit numbers.
    pub disks: Vec<DiskInput>,
    /// The machine as the caller describes it, for `point.json`.
    pub machine: Option<serde_json::Value>,
    /// The files below `keys/`.
    pub keys: Vec<KeyFile>,
    /// Name and version of the calling program.
    pub software: String,
}

/// What happened to one disk. All numbers are bytes or chunks of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskReport {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes in holes, never read.
    pub bytes_hole: u64,
    /// Chunks that were stored.
    pub chunks_new: u64,
    /// Chunks that were in the repository already (zeros and unchanged ones included).
    pub chunks_known: u64,
    /// Bytes of the new chunks as stored: compressed and sealed.
    pub bytes_stored: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct IngestReport {
    /// The new point.
    pub point: PointId,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// Name of the machine.
    pub name: String,
    /// The point it was compared with.
    pub parent: Option<PointId>,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Bytes of all objects that were added.
    pub repository_bytes_added: u64,
    /// The disks.
    pub disks: Vec<DiskReport>,
}

/// Asked right before a point becomes visible, and right after: somebody else may have been given the work meanwhile.
pub trait PublishGuard: Sync {
    /// Whether the point may become visible.
    ///
    /// # Errors
    /// Nothing is published.
    fn before(&self) -> Result<()>;

    /// Whether the point may stay.
    ///
    /// # Errors
    /// It is withdrawn.
    fn after(&self) -> Result<()>;
}

/// Always allows.
struct Unguarded;

impl PublishGuard for Unguarded {
    fn before(&self) -> Result<()> {
        Ok(())
    }

    fn after(&self) -> Result<()> {
        Ok(())
    }
}

fn validate(request: &IngestRequest) -> Result<()> {
    let invalid = |what: String| Err(RepoError::new(ErrorKind::Invalid, what));
    let names = "letters, digits, `.`, `_` and `-` (64 at most)";
    let is_name = |name: &str| is_legal_name(name) && name.len() <= 64;
    if !is_name(&request.name) {
        return invalid(format!("a machine cannot be called {:?}: names consist of {names}", request.name));
    }
    if request.disks.is_empty() {
        return invalid("there is no disk to back up".to_owned());
    }
    let mut seen = HashSet::new();
    for disk in &request.disks {
        if !is_name(&disk.name) {
            return invalid(format!("a disk cannot be called {:?}: names consist of {names}", disk.name));
        }
        if !seen.insert(&disk.name) {
            return invalid(format!("two disks are called {}", disk.name));
        }
        let size = disk.source.size();
        if size == 0 || size > MAX_DISK_SIZE {
            return invalid(format!(
                "disk {} ({}) has {size} bytes; a disk has at least one byte and at most 64 TiB",
                disk.name,
                disk.source.label()
            ));
        }
    }
    let mut seen = HashSet::new();
    for key in &request.keys {
        let (name, size) = (&key.name, key.bytes.len());
        if !is_legal_name(name) || !seen.insert(name) || size > MAX_JSON as usize {
            return invalid(format!("{name:?} ({size} bytes) cannot be a key file of a point"));
        }
    }
    for tag in &request.tags {
        if tag.is_empty() || tag.len() > 256 || tag.contains(',') || tag.chars().any(char::is_control) {
            return invalid(format!(
                "{tag:?} cannot be a tag: 1 to 256 bytes without commas and control characters"
            ));
        }
    }
    Ok(())
}

impl Repository {
    /// Makes a recovery point of the given disks. It becomes visible at the very end, or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`], [`ErrorKind::Invalid`], [`ErrorKind::SourceUnreadable`],
    /// [`ErrorKind::SourceChanged`], [`ErrorKind::StorageFull`], [`ErrorKind::Storage`],
    /// [`ErrorKind::LeaseLost`], [`ErrorKind::Interrupted`], [`ErrorKind::PointNotFound`]. After any of
    /// them the repository is as before, but for packs that the next attempt reuses.
    pub fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<IngestReport> {
        self.ingest_guarded(request, &Unguarded, progress, cancel)
    }

    /// [`ingest`](Self::ingest), where `guard` has a say in whether the point becomes visible and stays.
    ///
    /// # Errors
    /// As of [`ingest`](Self::ingest), and those of the guard.
    pub fn ingest_guarded(
        &self,
        request: &IngestRequest,
        guard: &dyn PublishGuard,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<IngestReport> {
        let started = Instant::now();
        validate(request)?;
        let session = Session::begin(self, Access::Shared, Purpose::Ingest, &request.name)?;
        failpoint::reached("ingest.after-lease");
        let mut index = self.load_index()?;
        warn_of_damage(&index, progress);
        self.adopt_orphans(&mut index, &session, progress)?;
        let time = request.time.unwrap_or_else(|| self.now());
        let parent = self.choose_parent(request, &index, progress)?;
        if parent.is_none()
            && let Some(disk) = request.disks.iter().find(|d| d.changed.is_some())
        {
            return Err(RepoError::new(
                ErrorKind::Invalid,
                format!("a list of changes is given for disk {}, but there is no parent point", disk.name),
            )
            .recommend("Leave the list out: the first backup reads the whole disk."));
        }

        let id = match request.id {
            Some(id) => id,
            None => {
                let mut id = [0; 16];
                random(&mut id)?;
                PointId(id)
            }
        };
        let pipeline = Pipeline::new(self, &index, progress, cancel);
        let (made, stored) = pipeline.run(|stored| {
            let mut disks = Vec::new();
            for (lun, input) in (0_u32..).zip(&request.disks) {
                disks.push(disk::ingest(stored, lun, input, parent.as_ref())?);
            }
            build_root(stored, request, id, time, parent.as_ref(), &disks)
                .map(|tree| (tree, disks.into_iter().map(|d| d.report).collect::<Vec<_>>()))
        })?;
        let (tree, disks) = made;

        failpoint::reached("ingest.before-snapshot");
        cancel.check()?;
        guard.before()?;
        session.verify()?;
        let document = Snapshot {
            time,
            tree,
            paths: vec![resource(request)],
            hostname: request.name.clone(),
            username: "cofre".to_owned(),
            tags: [snapshot::TAG.to_owned(), id.to_hex(), request.consistency.name().to_owned()]
                .into_iter()
                .chain(request.tags.iter().cloned())
                .collect(),
            program_version: request.software.clone(),
        };
        let snapshot: SnapshotId = unpacked::store(self.storage(), self.key(), &document)?;
        failpoint::reached("ingest.after-snapshot");
        if let Err(lost) =
            session.verify().and_then(|()| stored.verify_reused(self, &index)).and_then(|()| guard.after())
        {
            self.storage().delete(&[snapshot.into()])?;
            return Err(lost);
        }
        let snapshot_bytes = self.storage().length(&snapshot.into())?.unwrap_or_default();
        Ok(IngestReport {
            point: id,
            snapshot,
            name: request.name.clone(),
            parent: parent.map(|p| p.document.id),
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            repository_bytes_added: stored.bytes + snapshot_bytes,
            disks,
        })
    }

    fn choose_parent(
        &self,
        request: &IngestRequest,
        index: &Index,
        progress: &dyn Progress,
    ) -> Result<Option<Point>> {
        let selector = match &request.parent {
            ParentChoice::None => return Ok(None),
            ParentChoice::Newest => &PointSelector::Latest,
            ParentChoice::Point(selector) => selector,
        };
        let (points, unreadable) = self.points(index)?;
        for point in unreadable {
            progress.warn(&format!("snapshot {} cannot be read: {}", point.snapshot.short(), point.error));
        }
        match self.find_point(&points, selector, Some(&request.name)) {
            Ok(point) => Ok(Some(point.clone())),
            Err(e) if e.kind() == ErrorKind::PointNotFound && request.parent == ParentChoice::Newest => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Gives packs that an interrupted backup left without an index back to the repository. Only when
    /// nobody else writes: a living writer's packs are about to get an index of their own.
    fn adopt_orphans(&self, index: &mut Index, session: &Session, progress: &dyn Progress) -> Result<()> {
        if index.orphans().is_empty() {
            return Ok(());
        }
        let writes = |l: &lease::LiveLease| matches!(l.purpose, Purpose::Ingest | Purpose::Prune);
        let alone = lease::live(self)?.iter().all(|l| l.epoch == session.epoch() || !writes(l));
        let known: HashSet<_> = index.files().iter().copied().collect();
        let news = file::list(self.storage())?
            .into_iter()
            .any(|f| !known.contains(&f) && !index.unreadable().iter().any(|(id, _)| *id == f));
        if !alone || news {
            return Ok(());
        }
        let marked = crate::prune::mark::marked_packs(self)?;
        let mut adopted = Vec::new();
        for &(pack, size) in index.orphans().iter().filter(|(id, _)| !marked.contains(id)) {
            match self.verify_orphan(pack, size) {
                Ok(entry) => adopted.push(entry),
                Err(e) if e.kind() == ErrorKind::Damaged => {
                    progress.warn(&format!("an unfinished pack is left alone: {e}"));
                }
                Err(e) => return Err(e),
            }
        }
        if adopted.is_empty() {
            return Ok(());
        }
        for file in file::store(self.storage(), self.key(), adopted.clone())? {
            // all entries are given the last file's name; it only serves messages
            index.adopt(std::mem::take(&mut adopted), file)?;
        }
        Ok(())
    }

    fn verify_orphan(&self, id: crate::PackId, size: u64) -> Result<IndexPack> {
        let object = Object::from(id);
        let mut digest = Sha256::default();
        let mut run = vec![0; 1024 * 1024];
        let mut at = 0;
        while at < size {
            let length = run.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
            self.storage().read_range(&object, at, &mut run[..length])?;
            digest.update(&run[..length]);
            at += length as u64;
        }
        if digest.finish() != id.0 {
            return Err(RepoError::damaged(&object.to_string(), "its bytes do not match its name"));
        }
        let (kind, blobs) = pack::read_header(self.storage(), self.key(), id, size)?;
        Ok(IndexPack::new(id, kind, &blobs))
    }
}

fn warn_of_damage(index: &Index, progress: &dyn Progress) {
    if index.has_damage() {
        progress.warn(
            "the repository is damaged: what this backup needs of the lost chunks is stored again \
             (`cofre repo check` tells more)",
        );
    }
}

fn resource(request: &IngestRequest) -> String {
    request.resource.clone().unwrap_or_else(|| format!("/virtualMachines/{}", request.name))
}

/// Stores `point.json` and the trees above the disks; returns the root.
fn build_root(
    stored: &Stored<'_>,
    request: &IngestRequest,
    id: PointId,
    time: Timestamp,
    parent: Option<&Point>,
    disks: &[disk::DiskMade],
) -> Result<BlobId> {
    let document = PointDocument {
        version: crate::point::VERSION,
        requires: Vec::new(),
        id,
        name: request.name.clone(),
        resource: resource(request),
        time,
        committed: stored.repository.now(),
        parent: parent.map(|p| p.document.id),
        consistency: request.consistency,
        tags: request.tags.clone(),
        software: request.software.clone(),
        machine: request.machine.clone(),
        keys: request
            .keys
            .iter()
            .map(|k| PointKeyFile { name: k.name.clone(), size: k.bytes.len() as u64 })
            .collect(),
        disks: disks
            .iter()
            .map(|d| PointDisk {
                lun: d.lun,
                name: d.report.name.clone(),
                size: d.report.size,
                directory: d.directory.clone(),
            })
            .collect(),
    };
    let mut sealer = stored.sealer()?;
    let mut by_name: Vec<_> = disks.iter().collect();
    by_name.sort_by(|a, b| a.directory.cmp(&b.directory));
    let mut directory = TreeBuilder::default();
    for disk in by_name {
        directory.directory(&disk.directory, disk.tree)?;
    }
    let directory = sealer.put_tree(directory)?;
    let json = document.encode()?;
    let blob = sealer.put_bytes(BlobKind::Data, &json)?;
    let mut root = TreeBuilder::default();
    root.directory("disks", directory)?;
    if !request.keys.is_empty() {
        let mut files: Vec<_> = request.keys.iter().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut keys = TreeBuilder::default();
        for file in files {
            let blob = sealer.put_bytes(BlobKind::Data, &file.bytes)?;
            keys.file(&file.name, file.bytes.len() as u64, &[blob])?;
        }
        root.directory("keys", sealer.put_tree(keys)?)?;
    }
    root.file("point.json", json.len() as u64, &[blob])?;
    let root = sealer.put_tree(root)?;
    sealer.flush()?;
    Ok(root)
}
