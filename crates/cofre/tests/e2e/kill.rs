//! Killed at every named instant and at random ones: nothing committed is lost, nothing half made is
//! visible, and the next run succeeds.

use std::{fs, process::Command, thread, time::Duration};

use cofre_repo::failpoint;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    images,
    world::{Run, World, copy_tree, ingest_args},
};

/// A death by SIGKILL has no exit code.
fn was_killed(run: &Run) -> bool {
    run.code.is_none()
}

fn armed(mut command: Command, name: &str, visit: u32) -> Command {
    command.env("COFRE_FAILPOINT", format!("{name}:{visit}"));
    command
}

/// Every committed point restores, and stays where it was in the list.
#[track_caller]
fn points_are_whole(world: &World, old: &[(String, String)], at: &str) -> usize {
    let list = world.points();
    for (point, image) in old {
        assert!(list.contains(point), "{at}: a point is gone");
        let back = world.restore(&Value::from(point.as_str()), "os", "out.raw");
        images::assert_same(&world.path(image), &back);
    }
    list.len()
}

/// Visits every instant of a command as often as the command comes by.
/// `after` is told where the command died and in how many visits, and puts the world back.
fn at_every_instant(
    world: &World,
    command: impl Fn() -> Command,
    mut after: impl FnMut(&str),
) -> Vec<String> {
    let mut died = Vec::new();
    for name in failpoint::NAMES {
        for visit in 1.. {
            let run = world.run(armed(command(), name, visit));
            if !was_killed(&run) {
                run.expect(0);
                after("the end");
                break;
            }
            let at = format!("{name}:{visit}");
            after(&at);
            died.push(at);
            // the first visits and a few of the many
            if visit >= 10 {
                break;
            }
        }
    }
    died
}

#[track_caller]
fn assert_reached(died: &[String], names: &[&str]) {
    for name in names {
        assert!(
            died.iter().any(|d| d.starts_with(&format!("{name}:"))),
            "{name} was never reached: {died:?}"
        );
    }
}

#[test]
fn init() {
    let world = World::empty();
    let died = at_every_instant(
        &world,
        || world.repo_command("init", &[]),
        |at| {
            let run = world.repo("init", &[]);
            if run.code != Some(0) {
                run.refused(21, "RepositoryExists");
            }
            assert!(world.points().is_empty(), "{at}");
            world.check_is_clean();
            fs::remove_dir_all(world.path("repo")).unwrap();
        },
    );
    assert_reached(&died, &["init.after-key", "init.after-config", "storage.object-staged"]);
}

#[test]
fn ingest() {
    let world = World::new();
    images::make(&world.path("a.raw"), 66 << 20, 1, &[(0, 2 << 20), (65 << 20, 100_000)]);
    let first = world.ingest("vm", &["os=a.raw"], &[])["point"].as_str().unwrap().to_owned();
    let old = [(first, "a.raw".to_owned())];
    fs::copy(world.path("a.raw"), world.path("b.raw")).unwrap();
    images::change(&world.path("b.raw"), 1 << 20, 3 << 20, 9);
    copy_tree(&world.path("repo"), &world.path("pristine"));
    let args = ingest_args("vm", &["os=b.raw"], &[]);
    let died = at_every_instant(
        &world,
        || world.repo_command("ingest", &args),
        |at| {
            let count = points_are_whole(&world, &old, at);
            assert!(count <= 2, "{at}");
            if count == 2 {
                // it was visible when the process died: then it is whole
                let new = world.points().pop().unwrap();
                images::assert_same(&world.path("b.raw"), &world.restore(&Value::from(new), "os", "out.raw"));
            }
            let next = world.ingest("vm", &["os=b.raw"], &[]);
            images::assert_same(&world.path("b.raw"), &world.restore(&next["point"], "os", "out.raw"));
            world.check_is_clean();
            world.restic_check();
            fs::remove_dir_all(world.path("repo")).unwrap();
            copy_tree(&world.path("pristine"), &world.path("repo"));
        },
    );
    assert_reached(
        &died,
        &[
            "ingest.after-lease",
            "ingest.pack-staged",
            "ingest.pack-committed",
            "ingest.index-written",
            "ingest.before-snapshot",
            "ingest.after-snapshot",
            "storage.object-staged",
        ],
    );
}

#[test]
fn prune() {
    let world = World::new();
    let mut old = Vec::new();
    for day in 0..4_u64 {
        images::full(&world.path("a.raw"), 2 << 20, 1);
        images::change(&world.path("a.raw"), day * 300_000, 700_000, day + 10);
        let point = world.ingest("vm", &["os=a.raw"], &[])["point"].as_str().unwrap().to_owned();
        let image = format!("day{day}.raw");
        fs::copy(world.path("a.raw"), world.path(&image)).unwrap();
        old.push((point, image));
    }
    let gone: Vec<_> = [0, 2].map(|i| old[i].0.clone()).to_vec();
    world.repo("forget", &[&gone[0], &gone[1]]).expect(0);
    old.retain(|(point, _)| !gone.contains(point));
    copy_tree(&world.path("repo"), &world.path("pristine"));
    let died = at_every_instant(
        &world,
        || world.repo_command("prune", &["--grace", "0s"]),
        |at| {
            assert_eq!(points_are_whole(&world, &old, at), 2, "{at}");
            world.repo("prune", &["--grace", "0s"]).expect(0);
            points_are_whole(&world, &old, at);
            world.check_is_clean();
            world.restic_check();
            fs::remove_dir_all(world.path("repo")).unwrap();
            copy_tree(&world.path("pristine"), &world.path("repo"));
        },
    );
    assert_reached(
        &died,
        &[
            "prune.before-mark",
            "prune.after-mark",
            "prune.before-index",
            "prune.index-written",
            "prune.old-index-deleted",
            "prune.pack-deleted",
            "prune.before-unmark",
            "storage.object-staged",
        ],
    );
}

/// Lets a command run for a while, then kills it; tells whether it was still running.
fn kill_after(world: &World, verb: &str, args: &[&str], milliseconds: u64) -> bool {
    let mut child = world.repo_command(verb, args).spawn().unwrap();
    thread::sleep(Duration::from_millis(milliseconds));
    let running = child.try_wait().unwrap().is_none();
    if running {
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    }
    child.wait().unwrap();
    running
}

#[test]
fn at_random_instants() {
    let world = World::new();
    let image = world.path("a.raw");
    images::full(&image, 18 << 20, 1);
    let mut killed = 0;
    let mut kept: Vec<(String, String)> = Vec::new();
    for seed in 0..20_u64 {
        let dice = images::noise(seed + 500, 16);
        images::change(&image, u64::from(dice[0]) * 65_536, 2 << 20, seed + 77);
        let args = ingest_args("vm", &["os=a.raw"], &[]);
        let wait = 40 + u64::from(dice[1]) / 2;
        killed += u32::from(kill_after(&world, "ingest", &args, wait));
        let at = format!("seed {seed}");
        let before = points_are_whole(&world, &kept, &at);
        let made = world.ingest("vm", &["os=a.raw"], &[])["point"].as_str().unwrap().to_owned();
        assert!(before <= 2 * (usize::try_from(seed).unwrap() + 1));
        let copy = format!("{seed}.raw");
        fs::copy(&image, world.path(&copy)).unwrap();
        kept.push((made, copy));
        // at most three points stay
        if kept.len() > 3 {
            let (point, copy) = kept.remove(0);
            world.repo("forget", &[&point]).expect(0);
            fs::remove_file(world.path(&copy)).unwrap();
        }
        killed += u32::from(kill_after(&world, "prune", &["--grace", "0s"], 40 + u64::from(dice[2]) / 2));
        points_are_whole(&world, &kept, &at);
        if seed % 5 == 4 {
            world.repo("prune", &["--grace", "0s"]).expect(0);
            world.check_is_clean();
            world.restic_check();
        }
    }
    assert!(killed >= 10, "only {killed} of 40 commands were still running: wait less");
}
