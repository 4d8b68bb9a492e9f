//! ext4 file systems in files, made and changed by e2fsprogs without being mounted.

use std::{fs, ops::Range, path::Path};

use super::{
    failed, tool,
    tree::{Change, Tree},
};
use crate::report::Result;

/// Size of a block in bytes. It is the sector size of the encryption, too: Linux does not mount a file
/// system with smaller blocks on 4096-byte sectors.
pub(super) const BLOCK: usize = 4096;

/// Makes a file system of `size` bytes in the new file `image`, with the files of `tree`.
///
/// # Errors
/// What could not be written; `ToolMissing` without `mkfs.ext4`.
pub(super) fn make(image: &Path, size: u64, tree: &Tree) -> Result<()> {
    let staging = tempfile::tempdir().map_err(|e| failed("cannot make a temporary directory", e))?;
    tree.write_to(staging.path())?;
    let file = fs::File::create_new(image);
    file.and_then(|file| file.set_len(size))
        .map_err(|e| failed(format!("cannot create {}", image.display()), e))?;
    // One inode for 64 KiB and the smallest journal: what is not there need not be encrypted.
    let arguments = ["-q", "-F", "-b", "4096", "-i", "65536", "-J", "size=4", "-L", "demo", "-d"];
    let mut arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    arguments.extend([staging.path().as_os_str(), image.as_os_str()]);
    tool::run("mkfs.ext4", &arguments).map(|_| ())
}

/// Applies changes to the file system in `image` as a kernel would: in place, with new blocks for new
/// content. `debugfs` ends well whatever happens, so the caller compares what is there afterwards.
///
/// # Errors
/// What could not be written; `ToolMissing` without `debugfs`.
pub(super) fn change(image: &Path, changes: &[Change]) -> Result<()> {
    let staging = tempfile::tempdir().map_err(|e| failed("cannot make a temporary directory", e))?;
    let mut script = String::new();
    for (number, change) in changes.iter().enumerate() {
        // `write` takes a name in the current directory and does not replace.
        let (directory, name) = change.path().rsplit_once('/').unwrap_or(("", change.path()));
        script.push_str(&format!("cd {}\nrm {}\n", quoted(&format!("/{directory}"))?, quoted(name)?));
        if let Change::Write { content, .. } = change {
            let source = staging.path().join(number.to_string());
            fs::write(&source, content)
                .map_err(|e| failed(format!("cannot write {}", source.display()), e))?;
            script.push_str(&format!("write {} {}\n", quoted(&source.display().to_string())?, quoted(name)?));
        }
    }
    let commands = staging.path().join("commands");
    fs::write(&commands, script).map_err(|e| failed(format!("cannot write {}", commands.display()), e))?;
    let arguments = ["-w".as_ref(), "-f".as_ref(), commands.as_os_str(), image.as_os_str()];
    tool::run("debugfs", &arguments).map(|_| ())
}

/// A name as `debugfs` reads it.
fn quoted(name: &str) -> Result<String> {
    if name.contains(['"', '\n']) {
        return Err(failed("the file system cannot be changed", format!("a name with a quote: {name:?}")));
    }
    Ok(format!("\"{name}\""))
}

/// The blocks that nothing is stored in.
///
/// # Errors
/// `ToolMissing` without `dumpe2fs`, or that it failed.
pub(super) fn free_blocks(image: &Path) -> Result<Vec<Range<u64>>> {
    let output = tool::run("dumpe2fs", &[image.as_os_str()])?;
    let mut free = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // The summary at the beginning has the same name, and a number behind it.
        let Some(list) = line.strip_prefix("  Free blocks:") else { continue };
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                return Err(failed("the file system is not understood", format!("dumpe2fs said {line:?}")));
            };
            free.push(first..last.saturating_add(1));
        }
    }
    free.sort_unstable_by_key(|range| range.start);
    Ok(free)
}
