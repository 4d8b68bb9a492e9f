//! Listing recovery points and finding the one that is meant.

use std::str::FromStr;

use zeroize::Zeroizing;

use super::{BlobReader, Repository};
use crate::{
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, PointId, SnapshotId},
    index::Index,
    point::{DiskDocument, KeyFile, MAX_JSON, PointDisk, PointDocument},
    snapshot,
    tree::Tree,
};

/// A visible recovery point.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// The snapshot's root tree.
    pub tree: BlobId,
    /// Its `point.json`.
    pub document: PointDocument,
}

/// A snapshot that should be a recovery point and cannot be read.
#[derive(Debug)]
pub struct UnreadablePoint {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Name of the virtual machine, where the snapshot could be read.
    pub name: Option<String>,
    /// The point's id, where the snapshot could be read.
    pub point: Option<PointId>,
    /// Why.
    pub error: RepoError,
}

/// How a point is named on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointSelector {
    /// The newest.
    Latest,
    /// The one whose id begins so: at least 8 hex digits.
    Id(String),
    /// The newest with this tag of the user's.
    Tag(String),
}

impl FromStr for PointSelector {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<Self> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(tag) = text.strip_prefix("tag:") {
            return Ok(Self::Tag(tag.to_owned()));
        }
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && (8..=32).contains(&text.len()) {
            return Ok(Self::Id(text.to_owned()));
        }
        Err(RepoError::new(ErrorKind::Invalid, format!("{text:?} does not name a recovery point"))
            .recommend("Give `latest`, `tag:TEXT`, or a point's id or its first 8 hex digits or more."))
    }
}

impl std::fmt::Display for PointSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Id(id) => f.write_str(id),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

impl Repository {
    /// All recovery points, oldest first, and those that cannot be read.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`].
    pub fn points(&self, index: &Index) -> Result<(Vec<Point>, Vec<UnreadablePoint>)> {
        let mut points = Vec::new();
        let mut unreadable = Vec::new();
        let mut reader = BlobReader::new(self, index)?;
        for &id in index.snapshots() {
            let snapshot = match snapshot::load(self.storage(), self.key(), id) {
                Ok(Some(snapshot)) if snapshot.is_point() => snapshot,
                Ok(_) => continue,
                Err(e) if e.kind() == ErrorKind::Storage => return Err(e),
                Err(error) => {
                    unreadable.push(UnreadablePoint { snapshot: id, name: None, point: None, error });
                    continue;
                }
            };
            match read_document(&mut reader, snapshot.tree) {
                Ok(document) => points.push(Point { snapshot: id, tree: snapshot.tree, document }),
                Err(error) => {
                    let point = snapshot.tags.iter().find_map(|t| t.parse().ok());
                    let name = Some(snapshot.hostname);
                    unreadable.push(UnreadablePoint { snapshot: id, name, point, error });
                }
            }
        }
        points.sort_by_key(|p| (p.document.time, p.document.committed, p.document.id));
        Ok((points, unreadable))
    }

    /// The files below `keys/` of a point, in the order of `point.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::Storage`].
    pub fn key_files(&self, index: &Index, point: &Point) -> Result<Vec<KeyFile>> {
        if point.document.keys.is_empty() {
            return Ok(Vec::new());
        }
        let of = format!("point {}", point.document.id.short());
        let mut reader = BlobReader::new(self, index)?;
        let root = reader.tree(point.tree)?;
        let keys = root.directory("keys").ok_or_else(|| RepoError::damaged(&of, "lacks its keys"))?;
        let keys = reader.tree(keys)?;
        let mut files = Vec::new();
        for entry in &point.document.keys {
            let bytes = Zeroizing::new(reader.file(&keys, &entry.name, MAX_JSON)?);
            if bytes.len() as u64 != entry.size {
                let what = format!("has a key file {} of another size than it announces", entry.name);
                return Err(RepoError::damaged(&of, what));
            }
            files.push(KeyFile { name: entry.name.clone(), bytes });
        }
        Ok(files)
    }

    /// What a point says of one of its disks.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::Storage`].
    pub fn disk_document(&self, index: &Index, point: &Point, disk: &PointDisk) -> Result<DiskDocument> {
        open_disk(&mut BlobReader::new(self, index)?, point, disk).map(|(document, _)| document)
    }

    /// The point that is meant, among those of the machine `name` where one is given.
    ///
    /// # Errors
    /// [`ErrorKind::PointNotFound`], [`ErrorKind::PointAmbiguous`].
    pub fn find_point<'a>(
        &self,
        points: &'a [Point],
        selector: &PointSelector,
        name: Option<&str>,
    ) -> Result<&'a Point> {
        let of_machine = |p: &&Point| name.is_none_or(|n| p.document.name == n);
        let fits = |p: &&Point| match selector {
            PointSelector::Latest => true,
            PointSelector::Id(prefix) => p.document.id.to_hex().starts_with(prefix.as_str()),
            PointSelector::Tag(tag) => p.document.tags.contains(tag),
        };
        let found: Vec<_> = points.iter().filter(of_machine).filter(fits).collect();
        let Some(&newest) = found.last() else {
            let whose = name.map(|n| format!(" of {n}")).unwrap_or_default();
            return Err(RepoError::new(
                ErrorKind::PointNotFound,
                format!("there is no recovery point {selector}{whose}"),
            ));
        };
        // a copy that restic made of a snapshot is the same point
        let several = match selector {
            PointSelector::Id(_) => found.iter().any(|p| p.document.id != newest.document.id),
            _ => found.iter().any(|p| p.document.name != newest.document.name),
        };
        if several {
            return Err(RepoError::new(
                ErrorKind::PointAmbiguous,
                format!("{selector} fits several recovery points"),
            ));
        }
        Ok(newest)
    }
}

/// Reads `point.json` below a root tree.
pub(crate) fn read_document(reader: &mut BlobReader<'_>, tree: BlobId) -> Result<PointDocument> {
    let root = reader.tree(tree)?;
    PointDocument::parse(&reader.file(&root, "point.json", MAX_JSON)?)
}

/// Where a disk of a point begins: its `disk.json` and the tree of its groups.
pub(crate) fn open_disk(
    reader: &mut BlobReader<'_>,
    point: &Point,
    disk: &PointDisk,
) -> Result<(DiskDocument, Tree)> {
    let missing = |what: &str| {
        RepoError::damaged(&format!("point {}", point.document.id.short()), format!("lacks {what}"))
    };
    let root = reader.tree(point.tree)?;
    let disks = reader.tree(root.directory("disks").ok_or_else(|| missing("its disks"))?)?;
    let path = format!("disk {}", disk.name);
    let directory = reader.tree(disks.directory(&disk.directory).ok_or_else(|| missing(&path))?)?;
    let document = DiskDocument::parse(&reader.file(&directory, "disk.json", MAX_JSON)?)?;
    if document.size != disk.size {
        return Err(missing(&format!("a {path} of the size it announces")));
    }
    let groups = reader.tree(directory.directory("extents").ok_or_else(|| missing(&path))?)?;
    Ok((document, groups))
}
