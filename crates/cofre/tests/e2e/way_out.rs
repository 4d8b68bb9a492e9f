//! restic reads what cofre wrote, and each honours the other's locks.

use std::{fs, process::Command};

use crate::{
    images,
    world::{World, ingest_args, tool},
};

fn snapshots(world: &World) -> Option<Vec<serde_json::Value>> {
    let output = world.restic(&["snapshots", "--json"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The line that `docs/format.md` publishes, for every snapshot: it makes the disk that cofre restores.
fn assert_way_out(world: &World, disk: &str) {
    let Some(list) = snapshots(world) else { return };
    assert_eq!(list.len(), world.points().len());
    for snapshot in list {
        let id = snapshot["id"].as_str().unwrap();
        let script = format!(
            "set -o pipefail; restic -r repo --no-cache dump -a tar {id} /disks/{disk}/extents | tar -xO | \
             dd conv=sparse of=way-out.raw bs=64k iflag=fullblock status=none"
        );
        let _ = fs::remove_file(world.path("way-out.raw"));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(world.path(""));
        let output = command.env("RESTIC_PASSWORD_FILE", world.path("secret")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let point = &snapshot["tags"][1];
        let ours = world.restore(point, disk.split_once('-').unwrap().1, "ours.raw");
        // dd leaves out a hole at the end
        let size = ours.metadata().unwrap().len();
        let theirs = world.path("way-out.raw");
        fs::OpenOptions::new().write(true).open(&theirs).unwrap().set_len(size).unwrap();
        images::assert_same(&ours, &theirs);
    }
}

#[test]
fn points_forgotten_points_and_pruned_points() {
    let world = World::new();
    let image = world.path("a.raw");
    images::make(&image, 130 << 20, 1, &[(0, 12 << 20), (65 << 20, 3_000_017), (129 << 20, 1 << 20)]);
    let mut made = Vec::new();
    for day in 0..5_u64 {
        images::change(&image, day << 20, 3 << 20, 100 + day);
        made.push(world.ingest("vm", &["os=a.raw"], &["--tag", &format!("day{day}")])["point"].clone());
    }
    world.restic_check();
    assert_way_out(&world, "0-os");

    let id = made[1].as_str().unwrap();
    let gone = world.repo("forget", &[id, "tag:day3"]).expect(0).json();
    assert_eq!(gone["forgotten"], serde_json::json!([made[1], made[3]]));
    world.repo("forget", &[id]).refused(1, "RecoveryPointNotFound");
    world.restic_check();
    let waiting = world.repo("prune", &[]).expect(0).json();
    assert_eq!(waiting["packsDeleted"], 0);
    assert!(waiting["packsWaiting"].as_u64().unwrap() > 0, "{waiting:#}");
    assert!(waiting["waitingFor"].as_str().unwrap().contains("grace"));
    world.restic_check();
    let before: u64 = world.objects("data").iter().map(|p| p.metadata().unwrap().len()).sum();
    let pruned = world.repo("prune", &["--grace", "0s"]).expect(0).json();
    let after: u64 = world.objects("data").iter().map(|p| p.metadata().unwrap().len()).sum();
    assert_eq!(pruned["bytesFreed"].as_u64().unwrap(), before - after, "{pruned:#}");
    assert!(after < before, "{pruned:#}");
    world.restic_check();
    world.check_is_clean();
    assert_way_out(&world, "0-os");
    images::assert_same(&image, &world.restore(&made[4], "os", "out.raw"));
}

#[test]
fn restic_restores_as_an_ordinary_user() {
    let world = World::new();
    images::full(&world.path("a.raw"), 300_000, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let Some(mut restic) = tool("restic") else { return };
    let root = rustix::process::geteuid().is_root();
    if root {
        let Some(mut runuser) = tool("runuser") else { return };
        let status = Command::new("chown").args(["-R", "nobody"]).arg(world.path("")).status().unwrap();
        assert!(status.success());
        runuser.args(["-u", "nobody", "--", "restic"]);
        restic = runuser;
    }
    restic.args(["-r", "repo", "--no-cache", "restore", "latest", "--target", "out"]);
    restic.current_dir(world.path("")).env("HOME", world.path(""));
    let output = restic.env("RESTIC_PASSWORD_FILE", world.path("secret")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = world.path("out/disks/0-os/extents/0000000000000000/0000000000000000/data");
    images::assert_same(&world.path("a.raw"), &file);
    use std::os::unix::fs::MetadataExt;
    let found = file.metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o644, 946_684_800));
    assert_eq!(world.path("out/disks").metadata().unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn locks_of_restic_are_honoured_and_ours_by_restic() {
    let world = World::new();
    images::full(&world.path("a.raw"), 30 << 20, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let Some(prune) = world.restic_command(&["prune"]) else { return };

    let restic = world.stop_at(prune, "locks");
    let args = ingest_args("vm", &["os=a.raw"], &[]);
    let error = world.repo("ingest", &args).refused(11, "RepositoryLocked");
    assert!(error["message"].as_str().unwrap().contains(&restic.id().to_string()), "{error}");
    world.go_on(restic).expect(0);
    world.ingest("vm", &["os=a.raw"], &[]);

    images::full(&world.path("b.raw"), 60 << 20, 2);
    let ours = world.repo_command("ingest", &ingest_args("other", &["os=b.raw"], &[]));
    let ours = world.stop_at(ours, "cofre/leases");
    let output = world.restic(&["prune"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("locked"), "{said}");
    world.go_on(ours).expect(0);
    assert!(world.objects("locks").is_empty(), "everybody has gone");
    world.restic_check();
    assert_eq!(world.points().len(), 3);
}
