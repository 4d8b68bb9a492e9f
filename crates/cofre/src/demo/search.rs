//! Looks for bytes that should not be there, in every file below a folder.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// What was looked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Searched {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// How often one of the patterns was there.
    pub(crate) hits: u64,
}

/// Looks for every pattern in every file below `folder`.
pub(crate) fn search(folder: &Path, patterns: &[Vec<u8>]) -> io::Result<Searched> {
    let mut all = Searched::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let below = if kind.is_dir() {
            search(&entry.path(), patterns)?
        } else if kind.is_file() {
            search_file(&entry.path(), patterns)?
        } else {
            continue;
        };
        all.files += below.files;
        all.bytes += below.bytes;
        all.hits += below.hits;
    }
    Ok(all)
}

fn search_file(path: &Path, patterns: &[Vec<u8>]) -> io::Result<Searched> {
    const PART: usize = 1 << 20;
    let longest = patterns.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let mut file = File::open(path)?;
    let mut found = Searched { files: 1, ..Searched::default() };
    let mut window: Vec<u8> = Vec::with_capacity(PART + longest);
    loop {
        let kept = window.len();
        let read = (&mut file).take(PART as u64).read_to_end(&mut window)?;
        if read == 0 {
            return Ok(found);
        }
        found.bytes += read as u64;
        for pattern in patterns.iter().filter(|p| !p.is_empty()) {
            // a hit that lies wholly in what was kept was counted before
            let from = kept.saturating_sub(pattern.len() - 1);
            let hits = window[from..].windows(pattern.len()).filter(|w| w == pattern).count();
            found.hits += hits as u64;
        }
        let keep = window.len().min(longest - 1);
        window.drain(..window.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_found_once_also_across_parts() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![0_u8; (2 << 20) + 100];
        for at in [0, (1 << 20) - 3, (1 << 20) + 50, (2 << 20) - 7, (2 << 20) + 94] {
            bytes[at..at + 6].copy_from_slice(b"secret");
        }
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/a"), &bytes).unwrap();
        fs::write(dir.path().join("b"), "nothing").unwrap();
        let found = search(dir.path(), &[b"secret".to_vec(), b"other".to_vec()]).unwrap();
        assert_eq!(found, Searched { files: 2, bytes: bytes.len() as u64 + 7, hits: 5 });
    }
}
