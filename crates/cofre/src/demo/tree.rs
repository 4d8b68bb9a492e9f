//! Files that a small server might have. The same seed gives the same files.

use std::{collections::BTreeMap, fs, io, os::unix::fs::symlink, path::Path};

use super::{failed, listing::Listing};
use crate::report::Result;

/// A thing in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File(Vec<u8>),
    /// A symbolic link and where it leads.
    Link(String),
}

/// A tree of files, by path from its root: `var/www/index.html`. Directories come before what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Node>);

/// What happens to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The file gets this content; it may be new, its directory is not.
    Write { path: String, content: Vec<u8> },
    /// The file goes.
    Remove { path: String },
}

impl Change {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Write { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// Path and length of the files of the first day; odd lengths around the block size, names that are
/// easily mangled.
const FILES: [(&str, usize); 17] = [
    ("etc/hostname", 5),
    ("etc/motd", 0),
    ("etc/web/server.conf", 1900),
    ("home/anna/Rechnung für Müller.txt", 4095),
    ("home/anna/Bilder/Straße am Meer.raw", 300_001),
    ("home/anna/Bilder/leer", 0),
    ("home/anna/notes with  two spaces.md", 4096),
    ("srv/db/tables/customers.db", 3 << 20),
    ("srv/db/tables/orders.db", 700_000),
    ("srv/db/wal/0001", 65_536),
    ("srv/web/a/b/c/d/deep.html", 4097),
    ("srv/web/index.html", 12_000),
    ("srv/web/logo.bin", 60_000),
    ("var/log/boot.log", 20_000),
    ("var/log/web.log", 180_000),
    ("var/log/日本語.log", 1),
    ("var/spool/queue", 8192),
];
const LINKS: [(&str, &str); 2] =
    [("srv/web/current", "a/b/c"), ("etc/Verweis mit Leerzeichen", "/home/anna/Rechnung für Müller.txt")];

impl Tree {
    /// The files of the first day.
    pub(crate) fn first_day(seed: u64) -> Self {
        let mut tree = Self::default();
        for (number, (path, length)) in (0..).zip(FILES) {
            tree.insert(path, Node::File(content(seed, number, path, length)));
        }
        // Many small files, as there are in every system.
        for number in 0..40 {
            let path = format!("srv/web/posts/{number:03}.html");
            let length = 200 + usize::try_from(mix(seed ^ number) % 3000).unwrap_or(0);
            tree.insert(&path, Node::File(content(seed, 100 + number, &path, length)));
        }
        for (path, target) in LINKS {
            tree.insert(path, Node::Link(target.to_owned()));
        }
        tree
    }

    /// What happens on the second day: a log grows, a database page and a post change, a file comes, a
    /// file goes.
    pub(crate) fn second_day(&self, seed: u64) -> Vec<Change> {
        let file = |path: &str| match self.0.get(path) {
            Some(Node::File(content)) => content.clone(),
            _ => Vec::new(),
        };
        let mut log = file("var/log/web.log");
        log.extend(text(mix(seed), 9000));
        let mut table = file("srv/db/tables/orders.db");
        for byte in table.iter_mut().skip(200_000).take(8192) {
            *byte ^= 0x55;
        }
        let write = |path: &str, content: Vec<u8>| Change::Write { path: path.to_owned(), content };
        vec![
            write("var/log/web.log", log),
            write("srv/db/tables/orders.db", table),
            write("srv/web/posts/007.html", text(mix(seed + 1), 1500)),
            write("home/anna/Bilder/Größe „neu“.raw", noise(mix(seed + 2), 50_000)),
            Change::Remove { path: "srv/db/wal/0001".to_owned() },
        ]
    }

    /// The tree after changes.
    #[cfg(test)]
    pub(crate) fn changed(mut self, changes: &[Change]) -> Self {
        for change in changes {
            match change {
                Change::Write { path, content } => self.insert(path, Node::File(content.clone())),
                Change::Remove { path } => {
                    self.0.remove(path);
                }
            }
        }
        self
    }

    /// What a reader of the file system must find.
    pub(crate) fn listing(&self) -> Listing {
        let mut listing = Listing::default();
        for (path, node) in &self.0 {
            match node {
                Node::Directory => {}
                Node::File(content) => listing.add_file(path, content),
                Node::Link(target) => listing.add_link(path, target),
            }
        }
        listing
    }

    /// Makes the tree below `directory`, which is there and empty.
    ///
    /// # Errors
    /// What could not be written.
    pub(crate) fn write_to(&self, directory: &Path) -> Result<()> {
        for (path, node) in &self.0 {
            let at = directory.join(path);
            let made: io::Result<()> = match node {
                Node::Directory => fs::create_dir(&at),
                Node::File(content) => fs::write(&at, content),
                Node::Link(target) => symlink(target, &at),
            };
            made.map_err(|e| failed(format!("cannot write {}", at.display()), e))?;
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, node: Node) {
        for (end, _) in path.match_indices('/') {
            self.0.entry(path[..end].to_owned()).or_insert(Node::Directory);
        }
        self.0.insert(path.to_owned(), node);
    }
}

fn content(seed: u64, number: u64, path: &str, length: usize) -> Vec<u8> {
    let seed = mix(seed.wrapping_add(number << 32));
    let compressible = [".log", ".html", ".conf", ".md", ".txt"].iter().any(|end| path.ends_with(end));
    if compressible { text(seed, length) } else { noise(seed, length) }
}

/// Bytes that do not compress: splitmix64.
fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bytes.extend(mix(seed).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Lines that compress as text does.
fn text(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["request", "served", "in", "time", "from", "cache", "für", "anna"];
    let mut bytes = Vec::with_capacity(length + 80);
    let mut line = 0_u64;
    while bytes.len() < length {
        bytes.extend(format!("{line:06}").into_bytes());
        for word in 0..6 {
            let pick = mix(seed ^ (line * 8 + word)) % WORDS.len() as u64;
            bytes.push(b' ');
            bytes.extend(WORDS[usize::try_from(pick).unwrap_or(0)].bytes());
        }
        bytes.push(b'\n');
        line += 1;
    }
    bytes.truncate(length);
    bytes
}

fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
