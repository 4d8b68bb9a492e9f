//! Stored objects that are flipped, cut, replaced or lost: found, named, survived, healed.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use serde_json::Value;

use crate::{
    images,
    world::{Run, World, copy_tree},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Flip,
    Cut,
    Garbage,
    Lose,
}
use Harm::{Cut, Flip, Garbage, Lose};

const HARMS: [Harm; 4] = [Flip, Cut, Garbage, Lose];

fn harm(path: &Path, how: Harm) {
    let length = path.metadata().unwrap().len();
    let writable = || OpenOptions::new().read(true).write(true).open(path).unwrap();
    match how {
        Flip => {
            let file = writable();
            let mut byte = [0];
            file.read_exact_at(&mut byte, length / 2).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], length / 2).unwrap();
        }
        Cut => writable().set_len(length * 2 / 3).unwrap(),
        Garbage => fs::write(path, images::noise(length, usize::try_from(length).unwrap())).unwrap(),
        Lose => fs::remove_file(path).unwrap(),
    }
}

/// Two machines that share nothing, one point each; `pristine` is a copy to go back to.
fn two_machines(size: usize) -> World {
    let world = World::new();
    images::full(&world.path("a.raw"), size, 1);
    images::full(&world.path("b.raw"), 3 << 20, 2);
    world.ingest("one", &["os=a.raw"], &[]);
    let first = world.objects("");
    world.ingest("two", &["os=b.raw"], &[]);
    fs::write(world.path("first"), first.iter().map(|p| format!("{}\n", p.display())).collect::<String>())
        .unwrap();
    copy_tree(&world.path("repo"), &world.path("pristine"));
    world
}

/// The objects of a kind that belong to machine `one`.
fn of_one(world: &World, kind: &str) -> Vec<std::path::PathBuf> {
    let first = fs::read_to_string(world.path("first")).unwrap();
    let mut objects = world.objects(kind);
    objects.retain(|p| first.lines().any(|l| Path::new(l) == p));
    assert!(!objects.is_empty(), "{kind}");
    objects
}

fn again(world: &World) {
    fs::remove_dir_all(world.path("repo")).unwrap();
    copy_tree(&world.path("pristine"), &world.path("repo"));
}

#[track_caller]
fn restore(world: &World, name: &str) -> Run {
    world.repo("restore", &["latest", "--name", name, "--disk", "os", "--to", "out.raw", "--force"])
}

#[track_caller]
fn two_is_whole(world: &World) {
    restore(world, "two").expect(0);
    images::assert_same(&world.path("b.raw"), &world.path("out.raw"));
}

/// A check that finds damage; its findings.
#[track_caller]
fn findings(world: &World, args: &[&str]) -> Vec<Value> {
    let found = world.repo("check", args).expect(20).json();
    assert_eq!(found["ok"], false);
    let errors = found["errors"].as_array().unwrap().clone();
    for error in &errors {
        for field in ["code", "object", "message", "action"] {
            assert!(!error[field].as_str().unwrap().is_empty(), "{error:#}");
        }
    }
    errors
}

#[track_caller]
fn names_the_disk(findings: &[Value]) {
    let text = format!("{findings:?}");
    assert!(text.contains("disk os") && text.contains("one"), "{text}");
    assert!(!text.contains("(two"), "the other machine is whole: {text}");
}

#[test]
fn packs_of_chunks() {
    // more than a pack holds: the largest one has chunks and nothing else
    let world = two_machines(70 << 20);
    for how in HARMS {
        again(&world);
        let pack = of_one(&world, "data").into_iter().max_by_key(|p| p.metadata().unwrap().len()).unwrap();
        harm(&pack, how);
        let name = pack.file_name().unwrap().to_string_lossy().into_owned();
        for args in [&[][..], &["--read-data"]] {
            let found = findings(&world, args);
            assert!(format!("{found:?}").contains(&name), "{how:?}: {found:#?}");
            names_the_disk(&found);
        }
        two_is_whole(&world);
        restore(&world, "one").refused(20, "RepositoryDamaged");
        assert!(!world.path("out.raw.partial").exists());

        // a backup from the source stores again what is lost, and heals the old point
        let old = world.points();
        let healed = world.repo("ingest", &["--name", "one", "--disk", "os=a.raw"]).expect(3).json();
        assert!(!healed["warnings"].as_array().unwrap().is_empty());
        assert!(healed["disks"][0]["chunksNew"].as_u64().unwrap() > 0, "{how:?}: {healed:#}");
        world.repo("prune", &["--grace", "0s"]).expect(0);
        world.check_is_clean();
        world.restic_check();
        for point in [Value::from(old[0].as_str()), healed["point"].clone()] {
            images::assert_same(&world.path("a.raw"), &world.restore(&point, "os", "out.raw"));
        }
        two_is_whole(&world);
    }
}

#[test]
fn packs_with_everything_a_small_point_has() {
    let world = two_machines(3 << 20);
    for how in [Cut, Garbage, Lose] {
        again(&world);
        let pack = of_one(&world, "data").into_iter().max_by_key(|p| p.metadata().unwrap().len()).unwrap();
        harm(&pack, how);
        let found = findings(&world, &["--read-data"]);
        let lost = found.iter().find(|f| f["code"] == "PointUnreadable").expect("the point is named");
        assert!(lost["message"].as_str().unwrap().contains("point of one"), "{lost:#}");
        two_is_whole(&world);
        // the new point is whole; the old one is lost for good, and what is left of it is kept
        let new = world.repo("ingest", &["--name", "one", "--disk", "os=a.raw"]).expect(3).json();
        images::assert_same(&world.path("a.raw"), &world.restore(&new["point"], "os", "out.raw"));
        let kept = world.repo("prune", &["--grace", "0s"]).expect(3).json();
        assert_eq!(kept["packsDamaged"].as_array().unwrap().len(), 1, "{kept:#}");
        two_is_whole(&world);
        // until somebody says that it may go
        let snapshot = lost["object"].as_str().unwrap().trim_start_matches("snapshots/");
        let listed = world.repo("points", &[]).expect(3).json();
        let unreadable = listed["unreadable"][0].clone();
        assert_eq!(unreadable["snapshot"], *snapshot);
        let id = unreadable["id"].as_str().unwrap().to_owned();
        let forgotten = world.repo("forget", &[&id]).expect(0).json();
        assert!(forgotten.to_string().contains(&id), "{forgotten:#}");
        world.repo("prune", &["--grace", "0s"]).expect(0);
        world.check_is_clean();
        world.restic_check();
        assert_eq!(world.points().len(), 2);
    }
}

#[test]
fn packs_of_trees() {
    let world = two_machines(3 << 20);
    for how in HARMS {
        again(&world);
        let mut packs = of_one(&world, "data");
        packs.retain(|p| p.metadata().unwrap().len() < 1 << 20);
        assert_eq!(packs.len(), 1);
        harm(&packs[0], how);
        let name = packs[0].file_name().unwrap().to_string_lossy().into_owned();
        let found = findings(&world, &["--read-data"]);
        assert!(format!("{found:?}").contains(&name), "{how:?}: {found:#?}");
        two_is_whole(&world);
        // a backup is possible and whole
        world.repo("ingest", &["--name", "one", "--disk", "os=a.raw"]).expect(3);
        restore(&world, "one").expect(0);
        images::assert_same(&world.path("a.raw"), &world.path("out.raw"));
        two_is_whole(&world);
    }
}

#[test]
fn indexes() {
    let world = two_machines(3 << 20);
    for how in HARMS {
        again(&world);
        let index = of_one(&world, "index").remove(0);
        harm(&index, how);
        let found = findings(&world, &[]);
        if how != Lose {
            let name = index.file_name().unwrap().to_string_lossy().into_owned();
            assert!(format!("{found:?}").contains(&name), "{found:#?}");
        }
        two_is_whole(&world);
        assert_eq!(world.repo("points", &[]).expect(3).json()["points"].as_array().unwrap().len(), 1);
        // packs that lost their index are taken up again: then nothing is missing
        let made = world.repo("ingest", &["--name", "one", "--disk", "os=a.raw"]);
        made.expect(if how == Lose { 0 } else { 3 });
        restore(&world, "one").expect(0);
        images::assert_same(&world.path("a.raw"), &world.path("out.raw"));
        two_is_whole(&world);
    }
}

#[test]
fn snapshots() {
    let world = two_machines(3 << 20);
    for how in HARMS {
        again(&world);
        let snapshot = of_one(&world, "snapshots").remove(0);
        harm(&snapshot, how);
        two_is_whole(&world);
        if how == Lose {
            // nothing says that there was a point: its data wait for the next backup
            assert_eq!(world.points().len(), 1);
            continue;
        }
        let list = world.repo("points", &[]).expect(3).json();
        assert_eq!(list["points"].as_array().unwrap().len(), 1);
        assert_eq!(list["unreadable"].as_array().unwrap().len(), 1);
        let found = findings(&world, &[]);
        assert!(format!("{found:?}").contains("snapshots/"), "{found:#?}");
        world.repo("ingest", &["--name", "one", "--disk", "os=a.raw"]).expect(3);
        restore(&world, "one").expect(0);
        images::assert_same(&world.path("a.raw"), &world.path("out.raw"));
        world.repo("prune", &["--grace", "0s"]).refused(20, "RepositoryDamaged");
        two_is_whole(&world);
    }
}

#[test]
fn config_and_keys() {
    let world = two_machines(3 << 20);
    for (kind, how, code, name) in [
        ("config", Flip, 20, "RepositoryDamaged"),
        ("config", Cut, 20, "RepositoryDamaged"),
        ("config", Garbage, 20, "RepositoryDamaged"),
        ("config", Lose, 10, "RepositoryNotFound"),
        ("keys", Cut, 20, "RepositoryDamaged"),
        ("keys", Garbage, 20, "RepositoryDamaged"),
        ("keys", Lose, 20, "RepositoryDamaged"),
    ] {
        again(&world);
        let objects = if kind == "config" { vec![world.path("repo/config")] } else { world.objects(kind) };
        harm(&objects[0], how);
        let run = world.repo("points", &[]);
        assert_eq!(
            (run.code, &run.json()["error"]["code"]),
            (Some(code), &Value::from(name)),
            "{kind} {how:?}"
        );
        // and nothing is made over what is there
        world.repo("init", &[]).refused(21, "RepositoryExists");
    }
}
