//! What was backed up comes back, byte for byte.

use std::os::unix::fs::MetadataExt;

use crate::{images, world::World};

fn round_trip(size: u64, islands: &[(u64, usize)]) {
    let world = World::new();
    images::make(&world.path("a.raw"), size, size, islands);
    let made = world.ingest("vm", &["os=a.raw"], &[]);
    assert_eq!(made["disks"][0]["size"], size);
    let back = world.restore(&made["point"], "os", "b.raw");
    images::assert_same(&world.path("a.raw"), &back);
    assert_eq!(back.metadata().unwrap().mode() & 0o7777, 0o600);

    let again = world.ingest("vm", &["os=a.raw"], &[]);
    assert_eq!(again["parent"], made["point"]);
    assert_eq!(again["disks"][0]["chunksNew"], 0);
    let back = world.restore(&again["point"], "os", "b.raw");
    images::assert_same(&world.path("a.raw"), &back);
    world.check_is_clean();
    world.restic_check();
}

#[test]
fn one_byte() {
    round_trip(1, &[(0, 1)]);
}

#[test]
fn one_sector() {
    round_trip(512, &[(0, 512)]);
}

#[test]
fn no_multiple_of_a_sector() {
    round_trip(1_000_003, &[(0, 700_001), (900_000, 100_003)]);
}

#[test]
fn a_byte_more_than_a_piece() {
    round_trip((64 << 20) + 1, &[(0, 100), ((64 << 20) - 100, 101)]);
}

#[test]
fn a_byte_less_than_a_piece() {
    round_trip((64 << 20) - 1, &[(12345, 300_000), ((64 << 20) - 70_000, 69_999)]);
}

#[test]
fn all_zero() {
    round_trip(200_000_000, &[]);
}

#[test]
fn five_tebibytes_with_islands() {
    let size = 5 << 40;
    round_trip(size, &[(0, 4096), ((1 << 40) + 777, 3 << 20), ((4 << 40) - 5, 10), (size - 1000, 1000)]);
}

#[test]
fn several_disks_of_several_machines() {
    let world = World::new();
    for (i, name) in ["a.raw", "b.raw", "c.raw"].iter().enumerate() {
        images::full(&world.path(name), 3_000_000 + i * 511, i as u64);
    }
    let first = world.ingest("web", &["os=a.raw", "data=b.raw"], &["--tag", "x", "--tag", "y z"]);
    let second = world.ingest("db", &["os=c.raw"], &[]);
    let third = world.ingest("web", &["os=a.raw", "data=b.raw"], &[]);
    assert_eq!(third["parent"], first["point"]);
    assert_eq!(second["parent"], serde_json::Value::Null);
    for (point, disk, image) in [
        (&first, "os", "a.raw"),
        (&first, "data", "b.raw"),
        (&second, "os", "c.raw"),
        (&third, "data", "b.raw"),
    ] {
        images::assert_same(&world.path(image), &world.restore(&point["point"], disk, "out.raw"));
    }
    let list = world.repo("points", &[]).expect(0).json();
    assert_eq!(list["points"].as_array().unwrap().len(), 3);
    assert_eq!(list["points"][0]["tags"], serde_json::json!(["x", "y z"]));
    assert_eq!(list["points"][0]["disks"][1]["name"], "data");
    assert_eq!(world.repo("points", &["--name", "db"]).json()["points"].as_array().unwrap().len(), 1);

    // `latest` and tags need the machine's name where there are several
    let to = ["--disk", "os", "--to", "out.raw", "--force"];
    let with = |more: &[&str]| world.repo("restore", &[more, &to].concat());
    with(&["latest"]).refused(21, "RecoveryPointAmbiguous");
    assert_eq!(with(&["latest", "--name", "web"]).expect(0).json()["point"], third["point"]);
    assert_eq!(with(&["tag:y z"]).expect(0).json()["point"], first["point"]);
    let prefix = &second["point"].as_str().unwrap()[..8];
    assert_eq!(with(&[prefix]).expect(0).json()["point"], second["point"]);
    with(&["tag:none"]).refused(1, "RecoveryPointNotFound");
}

#[test]
fn a_file_url_and_human_output() {
    let world = World::new();
    images::full(&world.path("a=,b.raw"), 100_000, 1);
    let url = format!("file://{}", world.text("repo"));
    let run = world.cofre(&[
        "repo",
        "ingest",
        &url,
        "--secret-file",
        "secret",
        "--name",
        "vm",
        "--disk",
        "os=a=,b.raw,format=raw",
    ]);
    let run = run.expect(0);
    assert!(run.stdout.starts_with("Recovery point "), "{run:#?}");
    assert!(run.stderr.contains("disk os: 97.7 KiB of 97.7 KiB (100 %), 97.7 KiB new"), "{run:#?}");
    let quiet = world.cofre(&["repo", "points", &url, "--secret-file", "secret", "--quiet"]).expect(0);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.lines().count(), 2);
}
