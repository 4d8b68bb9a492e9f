//! Small disks that change at random.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use serde_json::json;

use crate::splitmix::Random;

const SECTOR: u64 = 512;
const BLOCK: usize = 4096;
const MIB: u64 = 1 << 20;

/// Makes a disk of 8 to 64 MiB, half of it empty.
pub(crate) fn make(path: &Path, random: &mut Random) -> Result<(), Box<dyn Error>> {
    let file = File::create(path)?;
    let size = random.between(8 * MIB, 64 * MIB) / SECTOR * SECTOR;
    file.set_len(size)?;
    for _ in 0..size / MIB {
        write_run(&file, size, MIB / 2, random)?;
    }
    Ok(())
}

/// Makes `to` a copy of `from` with up to 24 edits, or none; now and then it grows.
pub(crate) fn edit(from: &Path, to: &Path, random: &mut Random) -> Result<(), Box<dyn Error>> {
    fs::copy(from, to)?;
    let file = OpenOptions::new().write(true).open(to)?;
    let mut size = file.metadata()?.len();
    if random.below(100) < 5 && size < 60 * MIB {
        size += random.between(1, 4 * MIB / SECTOR) * SECTOR;
        file.set_len(size)?;
    }
    if random.below(100) < 90 {
        for _ in 0..random.between(1, 24) {
            write_run(&file, size, 256 << 10, random)?;
        }
    }
    Ok(())
}

/// Writes noise, one byte many times, or zeros at a random place.
fn write_run(file: &File, size: u64, longest: u64, random: &mut Random) -> Result<(), Box<dyn Error>> {
    let at = random.below(size);
    let length = usize::try_from(random.between(1, longest).min(size - at))?;
    let mut bytes = vec![0; length];
    match random.below(100) {
        0..60 => random.fill(&mut bytes),
        60..85 => bytes.fill(random.next().to_le_bytes()[0]),
        _ => {}
    }
    Ok(file.write_all_at(&bytes, at)?)
}

/// Writes the list of blocks in which `new` differs from `old`, as `--changed` wants it.
pub(crate) fn list_changes(old: &Path, new: &Path, list: &Path) -> Result<(), Box<dyn Error>> {
    let (a, b) = (fs::read(old)?, fs::read(new)?);
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK)).enumerate();
    let changed = blocks.filter(|(_, (a, b))| !b.starts_with(a));
    let ranges = changed.map(|(number, (_, b))| json!({"start": number * BLOCK, "length": b.len()}));
    Ok(fs::write(list, serde_json::to_vec(&ranges.collect::<Vec<_>>())?)?)
}
