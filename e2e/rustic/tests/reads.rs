//! rustic lists, checks and reads a repository that cofre wrote, before and after a prune.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustic_backend::BackendOptions;
use rustic_core::{CheckOptions, Credentials, Repository, RepositoryOptions};

/// Bytes that neither repeat nor compress, different for every seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

fn cofre(binary: &Path, arguments: &[&str], directory: &Path) {
    let output = Command::new(binary)
        .current_dir(directory)
        .args(["repo", arguments[0], "repository", "--secret-file", "secret"])
        .args(&arguments[1..])
        .output()
        .expect("cofre runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Opens the repository with rustic, checks it in full, and reads each point's disk back.
fn read_with_rustic(directory: &Path, disks: &[Vec<u8>]) {
    let repository = directory.join("repository");
    let backends =
        BackendOptions::default().repository(repository.to_string_lossy()).to_backends().expect("a backend");
    let options = RepositoryOptions::default().no_cache(true);
    let open = || {
        let repository = Repository::new(&options, &backends).expect("a repository");
        repository.open(&Credentials::password("correct horse")).expect("opens")
    };
    open().check(CheckOptions::default().read_data(true)).expect("checks").is_ok().expect("no finding");

    let repository = open().to_indexed().expect("an index");
    let mut snapshots = repository.get_all_snapshots().expect("snapshots");
    snapshots.sort();
    assert_eq!(snapshots.len(), disks.len());
    for (snapshot, disk) in snapshots.iter().zip(disks) {
        assert_eq!(snapshot.hostname, "vm");
        let data = "disks/0-os/extents/0000000000000000/0000000000000000/data";
        let node = repository.node_from_path(snapshot.tree, Path::new(data)).expect("the first piece");
        let mut read = Vec::new();
        repository.dump(&node, &mut read).expect("reads");
        assert!(read == *disk, "the disk differs");
    }
}

#[test]
fn rustic_reads_what_cofre_wrote() {
    let Some(binary) = std::env::var_os("COFRE_BIN").map(PathBuf::from) else {
        panic!("name the cofre binary in COFRE_BIN");
    };
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = temporary.path();
    fs::write(directory.join("secret"), "correct horse\n").expect("written");
    cofre(&binary, &["init"], directory);

    // half noise, a hole, and text: every way a chunk can be stored
    let mut disk = noise(3_000_000, 1);
    disk.resize(8_000_000, 0);
    disk.extend(b"the quick brown fox ".repeat(50_000));
    let mut disks = Vec::new();
    for day in 0..3 {
        disk[day * 1_000_000..][..70_000].copy_from_slice(&noise(70_000, 10 + day as u64));
        fs::write(directory.join("disk"), &disk).expect("written");
        cofre(&binary, &["ingest", "--name", "vm", "--disk", "os=disk", "--tag", &day.to_string()], directory);
        disks.push(disk.clone());
    }
    read_with_rustic(directory, &disks);

    cofre(&binary, &["forget", "tag:0", "tag:1"], directory);
    cofre(&binary, &["prune", "--grace", "0s"], directory);
    read_with_rustic(directory, &disks[2..]);
}
