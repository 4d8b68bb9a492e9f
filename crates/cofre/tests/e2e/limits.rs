//! Memory, and disks that are full.

use std::{fs, process::Command, time::Instant};

use crate::{
    images,
    world::{World, finish, tool},
};

/// The promise: 128 MiB.
const LIMIT_KIB: u64 = 128 << 10;

/// Runs `cofre repo …` and returns its peak resident memory in KiB.
#[track_caller]
fn peak(world: &World, verb: &str, args: &[&str]) -> Option<u64> {
    let mut time = tool("time")?;
    let began = Instant::now();
    let inner = world.repo_command(verb, args);
    time.args(["-f", "%M", "-o", "peak"]).arg(inner.get_program()).args(inner.get_args());
    time.current_dir(world.path(""))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    finish(time.spawn().unwrap()).expect(0);
    let kib = fs::read_to_string(world.path("peak")).unwrap().trim().parse().unwrap();
    eprintln!("{verb}: {} MiB in {:.1} s", kib >> 10, began.elapsed().as_secs_f32());
    Some(kib)
}

fn stays_within_the_limit(size: u64, islands: &[(u64, usize)]) {
    let world = World::new();
    let image = world.path("a.raw");
    images::make(&image, size, 1, islands);
    let backup = ["--name", "vm", "--disk", "os=a.raw"];
    let restore = ["latest", "--disk", "os", "--to", "b.raw"];
    let Some(first) = peak(&world, "ingest", &backup) else { return };
    images::change(&image, islands[0].0 + 1000, 60_000, 77);
    let peaks = [
        Some(first),
        peak(&world, "ingest", &backup),
        peak(&world, "restore", &restore),
        peak(&world, "check", &[]),
        peak(&world, "check", &["--read-data"]),
        peak(&world, "forget", &["latest"]),
        peak(&world, "prune", &["--grace", "0s"]),
    ];
    images::assert_same(&image, &world.path("b.raw"));
    for (i, peak) in peaks.into_iter().flatten().enumerate() {
        assert!(peak <= LIMIT_KIB, "operation {i} took {} MiB", peak >> 10);
    }
}

#[test]
fn memory_for_4_gib_with_300_mib_of_data() {
    let islands: Vec<_> = (0..30).map(|i| (i * (130 << 20), 10 << 20)).collect();
    stays_within_the_limit(4 << 30, &islands);
}

#[test]
fn memory_for_64_gib_sparse() {
    let islands: Vec<_> = (0..100).map(|i| (i * (640 << 20), 70_000)).collect();
    stays_within_the_limit(64 << 30, &islands);
}

/// A small file system, gone when dropped.
pub(crate) struct Small(pub(crate) std::path::PathBuf);

impl Small {
    pub(crate) fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mut mount = tool("mount")?;
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at);
        if !mount.output().unwrap().status.success() {
            eprintln!("passed over: mounting is not allowed here");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_repository_loses_nothing_and_goes_on_when_there_is_room() {
    let world = World::empty();
    let Some(small) = Small::mount(world.path("repo"), "48m") else { return };
    world.repo("init", &[]).expect(0);
    images::full(&world.path("a.raw"), 10 << 20, 1);
    images::full(&world.path("b.raw"), 80 << 20, 2);
    let made = world.ingest("vm", &["os=a.raw"], &[]);
    let error = world.repo("ingest", &["--name", "big", "--disk", "os=b.raw"]).refused(1, "StorageFull");
    assert!(error["recommendations"][0].as_str().unwrap().contains("space"), "{error}");
    assert_eq!(world.points().len(), 1);
    images::assert_same(&world.path("a.raw"), &world.restore(&made["point"], "os", "out.raw"));
    world.check_is_clean();

    // not a byte left: what is there can be read and restored all the same, with a warning
    let filler = fs::File::create(small.0.join("filler")).unwrap();
    let block = [1; 4096];
    while std::io::Write::write_all(&mut &filler, &block).is_ok() {}
    fs::remove_file(world.path("out.raw")).unwrap();
    let restored = world.repo("restore", &["latest", "--disk", "os", "--to", "out.raw"]).expect(3).json();
    assert!(restored["warnings"][0].as_str().unwrap().contains("no lock"), "{restored:#}");
    images::assert_same(&world.path("a.raw"), &world.path("out.raw"));
    let checked = world.repo("check", &["--read-data"]).json();
    assert_eq!(checked["ok"], true, "{checked:#}");
    world.repo("ingest", &["--name", "big", "--disk", "os=b.raw"]).refused(1, "StorageFull");
    drop(filler);
    fs::remove_file(small.0.join("filler")).unwrap();

    // so it is on storage that may only be read
    let remount = |options: &str| {
        let status = Command::new("mount").args(["-o", options]).arg(&small.0).status().unwrap();
        assert!(status.success());
    };
    remount("remount,ro");
    assert_eq!(world.points().len(), 1);
    world.repo("restore", &["latest", "--disk", "os", "--to", "out.raw", "--force"]).expect(3);
    images::assert_same(&world.path("a.raw"), &world.path("out.raw"));
    remount("remount,rw");

    let status = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&small.0).status().unwrap();
    assert!(status.success());
    let big = world.ingest("big", &["os=b.raw"], &[]);
    images::assert_same(&world.path("b.raw"), &world.restore(&big["point"], "os", "out.raw"));
    world.check_is_clean();
    world.restic_check();
}

#[test]
fn a_full_target_leaves_nothing_behind() {
    let world = World::new();
    images::full(&world.path("a.raw"), 20 << 20, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let Some(small) = Small::mount(world.path("target"), "8m") else { return };
    let args = ["latest", "--disk", "os", "--to", "target/a.raw"];
    world.repo("restore", &args).refused(1, "StorageFull");
    assert_eq!(fs::read_dir(&small.0).unwrap().count(), 0);
}
