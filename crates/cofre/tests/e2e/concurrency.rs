//! Several processes at once.

use std::{process::Child, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    images,
    world::{World, finish, ingest_args},
};

fn start(world: &World, verb: &str, args: &[&str]) -> Child {
    world.repo_command(verb, args).spawn().unwrap()
}

/// Starts a backup and stops it when it has its lease.
fn stopped_ingest(world: &World, name: &str, disk: &str) -> Child {
    world.stop_at(world.repo_command("ingest", &ingest_args(name, &[disk], &[])), "cofre/leases")
}

#[track_caller]
fn go_on(world: &World, child: Child) -> Value {
    world.go_on(child).expect(0).json()
}

#[test]
fn two_machines_at_once_and_one_machine_twice() {
    let world = World::new();
    images::full(&world.path("a.raw"), 48 << 20, 1);
    images::full(&world.path("b.raw"), 2 << 20, 2);
    let first = stopped_ingest(&world, "one", "os=a.raw");
    let args = ingest_args("one", &["os=b.raw"], &[]);
    world.repo("ingest", &args).refused(11, "RepositoryLocked");
    let two = world.ingest("two", &["os=b.raw"], &[]);
    // what `one` is writing is not swept away, adopted or pruned
    world.repo("prune", &["--grace", "0s"]).expect(0);
    images::assert_same(&world.path("b.raw"), &world.restore(&two["point"], "os", "out.raw"));
    let one = go_on(&world, first);
    images::assert_same(&world.path("a.raw"), &world.restore(&one["point"], "os", "out.raw"));

    let running: Vec<_> = (0..4)
        .map(|i| start(&world, "ingest", &ingest_args(&format!("vm{i}"), &["os=a.raw", "data=b.raw"], &[])))
        .collect();
    for child in running {
        let made = finish(child).expect(0).json();
        images::assert_same(&world.path("b.raw"), &world.restore(&made["point"], "data", "out.raw"));
    }
    world.check_is_clean();
    world.restic_check();
}

#[test]
fn a_backup_and_a_prune() {
    let world = World::new();
    for (name, seed) in [("a.raw", 1), ("b.raw", 2)] {
        images::full(&world.path(name), 24 << 20, seed);
    }
    world.ingest("old", &["os=a.raw"], &[]);
    let keep = world.ingest("keep", &["os=b.raw"], &[]);
    world.repo("forget", &["latest", "--name", "old"]).expect(0);
    // The backup began before the mark: it may count on what is about to be deleted.
    let running = stopped_ingest(&world, "new", "os=a.raw");
    let waiting = world.repo("prune", &["--grace", "0s"]).expect(0).json();
    assert_eq!(waiting["packsDeleted"], 0, "{waiting:#}");
    assert!(waiting["packsWaiting"].as_u64().unwrap() > 0, "{waiting:#}");
    assert!(waiting["waitingFor"].is_string());
    let new = go_on(&world, running);
    world.repo("prune", &["--grace", "0s"]).expect(0);
    for (point, image) in [(&new, "a.raw"), (&keep, "b.raw")] {
        images::assert_same(&world.path(image), &world.restore(&point["point"], "os", "out.raw"));
    }
    // and unstopped, a few times
    for round in 0..4_u64 {
        images::full(&world.path("a.raw"), 8 << 20, 100 + round);
        world.ingest("old", &["os=a.raw"], &[]);
        world.repo("forget", &["latest", "--name", "old"]).expect(0);
        let ingest = start(&world, "ingest", &ingest_args("new", &["os=a.raw"], &[]));
        thread::sleep(Duration::from_millis(30 * round));
        let prune = start(&world, "prune", &["--grace", "0s"]);
        let ingest = finish(ingest);
        let prune = finish(prune);
        assert!(prune.code == Some(0), "{prune:#?}");
        // the exclusive phase may come first: then the backup is told so, and succeeds when run again
        if ingest.code != Some(0) {
            ingest.refused(11, "RepositoryLocked");
            world.ingest("new", &["os=a.raw"], &[]);
        }
        let made = world.points().pop().unwrap();
        images::assert_same(&world.path("a.raw"), &world.restore(&Value::from(made), "os", "out.raw"));
    }
    world.check_is_clean();
    world.restic_check();
}

#[test]
fn a_restore_and_a_prune() {
    let world = World::new();
    images::full(&world.path("a.raw"), 64 << 20, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let child = start(&world, "restore", &["latest", "--disk", "os", "--to", "b.raw"]);
    while !world.path("b.raw.partial").exists() {
        thread::sleep(Duration::from_micros(300));
    }
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    world.repo("forget", &["latest"]).expect(0);
    let waiting = world.repo("prune", &["--grace", "0s"]).expect(0).json();
    assert!(waiting["packsWaiting"].as_u64().unwrap() > 0 && waiting["packsDeleted"] == 0, "{waiting:#}");
    go_on(&world, child);
    images::assert_same(&world.path("a.raw"), &world.path("b.raw"));
    let pruned = world.repo("prune", &["--grace", "0s"]).expect(0).json();
    assert!(pruned["packsDeleted"].as_u64().unwrap() > 0, "{pruned:#}");
    assert!(world.objects("data").is_empty());
    world.check_is_clean();
}
