//! Backups, jobs, recovery points and restores.

use serde_json::{Value, json};

use crate::support::{
    Reply, World,
    machines::{item_id, machine_id, recovery_vault_id},
    vault_id,
};

const BACKUP: &str = "/backup";

fn send(world: &World, token: &str, method: &str, target: &str, body: &Value) -> Reply {
    let request = world.arm(method, target).token(token);
    if body.is_null() { request.send() } else { request.json(body).send() }
}

fn now() -> Value {
    json!({"properties": {"objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": "2026-12-31T00:00:00.000Z"}})
}

/// The id of the job that took a request on.
#[track_caller]
fn job_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.operation.as_deref().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_backup_is_queued_looked_at_and_cancelled() {
    let world = World::new();
    let token = world.backup_vault();
    let item = world.protect(&token, "web");
    let jobs = format!("{}/backupJobs", recovery_vault_id("bv"));
    let get = |target: &str| send(&world, &token, "GET", target, &Value::Null);
    let trigger = |body: &Value| send(&world, &token, "POST", &format!("{item}{BACKUP}"), body);
    for body in [
        json!({}),
        json!({"properties": {"recoveryPointExpiryTimeInUTC": "soon"}}),
        json!({"properties": {"recoveryPointExpiryTimeInUTC": "2020-01-01T00:00:00Z"}}),
        json!({"properties": {"objectType": "AzureFileShareBackupRequest"}}),
    ] {
        trigger(&body).refused(400, "InvalidParameter");
    }
    world.clock.advance(60);
    let job = job_of(&trigger(&now()));
    trigger(&now()).refused(409, "UserErrorBackupOperationInProgress");
    let shown = get(&format!("{jobs}/{job}")).expect(200);
    let properties = &shown["properties"];
    assert_eq!((&properties["operation"], &properties["status"]), (&json!("Backup"), &json!("InProgress")));
    assert_eq!(properties["jobType"], "AzureIaaSVMJob");
    assert_eq!(properties["actionsInfo"], json!(["Cancellable"]));
    assert_eq!(properties["extendedInfo"]["tasksList"][0]["taskId"], "Take Snapshot");
    assert_eq!(properties["extendedInfo"]["propertyBag"]["VM Name"], "web");

    // Filters: times are written with twelve hours, and the list is newest first.
    let names = |filter: &str| -> Vec<Value> {
        let list = get(&format!("{jobs}?$filter={filter}")).expect(200);
        list["value"].as_array().unwrap().iter().map(|job| job["properties"]["operation"].clone()).collect()
    };
    let (backup, configure) = (json!("Backup"), json!("ConfigureBackup"));
    for (filter, found) in [
        ("", vec![backup.clone(), configure.clone()]),
        ("operation%20eq%20'Backup'", vec![backup.clone()]),
        ("status%20eq%20'InProgress'", vec![backup.clone()]),
        ("status%20eq%20'Completed'%20and%20operation%20eq%20'Backup'", vec![]),
        ("startTime%20eq%20'2026-03-01%2012:00:30%20PM'", vec![backup.clone()]),
        ("endTime%20eq%20'2026-03-01%2012:00:30%20PM'", vec![configure.clone()]),
        ("endTime%20eq%20'2026-03-01%2012:00:30%20AM'", vec![]),
        (&format!("jobId%20eq%20'{job}'"), vec![backup.clone()]),
        ("backupManagementType%20eq%20'AzureStorage'", vec![]),
    ] {
        assert_eq!(names(filter), found, "{filter}");
    }
    for filter in [
        "operation%20eq%20'Dance'",
        "status%20eq%20'Lost'",
        "startTime%20eq%20'soon'",
        "jobId%20eq%20'7'",
        "x%20eq%20'y'",
    ] {
        get(&format!("{jobs}?$filter={filter}")).refused(400, "InvalidParameter");
    }
    let page = get(&format!("{jobs}?$top=1")).expect(200);
    assert_eq!(page["value"].as_array().unwrap().len(), 1);
    let next = page["nextLink"].as_str().unwrap().strip_prefix("https://localhost:8443").unwrap();
    let rest = get(next).expect(200);
    assert_eq!((&rest["value"][0]["properties"]["operation"], &rest["nextLink"]), (&configure, &Value::Null));

    let cancel = |job: &str| send(&world, &token, "POST", &format!("{jobs}/{job}/cancel"), &Value::Null);
    cancel(&job).expect(202);
    let status = get(&format!("{jobs}/{job}")).expect(200)["properties"]["status"].clone();
    assert!(status == "Cancelled" || status == "Cancelling", "{status}");
    cancel(rest["value"][0]["name"].as_str().unwrap()).refused(409, "UserErrorJobNotRunning");
    cancel("44444444-4444-4444-8444-444444444444").refused(404, "ResourceNotFound");

    // Jobs are those of their vault.
    let other = recovery_vault_id("other");
    let body = json!({"location": "local", "properties": {}});
    send(&world, &token, "PUT", &other, &body).expect(201);
    assert_eq!(get(&format!("{other}/backupJobs")).expect(200)["value"], json!([]));
    for path in ["backupJobs", "backupOperations"] {
        get(&format!("{other}/{path}/{job}")).refused(404, "ResourceNotFound");
    }
}

#[test]
fn points_are_listed_and_shown() {
    let world = World::new();
    let token = world.backup_vault();
    world.encrypted_machine("web", true);
    let item = item_id("web");
    let body = crate::support::machines::protection_body("web", "DefaultPolicy");
    send(&world, &token, "PUT", &item, &body).expect(202);
    let first = world.back_up(&item);
    world.clock.advance_days(2);
    let second = world.back_up(&item);
    let token = world.arm_token(&world.operator);
    let points = format!("{item}/recoveryPoints");
    let list = |query: &str| -> Vec<String> {
        let list = send(&world, &token, "GET", &format!("{points}{query}"), &Value::Null).expect(200);
        let name = |point: &Value| point["name"].as_str().unwrap().to_owned();
        list["value"].as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(list(""), [second.clone(), first.clone()], "the newest first");
    let of = |from: &str, to: &str| {
        list(&format!("?$filter=endDate%20eq%20'{to}'%20and%20startDate%20eq%20'{from}'"))
    };
    assert_eq!(of("2026-03-02%2012:00:00%20AM", "2026-12-31%2012:00:00%20AM"), [second.as_str()]);
    assert_eq!(of("2026-01-01%2012:00:00%20AM", "2026-03-02%2012:00:00%20AM"), [first.as_str()]);
    assert_eq!(list("?$filter=recoveryPointType%20eq%20'CrashConsistent'").len(), 2);
    assert_eq!(list("?$filter=recoveryPointType%20eq%20'AppConsistent'").len(), 0);
    let wrong = format!("{points}?$filter=recoveryPointType%20eq%20'Fine'");
    send(&world, &token, "GET", &wrong, &Value::Null).refused(400, "InvalidParameter");

    // Whoever may restore is given the keys, others are told where they were.
    let reader = world.client("reader");
    world.assign(&reader, "Backup Reader", &recovery_vault_id("bv"));
    let shown = |token: &str| {
        let point = send(&world, token, "GET", &format!("{points}/{second}"), &Value::Null).expect(200);
        point["properties"].clone()
    };
    let seen = shown(&world.arm_token(&reader));
    assert_eq!(
        (&seen["objectType"], &seen["isSourceVMEncrypted"]),
        (&json!("IaasVMRecoveryPoint"), &json!(true))
    );
    assert_eq!((&seen["osType"], &seen["virtualMachineSize"]), (&json!("Linux"), &json!("Standard_B1s")));
    let keys = &seen["keyAndSecret"];
    assert_eq!(keys["encryptionMechanism"], "DoublePass");
    assert_eq!(keys["kekDetails"]["keyVaultId"], json!(vault_id("kv1")));
    assert!(keys["bekDetails"]["secretUrl"].as_str().unwrap().contains("/secrets/bek/"), "{keys:#}");
    assert_eq!(
        (&keys["kekDetails"]["keyBackupData"], &keys["bekDetails"]["secretData"]),
        (&Value::Null, &Value::Null)
    );
    let given = shown(&token);
    assert_eq!(given["keyAndSecret"]["bekDetails"]["secretData"], "d3JhcHBlZA");
    assert!(given["keyAndSecret"]["kekDetails"]["keyBackupData"].as_str().unwrap().len() > 500);
    assert_eq!(given["recoveryPointProperties"]["isSoftDeleted"], false);
    let missing = format!("{points}/1");
    send(&world, &token, "GET", &missing, &Value::Null).refused(404, "ResourceNotFound");

    // The item tells of the newest.
    let item = send(&world, &token, "GET", &item, &Value::Null).expect(200);
    assert_eq!(item["properties"]["lastRecoveryPoint"], seen["recoveryPointTime"]);
    assert_eq!(item["properties"]["protectionState"], "Protected");
}

#[test]
fn what_is_made_of_points() {
    let world = World::new();
    let token = world.backup_vault();
    world.encrypted_machine("web", true);
    let body = crate::support::machines::protection_body("web", "DefaultPolicy");
    let item = item_id("web");
    send(&world, &token, "PUT", &item, &body).expect(202);
    let point = world.back_up(&item);
    let account =
        format!("{}/providers/Microsoft.Storage/storageAccounts", crate::support::group_id("default"));
    // The account as clients ask for it, with a slash too many; the classic one is never there.
    let found = send(&world, &token, "GET", &format!("{account}//default"), &Value::Null).expect(200);
    assert_eq!(found["id"], json!(format!("{account}/default")));
    assert_eq!(send(&world, &token, "GET", &account, &Value::Null).expect(200)["value"], json!([found]));
    let classic = account.replace("Microsoft.Storage", "Microsoft.ClassicStorage");
    for missing in [
        format!("{classic}//default"),
        format!("{account}/other"),
        format!("{}/default", account.replace("/default/", "/elsewhere/")),
    ] {
        send(&world, &token, "GET", &missing, &Value::Null).refused(404, "ResourceNotFound");
    }

    let restore = |field: &str, value: Value| {
        let mut body = json!({"properties": {
            "objectType": "IaasVMRestoreRequest",
            "recoveryPointId": point,
            "recoveryType": "RestoreDisks",
            "region": "local",
            "createNewCloudService": false,
            "originalStorageAccountOption": false,
            "sourceResourceId": machine_id("web"),
            "storageAccountId": format!("{account}/default"),
        }});
        body["properties"][field] = value;
        send(&world, &token, "POST", &format!("{item}/recoveryPoints/{point}/restore"), &body)
    };
    restore("recoveryType", json!("AlternateLocation")).refused(400, "UserErrorNotAuthorizedOnSubscription");
    restore("recoveryType", json!("OriginalLocation")).refused(400, "UserErrorReplaceDiskEncrypted");
    for (field, value) in [
        ("objectType", json!("AzureFileShareRestoreRequest")),
        ("recoveryPointId", json!("7")),
        ("recoveryType", json!("Dance")),
        ("region", json!("mars")),
        ("sourceResourceId", json!(machine_id("db"))),
        ("storageAccountId", Value::Null),
        ("storageAccountId", json!(machine_id("db"))),
        ("diskEncryptionSetId", json!(machine_id("db"))),
        ("targetResourceGroupId", json!(machine_id("db"))),
    ] {
        restore(field, value).refused(400, "InvalidParameter");
    }
    restore("storageAccountId", json!(format!("{account}/other"))).refused(404, "ResourceNotFound");
    restore("targetResourceGroupId", json!(crate::support::group_id("nowhere")))
        .refused(404, "ResourceNotFound");
    let files = format!("{item}/recoveryPoints/{point}/provisionInstantItemRecovery");
    send(&world, &token, "POST", &files, &json!({})).refused(400, "UserErrorFileRecoveryEncrypted");

    let job = job_of(&restore("targetResourceGroupId", json!(crate::support::group_id("DEFAULT"))));
    let shown =
        send(&world, &token, "GET", &format!("{}/backupJobs/{job}", recovery_vault_id("bv")), &Value::Null);
    let shown = shown.expect(200);
    assert_eq!(shown["properties"]["operation"], "Restore");
    restore("region", json!("local")).refused(409, "UserErrorBackupOperationInProgress");
}
