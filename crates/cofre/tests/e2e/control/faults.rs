//! Interrupted, killed, damaged: no point is lost, none is half there, the next run succeeds.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

#[test]
fn an_interrupted_backup_is_a_failed_job_and_the_next_one_goes_on() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    home.plain_image("web.raw", 11);
    let locks = home.repository().join("locks");
    let mut child = home.command("backup now --vault-name bv --item-name web").spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&locks).unwrap().count() == 0 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it never held a lock");
        thread::sleep(Duration::from_micros(100));
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    // a second one finds the job running
    home.run("backup now --vault-name bv --item-name web").refused(11, "UserErrorBackupOperationInProgress");
    kill_process(pid, Signal::INT).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    finish(child).refused(130, "JobInterrupted");
    let job = home.latest_job();
    assert_eq!((&job["status"], codes(&job["errorDetails"])), (&"Failed".into(), vec!["JobInterrupted"]));
    assert_eq!(home.points().len(), 1);
    home.run("backup now --vault-name bv --item-name web").expect(0);
    assert_eq!(home.points().len(), 2);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_backup_that_is_killed_leaves_a_point_or_none() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    let mut seed = 20;
    for name in
        cofre_repo::failpoint::NAMES.iter().filter(|n| n.starts_with("ingest.") || n.starts_with("storage."))
    {
        seed += 1;
        home.encrypted_image("web.raw", DISK_KEY, seed);
        let before = home.points().len();
        let mut command = home.command("backup now --vault-name bv --item-name web");
        command.env("COFRE_FAILPOINT", format!("{name}:1"));
        let run = finish(command.spawn().unwrap());
        if run.code.is_some() {
            run.expect(0);
            continue;
        }
        // whoever comes next finds the process dead, asks the repository, and ends the job
        let next = home.run("protection list").expect(0);
        assert!(next.stderr.contains("was ended"), "{name}: {next:#?}");
        let (job, after) = (home.latest_job(), home.points().len());
        let published = *name == "ingest.after-snapshot";
        assert_eq!(job["status"], if published { "Completed" } else { "Failed" }, "{name}");
        assert_eq!(after, before + usize::from(published), "{name}");
        let run = home.ok("backup now --vault-name bv --item-name web");
        assert_eq!(run["disks"][0]["keys"]["state"], "proven", "{name}");
        assert_eq!(home.points().len(), after + 1, "{name}");
    }
    let list = home.ok("vault reconcile --name bv")["items"][0].clone();
    assert_eq!((&list["adopted"], &list["lost"]), (&serde_json::json!([]), &serde_json::json!([])));
    let run = home.ok("restore disks --vault-name bv --item-name web");
    home.assert_restored(run["container"].as_str().unwrap(), "web.raw", Some(DISK_KEY.as_bytes()));
}

#[test]
fn a_point_that_is_gone_is_shown_as_lost_and_one_without_a_row_is_adopted() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    let snapshots = home.repository().join("snapshots");
    let first: Vec<_> = fs::read_dir(&snapshots).unwrap().map(|e| e.unwrap().path()).collect();
    home.ok("backup now --vault-name bv --item-name web");
    let hidden = home.world.path("hidden");
    fs::rename(&first[0], &hidden).unwrap();
    let done = home.ok("vault reconcile --name bv")["items"][0].clone();
    assert_eq!(done["lost"].as_array().unwrap().len(), 1);
    let points = home.points();
    let states: Vec<_> = points.iter().map(|p| p["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["visible", "lost"]);
    let lost = points[1]["name"].as_str().unwrap();
    home.run(&format!("restore disks --vault-name bv --item-name web --rp-name {lost}"))
        .refused(1, "ResourceNotFound");
    fs::rename(&hidden, &first[0]).unwrap();
    assert_eq!(home.ok("vault reconcile --name bv")["items"][0]["found"].as_array().unwrap().len(), 1);
    home.ok(&format!("restore disks --vault-name bv --item-name web --rp-name {lost}"));
}

#[test]
fn an_older_database_is_told_from_its_points() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    for file in ["cofre.db", "cofre.db-wal", "cofre.db-shm"] {
        let _ = fs::copy(home.world.path("home").join(file), home.world.path(file));
    }
    home.ok("backup now --vault-name bv --item-name web");
    for file in ["cofre.db", "cofre.db-wal", "cofre.db-shm"] {
        let to = home.world.path("home").join(file);
        let _ = fs::remove_file(&to);
        let _ = fs::copy(home.world.path(file), &to);
    }
    let done = home.ok("vault reconcile --name bv")["items"][0].clone();
    assert_eq!(done["adopted"].as_array().unwrap().len(), 1);
    assert_eq!(done["unanchored"], done["adopted"], "the point knows of events that the database lacks");
}

#[test]
fn a_damaged_repository_fails_the_job_with_its_code() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    let config = home.repository().join("config");
    let kept = fs::read(&config).unwrap();
    fs::write(&config, &kept[..kept.len() - 1]).unwrap();
    home.run("restore disks --vault-name bv --item-name web").refused(20, "DataTransferFailed");
    assert_eq!(
        fs::read_dir(home.world.path("home/storage/default")).unwrap().count(),
        0,
        "nothing is left behind"
    );
    fs::write(&config, &kept).unwrap();
    let envelope = home.repository().parent().unwrap().join("envelope.json");
    let text = fs::read_to_string(&envelope).unwrap();
    fs::write(&envelope, text.replacen("\"sealedSecret\": \"", "\"sealedSecret\": \"A", 1)).unwrap();
    assert_eq!(home.run("kit check --kit kit.json").expect(20).json()["ok"], false);
}
