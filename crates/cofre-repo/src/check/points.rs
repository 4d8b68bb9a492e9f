//! Walking every point: which disks need something that is lost?

use std::collections::HashMap;

use super::{CheckReport, Finding, LostBlobs};
use crate::{
    cancel::Cancel,
    error::{ErrorKind, RepoError, Result},
    id::{BlobId, SnapshotId},
    index::Index,
    pack::BlobKind,
    point::DiskDigest,
    repository::{BlobReader, Point, Repository, open_disk},
    snapshot,
};

/// What to do about a damaged point.
const USE_ANOTHER: &str = "Restore from another point, or another disk of this one. A backup of the source as it \
                           is now stores again whatever chunks it still has.";

/// How much of a tree is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Loss {
    blobs: u64,
}

struct Walker<'a> {
    index: &'a Index,
    lost: &'a LostBlobs,
    reader: BlobReader<'a>,
    /// Trees that were walked: unchanged pieces are shared by many points.
    seen: HashMap<BlobId, Loss>,
}

pub(super) fn check(
    repository: &Repository,
    index: &Index,
    lost: &LostBlobs,
    report: &mut CheckReport,
    cancel: &Cancel,
) -> Result<()> {
    let (points, unreadable) = repository.points(index)?;
    for point in &unreadable {
        let name = point.name.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
        let foreign = point.error.kind() == ErrorKind::UnsupportedRepository;
        report.findings.push(Finding {
            code: if foreign { "PointUnsupported" } else { "PointUnreadable" },
            object: format!("snapshots/{}", point.snapshot),
            message: format!("the recovery point{name} cannot be read: {}", chain(&point.error)),
            action: if foreign { "Use a version of cofre that knows it." } else { USE_ANOTHER },
        });
    }
    let mut walker =
        Walker { index, lost, reader: BlobReader::new(repository, index)?, seen: HashMap::new() };
    for point in &points {
        cancel.check()?;
        walker.check_point(point, report)?;
    }
    // snapshots that restic or rustic made are walked too
    for &id in index.snapshots() {
        cancel.check()?;
        if points.iter().any(|p| p.snapshot == id) || unreadable.iter().any(|p| p.snapshot == id) {
            continue;
        }
        if let Some(other) = snapshot::load(repository.storage(), repository.key(), id)? {
            walker.check_foreign(id, other.tree, report)?;
        }
    }
    Ok(())
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Walker<'_> {
    fn is_lost(&self, kind: BlobKind, id: BlobId) -> bool {
        let copies = self.index.find_all(kind, id);
        copies.is_empty() || copies.iter().all(|c| self.lost.contains(&(self.index.pack(c).id, id)))
    }

    /// Walks a tree and everything below it; every unique tree once. A tree that is lost counts as one
    /// blob: how many it named is not known.
    fn walk(&mut self, tree: BlobId) -> Result<Loss> {
        if let Some(&loss) = self.seen.get(&tree) {
            return Ok(loss);
        }
        let mut loss = Loss::default();
        match self.reader.tree(tree) {
            Ok(content) => {
                // depth is bounded by the length of a path that no tree of ours exceeds
                for node in content.nodes {
                    for blob in node.content.into_iter().flatten() {
                        loss.blobs += u64::from(self.is_lost(BlobKind::Data, blob));
                    }
                    if let Some(subtree) = node.subtree {
                        loss.blobs += self.walk(subtree)?.blobs;
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::Damaged => loss.blobs = 1,
            Err(e) => return Err(e),
        }
        self.seen.insert(tree, loss);
        Ok(loss)
    }

    fn check_point(&mut self, point: &Point, report: &mut CheckReport) -> Result<()> {
        let document = &point.document;
        let of = format!("point {} ({} at {})", document.id, document.name, document.time);
        let mut finding = |code, message: String| {
            report.findings.push(Finding { code, object: of.clone(), message, action: USE_ANOTHER });
        };
        let mut hit = false;
        for disk in &document.disks {
            match self.check_disk(point, disk) {
                Ok(None) => {}
                Ok(Some(what)) => {
                    hit = true;
                    finding("DiskDamaged", format!("disk {}: {what}", disk.name));
                }
                Err(e) if e.kind() == ErrorKind::Storage => return Err(e),
                Err(e) => {
                    hit = true;
                    finding("DiskDamaged", format!("disk {}: {}", disk.name, chain(&e)));
                }
            }
        }
        // whatever lies beside the disks
        let loss = self.walk(point.tree)?;
        if loss.blobs > 0 && !hit {
            finding("PointDamaged", format!("{} of its blobs are lost", loss.blobs));
        }
        Ok(())
    }

    /// Walks a disk piece by piece; says what is lost, and where the first loss is.
    fn check_disk(&mut self, point: &Point, entry: &crate::point::PointDisk) -> Result<Option<String>> {
        let (disk, groups) = open_disk(&mut self.reader, point, entry)?;
        let damaged = |what: &str| RepoError::damaged(&format!("disk {}", entry.name), what);
        let mut pieces = Vec::new();
        let mut lost = 0;
        let mut first = None;
        for group in &groups.nodes {
            let tree = group.subtree.ok_or_else(|| damaged("has a group without a tree"))?;
            let loss = self.walk(tree)?;
            if loss.blobs > 0 {
                lost += loss.blobs;
                first.get_or_insert(group.name.clone());
            }
            let Ok(content) = self.reader.tree(tree) else { continue };
            for piece in content.nodes {
                let tree = piece.subtree.ok_or_else(|| damaged("has a piece without a tree"))?;
                if first.as_deref() == Some(group.name.as_str()) && self.walk(tree)?.blobs > 0 {
                    first = Some(piece.name.clone());
                }
                pieces.push(tree);
            }
        }
        if let Some(offset) = first {
            let offset = u64::from_str_radix(&offset, 16).unwrap_or_default();
            return Ok(Some(format!(
                "{lost} of its chunks are lost, the first in the 64 MiB from byte {offset} on"
            )));
        }
        if pieces.len() as u64 != disk.size.div_ceil(disk.piece_size) {
            return Ok(Some("has the wrong number of pieces".to_owned()));
        }
        if DiskDigest::of_pieces(disk.size, disk.piece_size, &pieces) != disk.digest {
            return Ok(Some("its trees do not match the digest in disk.json".to_owned()));
        }
        Ok(None)
    }

    fn check_foreign(&mut self, id: SnapshotId, tree: BlobId, report: &mut CheckReport) -> Result<()> {
        let loss = self.walk(tree)?;
        if loss.blobs > 0 {
            report.findings.push(Finding {
                code: "SnapshotDamaged",
                object: format!("snapshots/{id}"),
                message: format!("{} blobs of this snapshot, which cofre did not make, are lost", loss.blobs),
                action: "Make it again with the program that made it.",
            });
        }
        Ok(())
    }
}
