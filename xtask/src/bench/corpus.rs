//! The disks that are backed up: two days of a sparse image, plain and as if encrypted.

use std::{
    error::Error,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::splitmix::Random;

/// The unit of allocation and of change.
pub(crate) const BLOCK: u64 = 4096;
const BLOCK_LEN: usize = 4096;
const SEED: u64 = 0xc0f2e;
/// Purposes of random numbers.
const LAYOUT: u64 = 1;
const CHANGES: u64 = 2;
const CONTENT: u64 = 3;
const CIPHER: u64 = 4;
/// Blocks in a run of one kind of content: 64 KiB to 16 MiB.
const RUN: (u64, u64) = (16, 4096);
/// Blocks of a hole: two thirds of that, so that 60 % are allocated.
const HOLE: (u64, u64) = (10, 2730);
/// Of 1000 allocated blocks, how many change in a day.
const CHANGED: u64 = 20;

/// What a run of blocks holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Text,
    Records,
    Noise,
    Zeros,
}

/// A run of allocated blocks with one kind of content.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    blocks: u64,
    content: Content,
}

/// Which blocks are allocated and what changes; the same for both kinds of image.
#[derive(Debug)]
pub(crate) struct Corpus {
    size: u64,
    runs: Vec<Run>,
    changed: Vec<(u64, u64)>,
    words: Vec<Vec<u8>>,
}

/// The files of one kind of image.
#[derive(Debug)]
pub(crate) struct Images {
    /// The first day's image.
    pub(crate) day1: PathBuf,
    /// The second day's.
    pub(crate) day2: PathBuf,
    /// The ranges in which they differ, as cofre's `--changed` wants them.
    pub(crate) changed: PathBuf,
}

impl Corpus {
    /// Plans disks of `size` bytes.
    pub(crate) fn plan(size: u64) -> Self {
        let mut random = Random::new(&[SEED, LAYOUT, size]);
        let (blocks, mut at, mut runs) = (size / BLOCK, 0, Vec::new());
        while at < blocks {
            let content = match random.below(100) {
                0..35 => Content::Text,
                35..60 => Content::Records,
                60..92 => Content::Noise,
                _ => Content::Zeros,
            };
            let length = random.between(RUN.0, RUN.1).min(blocks - at);
            runs.push(Run { first: at, blocks: length, content });
            at += length + random.between(HOLE.0, HOLE.1);
        }
        let words = (0..3000).map(|_| {
            let length = random.between(3, 11);
            (0..length).filter_map(|_| random.pick(b"etaoinshrdlucmfwypvbgk").copied()).collect()
        });
        let words = words.collect();
        let mut corpus = Self { size, runs, changed: Vec::new(), words };
        corpus.changed = corpus.plan_changes();
        corpus
    }

    /// Runs of 1 to 64 blocks, all of them allocated, in order, without overlap.
    fn plan_changes(&self) -> Vec<(u64, u64)> {
        let mut random = Random::new(&[SEED, CHANGES, self.size]);
        let wanted = self.allocated() / BLOCK * CHANGED / 1000;
        let mut blocks = std::collections::BTreeSet::new();
        while (blocks.len() as u64) < wanted {
            let Some(run) = random.pick(&self.runs).copied() else { break };
            let first = run.first + random.below(run.blocks);
            let end = (first + random.between(1, 64)).min(run.first + run.blocks);
            blocks.extend((first..end).take(usize::try_from(wanted).unwrap_or(0) - blocks.len()));
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for block in blocks {
            match ranges.last_mut() {
                Some((first, length)) if *first + *length == block => *length += 1,
                _ => ranges.push((block, 1)),
            }
        }
        ranges
    }

    /// Bytes of a disk.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are allocated.
    pub(crate) fn allocated(&self) -> u64 {
        self.runs.iter().map(|run| run.blocks * BLOCK).sum()
    }

    /// Bytes that differ on the second day.
    pub(crate) fn changed(&self) -> u64 {
        self.changed.iter().map(|(_, length)| length * BLOCK).sum()
    }

    /// Writes both days of one kind of image.
    pub(crate) fn write(&self, directory: &Path, kind: &str) -> Result<Images, Box<dyn Error>> {
        let is_encrypted = kind == "encrypted";
        let images = Images {
            day1: directory.join(format!("{kind}-day1.raw")),
            day2: directory.join(format!("{kind}-day2.raw")),
            changed: directory.join("changed.json"),
        };
        self.write_day(&images.day1, is_encrypted, 1)?;
        self.write_day(&images.day2, is_encrypted, 2)?;
        let ranges = self.changed.iter();
        let ranges: Vec<_> =
            ranges.map(|(first, n)| json!({"start": first * BLOCK, "length": n * BLOCK})).collect();
        fs::write(&images.changed, serde_json::to_vec(&ranges)?)?;
        Ok(images)
    }

    fn write_day(&self, path: &Path, is_encrypted: bool, day: u64) -> Result<(), Box<dyn Error>> {
        let file = File::create(path)?;
        file.set_len(self.size)?;
        let mut changed = self.changed.iter().flat_map(|(first, n)| *first..first + n).peekable();
        let mut buffer = Vec::new();
        for run in &self.runs {
            buffer.clear();
            for block in run.first..run.first + run.blocks {
                let is_changed = changed.next_if_eq(&block).is_some();
                let version = if is_changed { day } else { 1 };
                self.append(&mut buffer, run, block, version, is_encrypted);
            }
            file.write_all_at(&buffer, run.first * BLOCK)?;
        }
        file.sync_all()?;
        Ok(())
    }

    /// Appends one block.
    fn append(&self, buffer: &mut Vec<u8>, run: &Run, block: u64, version: u64, is_encrypted: bool) {
        let start = buffer.len();
        buffer.resize(start + BLOCK_LEN, 0);
        let purpose = if is_encrypted { CIPHER } else { CONTENT };
        let mut random = Random::new(&[SEED, purpose, block, version]);
        let block_bytes = &mut buffer[start..];
        match run.content {
            _ if is_encrypted => random.fill(block_bytes),
            Content::Noise => random.fill(block_bytes),
            Content::Zeros if version == 1 => {}
            Content::Text | Content::Zeros => self.fill_text(&mut random, block_bytes),
            Content::Records => self.fill_records(&mut random, block, block_bytes),
        }
    }

    /// Lines of words, as a log or a program's source.
    fn fill_text(&self, random: &mut Random, bytes: &mut [u8]) {
        let mut text = Vec::with_capacity(BLOCK_LEN + 64);
        while text.len() < bytes.len() {
            text.extend(format!("{:08x} service[{}]: ", random.next() >> 40, random.below(3000)).bytes());
            for _ in 0..random.between(4, 12) {
                text.extend(random.pick(&self.words).into_iter().flatten());
                text.push(b' ');
            }
            text.push(b'\n');
        }
        bytes.copy_from_slice(&text[..bytes.len()]);
    }

    /// Records of 128 bytes, as a database's page: numbers, a word, noise, free space.
    fn fill_records(&self, random: &mut Random, block: u64, bytes: &mut [u8]) {
        for (number, record) in bytes.chunks_exact_mut(128).enumerate() {
            record[..8].copy_from_slice(&(block * 32 + number as u64).to_le_bytes());
            record[8..16].copy_from_slice(&random.below(1_000_000).to_le_bytes());
            for (to, from) in record[16..32].iter_mut().zip(random.pick(&self.words).into_iter().flatten()) {
                *to = *from;
            }
            random.fill(&mut record[32..80]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_differ_where_the_list_says_and_the_plan_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let corpus = Corpus::plan(64 << 20);
        let share = corpus.allocated() * 100 / corpus.size();
        assert!((35..=85).contains(&share), "{share} % of a small disk");
        assert_eq!(corpus.changed() / BLOCK, corpus.allocated() / BLOCK * CHANGED / 1000);
        for kind in ["plain", "encrypted"] {
            let images = corpus.write(directory.path(), kind).unwrap();
            let (a, b) = (fs::read(&images.day1).unwrap(), fs::read(&images.day2).unwrap());
            let differ = a.chunks(BLOCK_LEN).zip(b.chunks(BLOCK_LEN)).filter(|(a, b)| a != b).count();
            assert_eq!(differ as u64 * BLOCK, corpus.changed(), "{kind}");
            let listed: Vec<serde_json::Value> =
                serde_json::from_slice(&fs::read(&images.changed).unwrap()).unwrap();
            for range in listed {
                let at = |key: &str| usize::try_from(range[key].as_u64().unwrap()).unwrap();
                let (start, end) = (at("start"), at("start") + at("length"));
                assert_ne!(a[start..end], b[start..end]);
            }
        }
    }

    #[test]
    fn large_disks_are_three_fifths_full() {
        let corpus = Corpus::plan(8 << 30);
        let share = corpus.allocated() * 100 / corpus.size();
        assert!((55..=65).contains(&share), "{share} %");
    }
}
