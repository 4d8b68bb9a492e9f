//! Policies and properties of vaults, and what becomes of points whose date has passed.

use std::{fs, io::Write as _, process::Stdio};

use cofre_store::{PointChange, PointFilter, Store};
use serde_json::json;

use super::*;

#[test]
fn a_policy_is_made_from_what_was_shown_and_changed_by_what_comes_in() {
    let (home, ..) = Home::protected();
    let default = home.ok("policy get-default-for-vm --vault-name bv");
    assert_eq!(
        (&default["name"], &default["properties"]["protectedItemsCount"]),
        (&"DefaultPolicy".into(), &1.into())
    );
    fs::write(home.world.path("policy.json"), default.to_string()).unwrap();
    let made = home.ok("policy create --vault-name bv --name nightly --policy policy.json");
    assert_eq!(made["properties"]["protectedItemsCount"], 0);
    assert_eq!(made["properties"]["schedulePolicy"], default["properties"]["schedulePolicy"]);
    home.run("policy create --vault-name bv --name nightly --policy policy.json").refused(21, "Conflict");

    let set = |policy: &Value| {
        let mut command = home.command("policy set --vault-name bv --name nightly --policy -");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(policy.to_string().as_bytes()).unwrap();
        finish(child)
    };
    let mut policy = made.clone();
    policy["properties"]["timeZone"] = "W. Europe Standard Time".into();
    policy["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = 90.into();
    assert_eq!(set(&policy).expect(0).json()["properties"]["timeZone"], "W. Europe Standard Time");
    policy["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = 3.into();
    let refused = set(&policy).refused(21, "InvalidParameter");
    assert!(
        refused["message"].as_str().unwrap().contains("dailySchedule.retentionDuration.count"),
        "{refused}"
    );
    let shown = home.ok("policy show --vault-name bv --name nightly");
    assert_eq!(shown["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"], 90);
    let list = home.ok("policy list --vault-name bv");
    let names: Vec<_> =
        list["policies"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DefaultPolicy", "nightly"]);

    let users = home.ok("policy list-associated-items --vault-name bv --name DefaultPolicy");
    assert_eq!(users["items"][0]["friendlyName"], "web");
    assert!(!users.to_string().contains("sealed"), "nothing of the repository's secret: {users}");
    home.run("policy delete --vault-name bv --name DefaultPolicy --yes").refused(21, "Conflict");
    assert_ne!(home.run("policy delete --vault-name bv --name nightly").code, Some(0), "not confirmed");
    home.ok("policy delete --vault-name bv --name nightly --yes");
    home.run("policy show --vault-name bv --name nightly").refused(1, "ResourceNotFound");
}

#[test]
fn properties_of_a_vault_are_shown_and_set() {
    let (home, ..) = Home::protected();
    let shown = home.ok("vault backup-properties show --name bv");
    assert_eq!(
        (&shown["storageTypeState"], &shown["softDeleteFeatureState"]),
        (&"Locked".into(), &"Enabled".into())
    );
    home.run("vault backup-properties set --name bv --backup-storage-redundancy LocallyRedundant")
        .refused(21, "Conflict");
    let set = home.ok(
        "vault backup-properties set --name bv --soft-delete-feature-state disable --soft-delete-duration 30",
    );
    assert_eq!(
        (&set["softDeleteFeatureState"], &set["softDeleteRetentionPeriodInDays"]),
        (&"Disabled".into(), &30.into())
    );
    let set = home.ok("vault backup-properties set --name bv --cross-region-restore-flag true");
    assert_eq!(
        (&set["crossRegionRestoreFlag"], &set["softDeleteFeatureState"]),
        (&true.into(), &"Disabled".into())
    );
    assert_eq!(
        home.ok("vault update --name bv --tags site=berlin empty=")["tags"],
        json!({"site": "berlin", "empty": ""})
    );
    assert_eq!(home.ok("vault update --name bv --tags")["tags"], json!({}));
}

/// Moves the dates of all points into the past.
fn expire_all(home: &Home) {
    let item = home.ok("protection list")["items"][0]["id"].as_str().unwrap().to_lowercase();
    let store = Store::open(&home.world.path("home/cofre.db")).unwrap();
    let rows = store.points(&item, &PointFilter::default(), None, 100).unwrap();
    let mut batch = cofre_store::Batch::new("2026-01-01T00:00:00Z".parse().unwrap());
    for mut row in rows {
        let mut body: Value = serde_json::from_slice(&row.body).unwrap();
        body["expiry"] = "2026-01-01T00:00:00Z".into();
        row.body = serde_json::to_vec(&body).unwrap();
        batch.points.push(PointChange::Replace(row));
    }
    store.commit(&batch).unwrap();
}

#[test]
fn points_past_their_date_are_deleted_but_for_the_last() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(home.ok("vault clean-up --name bv")["items"][0]["expired"], json!([]));
    let points = home.points();
    expire_all(&home);
    let done = home.ok("vault clean-up --name bv")["items"][0].clone();
    assert_eq!((&done["expired"], &done["kept"]), (&json!([points[1]["name"]]), &points[0]["name"]));
    assert_eq!(home.points().len(), 1);
    home.ok("restore disks --vault-name bv --item-name web");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_clean_up_or_a_change_of_policy_that_is_killed_is_taken_up() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    let killed = |line: &str, name: &str| {
        let mut command = home.command(line);
        command.env("COFRE_FAILPOINT", name);
        assert_eq!(finish(command.spawn().unwrap()).code, None, "{name} was not reached");
    };
    for name in cofre_repo::failpoint::RECOVERY_NAMES {
        if *name == "policy.stored" {
            let mut policy = home.ok("policy show --vault-name bv");
            policy["properties"]["timeZone"] = "Europe/Berlin".into();
            fs::write(home.world.path("policy.json"), policy.to_string()).unwrap();
            let set = "policy set --vault-name bv --name DefaultPolicy --policy policy.json";
            killed(set, name);
            assert_eq!(
                home.ok("policy show --vault-name bv")["properties"]["timeZone"],
                "Europe/Berlin",
                "{name}"
            );
            home.ok(set);
            continue;
        }
        home.ok("backup now --vault-name bv --item-name web");
        expire_all(&home);
        killed("vault clean-up --name bv", name);
        // nobody is told of a point that is gone, nor finds one that nobody knows
        let list = home.ok("vault reconcile --name bv")["items"][0].clone();
        assert_eq!((&list["adopted"], &list["lost"]), (&json!([]), &json!([])), "{name}");
        home.ok("restore disks --vault-name bv --item-name web");
        home.ok("vault clean-up --name bv");
        let states: Vec<_> = home.points().iter().map(|p| p["state"].clone()).collect();
        assert_eq!(states, ["visible"], "{name}");
        home.ok("backup now --vault-name bv --item-name web");
    }
    let run = home.ok("restore disks --vault-name bv --item-name web");
    home.assert_restored(run["container"].as_str().unwrap(), "web.raw", Some(DISK_KEY.as_bytes()));
}
