//! Trees: directories as restic stores them, in the one form that restic re-encodes byte for byte.
//!
//! Field order, constants, `"content":null` for directories, nodes in byte order and the newline at
//! the end are all part of the form (docs/format.md, "Trees"): the id of a tree is the digest of
//! these bytes, so any field that varies would end the reuse of unchanged trees.

use std::io::Write;

use serde::Deserialize;

use crate::{
    error::{ErrorKind, RepoError, Result},
    id::BlobId,
};

/// Largest tree that is read: 4 096 chunk ids take 280 KiB, a group of 256 pieces 90 KiB.
pub const LIMIT: u32 = 64 * 1024 * 1024;

/// The times and owners of every node: constant, so that equal content gives equal trees.
const CONSTANTS: &str = r#""mtime":"2000-01-01T00:00:00Z","atime":"2000-01-01T00:00:00Z","ctime":"2000-01-01T00:00:00Z","uid":0,"gid":0"#;
/// 0644.
const FILE_MODE: u32 = 420;
/// 0755 and Go's directory bit.
const DIRECTORY_MODE: u32 = 2_147_484_141;

/// Whether `name` may name a node: letters, digits, `.`, `_`, `-`, and neither `.` nor `..`.
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Builds the bytes of one tree. Nodes must come in ascending byte order of their names.
#[derive(Debug)]
pub struct TreeBuilder {
    bytes: Vec<u8>,
    last: String,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self { bytes: b"{\"nodes\":[".to_vec(), last: String::new() }
    }
}

impl TreeBuilder {
    fn begin(&mut self, name: &str) -> Result<()> {
        if !is_legal_name(name) || (name <= self.last.as_str() && !self.last.is_empty()) {
            return Err(RepoError::new(
                ErrorKind::Invalid,
                format!("{name:?} cannot stand in a tree, or not behind {:?}", self.last),
            ));
        }
        if !self.last.is_empty() {
            self.bytes.push(b',');
        }
        name.clone_into(&mut self.last);
        Ok(())
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) -> Result<()> {
        // writing to memory does not fail
        self.bytes
            .write_fmt(text)
            .map_err(|e| RepoError::new(ErrorKind::Storage, "a tree could not be encoded").with_source(e))
    }

    /// Adds a file of `size` bytes whose content is the given blobs.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an illegal name or a wrong order.
    pub fn file(&mut self, name: &str, size: u64, content: &[BlobId]) -> Result<()> {
        self.begin(name)?;
        self.write(format_args!(r#"{{"name":"{name}","type":"file","mode":{FILE_MODE},{CONSTANTS}"#))?;
        if size != 0 {
            self.write(format_args!(r#","size":{size}"#))?;
        }
        self.bytes.extend_from_slice(b",\"content\":[");
        self.bytes.reserve(content.len() * 67);
        for (i, id) in content.iter().enumerate() {
            self.bytes.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
            id.write_hex(&mut self.bytes);
            self.bytes.push(b'"');
        }
        self.bytes.extend_from_slice(b"]}");
        Ok(())
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn directory(&mut self, name: &str, subtree: BlobId) -> Result<()> {
        self.begin(name)?;
        self.write(format_args!(
            r#"{{"name":"{name}","type":"dir","mode":{DIRECTORY_MODE},{CONSTANTS},"content":null,"subtree":"{subtree}"}}"#
        ))
    }

    /// The finished bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"]}\n");
        self.bytes
    }
}

/// A tree that was read.
#[derive(Clone, Debug, Deserialize)]
pub struct Tree {
    /// Its nodes, in the order they are stored.
    pub nodes: Vec<Node>,
}

/// A node of a tree that was read; what cofre does not need is left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// `file`, `dir` or another of restic's types.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a file.
    #[serde(default)]
    pub size: u64,
    /// Blobs of a file, in order.
    #[serde(default)]
    pub content: Option<Vec<BlobId>>,
    /// Tree of a directory.
    #[serde(default)]
    pub subtree: Option<BlobId>,
}

impl Tree {
    /// Decodes a tree. `id` stands in the messages.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`].
    pub fn parse(id: BlobId, bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|e| RepoError::damaged(&format!("tree {}", id.short()), "is not a tree").with_source(e))
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The subtree called `name`.
    #[must_use]
    pub fn directory(&self, name: &str) -> Option<BlobId> {
        self.node(name).and_then(|n| n.subtree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes() {
        let mut tree = TreeBuilder::default();
        tree.file("a.json", 0, &[]).unwrap();
        tree.file("b", 3, &[BlobId([1; 32]), BlobId([2; 32])]).unwrap();
        tree.directory("c", BlobId([3; 32])).unwrap();
        let bytes = tree.finish();
        let times = r#""mtime":"2000-01-01T00:00:00Z","atime":"2000-01-01T00:00:00Z","ctime":"2000-01-01T00:00:00Z","uid":0,"gid":0"#;
        let expected = format!(
            "{{\"nodes\":[{{\"name\":\"a.json\",\"type\":\"file\",\"mode\":420,{times},\"content\":[]}},\
             {{\"name\":\"b\",\"type\":\"file\",\"mode\":420,{times},\"size\":3,\"content\":[\"{}\",\"{}\"]}},\
             {{\"name\":\"c\",\"type\":\"dir\",\"mode\":2147484141,{times},\"content\":null,\"subtree\":\"{}\"}}]}}\n",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(32)
        );
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        let parsed = Tree::parse(BlobId([0; 32]), &bytes).unwrap();
        assert_eq!(parsed.node("b").unwrap().content.as_ref().unwrap()[1], BlobId([2; 32]));
        assert_eq!(parsed.directory("c"), Some(BlobId([3; 32])));
        assert_eq!(parsed.directory("b"), None);
    }

    #[test]
    fn order_and_names_are_enforced() {
        let mut tree = TreeBuilder::default();
        tree.file("b", 0, &[]).unwrap();
        assert!(tree.file("a", 0, &[]).is_err());
        assert!(tree.file("b", 0, &[]).is_err());
        for bad in ["", ".", "..", "a/b", "ä", "a\"", "a b", "a\n"] {
            assert!(!is_legal_name(bad), "{bad:?}");
        }
    }
}
