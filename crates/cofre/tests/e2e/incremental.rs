//! Work grows with the change.

use std::{fs, fs::OpenOptions};

use serde_json::Value;

use crate::{images, world::World};

const MIB: u64 = 1 << 20;

fn read(made: &Value) -> u64 {
    made["disks"][0]["bytesRead"].as_u64().unwrap()
}

#[test]
fn a_chain_by_comparison_restores_every_link() {
    let world = World::new();
    let image = world.path("a.raw");
    images::make(&image, 150 * MIB + 13, 1, &[(0, 5 << 20), (70 * MIB, 1 << 20)]);
    let mut made = Vec::new();
    for day in 0..6_u64 {
        if day > 0 {
            images::change(&image, day * 25 * MIB - 100, 200, day);
        }
        let point = world.ingest("vm", &["os=a.raw"], &[]);
        fs::copy(&image, world.path(&format!("day{day}.raw"))).unwrap();
        made.push(point["point"].clone());
    }
    for (day, point) in made.iter().enumerate() {
        let back = world.restore(point, "os", "out.raw");
        images::assert_same(&world.path(&format!("day{day}.raw")), &back);
    }
    world.restic_check();
}

#[test]
fn a_list_of_changes_is_all_that_is_read() {
    let world = World::new();
    let image = world.path("a.raw");
    images::full(&image, 80 << 20, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    images::change(&image, 10 * MIB + 5, 10, 2);
    images::change(&image, 66 * MIB, 65536, 3);
    // a change the list does not name is not seen: nothing else is read
    images::change(&image, 40 * MIB, 100, 4);
    let list = format!(
        r#"[{{"start":{},"length":65536}},{{"start":{},"length":10}},{{"start":7,"length":0}}]"#,
        66 * MIB,
        10 * MIB + 5
    );
    fs::write(world.path("changed.json"), list).unwrap();
    let made = world.ingest("vm", &["os=a.raw"], &["--changed", "os=changed.json"]);
    assert_eq!(read(&made), 2 * 65536);
    assert_eq!(made["disks"][0]["chunksNew"], 2);
    // and a comparison finds it
    let compared = world.ingest("vm", &["os=a.raw"], &[]);
    assert_eq!(compared["disks"][0]["chunksNew"], 1);
    assert_eq!(read(&compared), 80 * MIB);
    images::assert_same(&image, &world.restore(&compared["point"], "os", "out.raw"));

    fs::write(world.path("changed.json"), "[]").unwrap();
    let made = world.ingest("vm", &["os=a.raw"], &["--changed", "os=changed.json"]);
    assert_eq!(read(&made), 0);
    assert!(made["repositoryBytesAdded"].as_u64().unwrap() < 256 * 1024);
    images::assert_same(&image, &world.restore(&made["point"], "os", "out.raw"));
}

#[test]
fn disks_that_grow_and_shrink() {
    let world = World::new();
    let image = world.path("a.raw");
    images::full(&image, 1_000_001, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let resize = |size: u64| OpenOptions::new().write(true).open(&image).unwrap().set_len(size).unwrap();
    fs::write(world.path("changed.json"), "[]").unwrap();
    for (day, size) in
        [70 * MIB + 1, 140 * MIB, 66 * MIB + 9, 1000, 64 * MIB, 3 * MIB].into_iter().enumerate()
    {
        let old = image.metadata().unwrap().len();
        resize(size);
        if size > old {
            images::change(&image, size - 50_000, 50_000, day as u64);
        }
        // what a disk grew by counts as changed without being listed
        let made = world.ingest("vm", &["os=a.raw"], &["--changed", "os=changed.json"]);
        images::assert_same(&image, &world.restore(&made["point"], "os", "out.raw"));
    }
    world.check_is_clean();
    world.restic_check();
}

#[test]
fn lists_that_are_refused() {
    let world = World::new();
    images::full(&world.path("a.raw"), 100_000, 1);
    let with = |list: &str, more: &[&str]| {
        fs::write(world.path("changed.json"), list).unwrap();
        let args = [&["--name", "vm", "--disk", "os=a.raw", "--changed", "os=changed.json"], more].concat();
        world.repo("ingest", &args)
    };
    with("[]", &[]).refused(21, "InvalidRequest");
    with("[]", &["--parent", "none"]).refused(2, "UsageError");
    with("[]", &["--changed", "data=changed.json"]).refused(2, "UsageError");
    with("[]", &["--changed", "os=changed.json"]).refused(2, "UsageError");
    world.ingest("vm", &["os=a.raw"], &[]);
    with(r#"[{"start":99999,"length":2}]"#, &[]).refused(21, "InvalidRequest");
    with(r#"[{"start":0,"length":1,"note":"x"}]"#, &[]).refused(21, "InvalidRequest");
    with("nonsense", &[]).refused(21, "InvalidRequest");
    with(r#"[{"start":99999,"length":1}]"#, &[]).expect(0);
    let args = ["--name", "vm", "--disk", "os=a.raw", "--changed", "os=missing.json"];
    world.repo("ingest", &args).refused(1, "SourceUnreadable");
    assert_eq!(world.points().len(), 2);
}

#[test]
fn parents_by_name() {
    let world = World::new();
    images::full(&world.path("a.raw"), 300_000, 1);
    let first = world.ingest("vm", &["os=a.raw"], &["--tag", "base"]);
    world.ingest("vm", &["os=a.raw"], &[]);
    let by = |parent: &str| world.ingest("vm", &["os=a.raw"], &["--parent", parent]);
    assert_eq!(by("tag:base")["parent"], first["point"]);
    assert_eq!(by(&first["point"].as_str().unwrap()[..10])["parent"], first["point"]);
    let none = by("none");
    assert_eq!((&none["parent"], &none["disks"][0]["chunksNew"]), (&Value::Null, &Value::from(0)));
    let args = ["--name", "vm", "--disk", "os=a.raw", "--parent", "tag:other"];
    world.repo("ingest", &args).refused(1, "RecoveryPointNotFound");
}

#[test]
fn other_sizes_of_chunks() {
    for size in ["16K", "1M", "4M"] {
        let world = World::empty();
        world.repo("init", &["--chunk-size", size]).expect(0);
        let image = world.path("a.raw");
        images::make(&image, 70 * MIB + 3, 1, &[(5 * MIB, 3 << 20), (69 * MIB, 1 << 20)]);
        world.ingest("vm", &["os=a.raw"], &[]);
        images::change(&image, 6 * MIB, 1, 9);
        let made = world.ingest("vm", &["os=a.raw"], &[]);
        assert_eq!(made["disks"][0]["chunksNew"], 1);
        images::assert_same(&image, &world.restore(&made["point"], "os", "out.raw"));
        world.restic_check();
    }
}
