//! What is in a file system: every regular file with its size and SHA-256, every symbolic link.

use std::{collections::BTreeMap, fmt};

use cofre_fde::{
    PlaintextView, ReadAt,
    luks::{LuksMapping, Unlocked},
};
use ext4_view::{Ext4, Ext4Error, Ext4Read, PathBuf};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{failed, tree::Change};
use crate::report::Result;

/// Deeper folders are not looked into: this is a reader of disks that a guest may have written.
const MAX_DEPTH: usize = 64;

/// A file or a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Entry {
    File { size: u64, sha256: String },
    Link { target: String },
}

/// All files and links by path from the root, `var/www/index.html`. Directories are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Listing(BTreeMap<String, Entry>);

impl Listing {
    pub(crate) fn add_file(&mut self, path: &str, content: &[u8]) {
        let sha256 = hex(&Sha256::digest(content));
        self.0.insert(path.to_owned(), Entry::File { size: content.len() as u64, sha256 });
    }

    pub(crate) fn add_link(&mut self, path: &str, target: &str) {
        self.0.insert(path.to_owned(), Entry::Link { target: target.to_owned() });
    }

    /// What a change does to the files.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { path, content } => self.add_file(path, content),
            Change::Remove { path } => {
                self.0.remove(path);
            }
        }
    }

    /// The entries, in the order of their paths.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The paths that are in one of the two only, or differ.
    pub(crate) fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let mut paths: Vec<_> = self.0.keys().chain(other.0.keys()).map(String::as_str).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.retain(|path| self.0.get(*path) != other.0.get(*path));
        paths
    }
}

/// Reads the ext4 file system of an encrypted disk, through its encryption. `data` is the whole data
/// device, `unlocked` what its header gave: of this disk, or kept from another day.
///
/// # Errors
/// A file system that cannot be read: also what a wrong volume key gives.
pub(crate) fn read(data: impl ReadAt + 'static, unlocked: &Unlocked) -> Result<Listing> {
    let view = unlocked.view(data)?;
    let unreadable = |e: Ext4Error| failed("the file system on the disk cannot be read", e);
    let system = Ext4::load(Box::new(Plaintext(view))).map_err(unreadable)?;
    let mut listing = Listing::default();
    walk(&system, PathBuf::new("/"), 0, &mut listing).map_err(unreadable)?;
    Ok(listing)
}

struct Plaintext<S>(PlaintextView<S, LuksMapping>);

impl<S: ReadAt> Ext4Read for Plaintext<S> {
    fn read(
        &mut self,
        start: u64,
        buffer: &mut [u8],
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read_exact_at(buffer, start)?)
    }
}

fn walk(
    system: &Ext4,
    directory: PathBuf,
    depth: usize,
    listing: &mut Listing,
) -> std::result::Result<(), Ext4Error> {
    for entry in system.read_dir(&directory)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "." || name == ".." {
            continue;
        }
        let shown = path.display().to_string().trim_start_matches('/').to_owned();
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            listing.add_link(&shown, &system.read_link(&path)?.display().to_string());
        } else if kind.is_regular_file() {
            let (size, sha256) = digest(system, &path)?;
            listing.0.insert(shown, Entry::File { size, sha256 });
        } else if kind.is_dir() && depth < MAX_DEPTH {
            walk(system, path, depth + 1, listing)?;
        }
    }
    Ok(())
}

fn digest(system: &Ext4, path: &PathBuf) -> std::result::Result<(u64, String), Ext4Error> {
    let mut file = system.open(path)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read_bytes(&mut buffer)?;
        if length == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { size, sha256 } => write!(formatter, "{size} bytes, {sha256}"),
            Self::Link { target } => write!(formatter, "-> {target}"),
        }
    }
}
