//! The disk of the parent point that a disk is compared with.

use crate::{
    config::ChunkSize,
    error::Result,
    id::BlobId,
    ingest::Stored,
    point::{GROUP_SIZE, PIECE_SIZE, offset_name},
    repository::{BlobReader, Point},
    tree::Tree,
};

/// Chunks, pieces and groups of the parent's disk.
pub(crate) struct ParentDisk<'a> {
    reader: BlobReader<'a>,
    size: u64,
    groups: Tree,
    /// The group that was read last.
    group: Option<(u64, Tree)>,
}

/// What the parent can serve for.
pub(crate) enum Comparison<'a> {
    /// Chunk by chunk.
    Same(ParentDisk<'a>),
    /// It has a disk of this name, cut into chunks of another size.
    OtherChunkSize,
    /// It has no disk of this name, or one that cannot be read.
    Nothing,
}

impl<'a> ParentDisk<'a> {
    pub(crate) fn open(
        stored: &'a Stored<'a>,
        point: &Point,
        name: &str,
        chunk_size: ChunkSize,
    ) -> Result<Comparison<'a>> {
        let mut reader = BlobReader::new(stored.repository, stored.index)?;
        let Some(disk) = point.document.disk(name).filter(|d| d.name == name) else {
            return Ok(Comparison::Nothing);
        };
        let (document, groups) = match crate::repository::open_disk(&mut reader, point, disk) {
            Ok(found) => found,
            Err(e) => {
                stored.progress.warn(&format!("disk {name} of the parent point cannot be read: {e}"));
                return Ok(Comparison::Nothing);
            }
        };
        let alike = document.chunk_size == chunk_size
            && document.piece_size == PIECE_SIZE
            && document.group_size == GROUP_SIZE;
        if !alike {
            return Ok(Comparison::OtherChunkSize);
        }
        Ok(Comparison::Same(Self { reader, size: document.size, groups, group: None }))
    }

    /// Bytes of the parent's disk.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The tree of the piece at `offset`. `None`: the parent has none, or its group is lost.
    pub(crate) fn piece(&mut self, offset: u64) -> Option<BlobId> {
        if offset >= self.size {
            return None;
        }
        let start = offset / GROUP_SIZE * GROUP_SIZE;
        if self.group.as_ref().is_none_or(|(at, _)| *at != start) {
            let group = self.groups.directory(&offset_name(start))?;
            self.group = Some((start, self.reader.tree(group).ok()?));
        }
        let (_, group) = self.group.as_ref()?;
        // pieces are sorted by name, which is their offset
        let name = offset_name(offset);
        let at = group.nodes.binary_search_by(|n| n.name.as_str().cmp(&name)).ok()?;
        group.nodes[at].subtree
    }

    /// The chunks of a piece. `None`: they are lost, or not as many as there should be.
    pub(crate) fn chunks(&mut self, piece: BlobId, expected: usize) -> Option<Vec<BlobId>> {
        let tree = self.reader.tree(piece).ok()?;
        let chunks = tree.nodes.into_iter().find(|n| n.name == "data")?.content?;
        (chunks.len() == expected).then_some(chunks)
    }
}
