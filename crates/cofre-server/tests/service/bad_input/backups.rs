//! Requests about backups whose bodies, paths and filters went wrong on the way.

use serde_json::{Value, json};

use crate::support::{
    Reply, SUBSCRIPTION, World, group_id,
    machines::{item_id, machine_id, protection_body, recovery_vault_id},
};

/// Requests as they should be, each of which has a body that must be an object.
fn requests(world: &World) -> Vec<(&'static str, String, Value)> {
    let (vault, item) = (recovery_vault_id("bv"), item_id("web"));
    let policy = json!({"properties": world.recovery.policy(&vault.parse().unwrap(), "DefaultPolicy").unwrap().wire(0)});
    let account = format!("{}/providers/Microsoft.Storage/storageAccounts/default", group_id("default"));
    vec![
        (
            "PUT",
            recovery_vault_id("new"),
            json!({"location": "local", "sku": {"name": "Standard"}, "tags": {"a": "b"}, "identity": {"type": "None"}, "properties": {
                "securitySettings": {"softDeleteSettings": {"softDeleteState": "Enabled", "softDeleteRetentionPeriodInDays": 14}},
                "redundancySettings": {"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Disabled"},
                "publicNetworkAccess": "Enabled",
            }}),
        ),
        ("PUT", format!("{vault}/backupPolicies/new"), policy),
        (
            "PUT",
            format!("{vault}/backupconfig/vaultconfig"),
            json!({"properties": {"softDeleteFeatureState": "Enabled", "softDeleteRetentionPeriodInDays": 14}}),
        ),
        (
            "PUT",
            format!("{vault}/backupstorageconfig/vaultstorageconfig"),
            json!({"properties": {"storageModelType": "GeoRedundant", "crossRegionRestoreFlag": false}}),
        ),
        ("PUT", item.clone(), protection_body("web", "DefaultPolicy")),
        (
            "POST",
            format!("{item}/backup"),
            json!({"properties": {"objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": "2026-12-31T00:00:00Z"}}),
        ),
        (
            "POST",
            format!("{item}/recoveryPoints/1/restore"),
            json!({"properties": {
                "objectType": "IaasVMRestoreRequest", "recoveryPointId": "1", "recoveryType": "RestoreDisks",
                "region": "local", "sourceResourceId": machine_id("web"), "storageAccountId": account,
                "targetResourceGroupId": group_id("default"), "restoreDiskLunList": [0],
            }}),
        ),
        ("PUT", machine_id("new"), world.machine_body("new")),
        (
            "POST",
            format!(
                "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.RecoveryServices/locations/local/backupStatus"
            ),
            json!({"resourceType": "VM", "resourceId": machine_id("web")}),
        ),
    ]
}

fn world() -> (World, String) {
    let world = World::new();
    let token = world.backup_vault();
    world.protect(&token, "web");
    (world, token)
}

/// What is there, for the comparison.
fn there(world: &World) -> (usize, usize, usize, usize) {
    let recovery = &world.recovery;
    let vault = recovery_vault_id("bv").parse().unwrap();
    (
        recovery.vaults().unwrap().len(),
        recovery.policies(&vault).unwrap().len(),
        recovery.machines().unwrap().len(),
        recovery.jobs(None, 1000).unwrap().len(),
    )
}

#[test]
fn bodies_that_are_no_object() {
    let (world, token) = world();
    let before = there(&world);
    for (method, target, _) in requests(&world) {
        for (what, body) in super::bodies::no_objects() {
            let reply = world.arm(method, &target).token(&token).body(body).send();
            assert_eq!(
                (reply.status, reply.code()),
                (400, "InvalidParameter"),
                "{what}: {method} {target}: {reply:?}"
            );
        }
    }
    assert_eq!(there(&world), before);
}

/// Every value of a body, by its place.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                places(value, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
    if !place.is_empty() {
        found.push(place.to_owned());
    }
}

#[test]
fn values_that_are_something_else() {
    let (world, token) = world();
    let wrong = [
        Value::Null,
        json!(""),
        json!("\u{0}'\"<>%&\\?/../"),
        json!("x".repeat(5000)),
        json!("/subscriptions//x/../y"),
        json!("ß\u{1f600}\u{202e}"),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"a": {"a": {}}}),
    ];
    // That none of it is answered with a failure of the service's own is looked at with every request.
    let mut done = 0;
    for (method, target, body) in requests(&world) {
        let mut found = Vec::new();
        places(&body, "", &mut found);
        for place in found {
            for value in &wrong {
                let mut body = body.clone();
                *body.pointer_mut(&place).unwrap() = value.clone();
                let reply: Reply = world.arm(method, &target).token(&token).json(&body).send();
                assert!(reply.status < 500, "{method} {target} {place} {value}: {reply:?}");
                done += 1;
            }
        }
    }
    assert!(done > 1000, "{done}");
    world.arm("GET", &item_id("web")).token(&token).send().expect(200);
}

#[test]
fn paths_and_filters_that_lead_nowhere() {
    let (world, token) = world();
    let vault = recovery_vault_id("bv");
    let item = item_id("web");
    for path in [
        "backupJobs/x",
        "backupOperations/x",
        "backupPolicies/a%3Bb",
        "backupPolicies/%00",
        "backupFabrics/Azure",
        "backupFabrics/Azure/operationResults/x",
        "backupFabrics/Azure/protectionContainers/x",
        "backupFabrics/Azure/protectionContainers/x/protectedItems/y",
        "backupFabrics/Elsewhere/protectionContainers",
        "backupJobs/44444444-4444-4444-8444-444444444444",
        "backupEngines",
        "backupUsageSummaries",
    ] {
        let reply = world.arm("GET", &format!("{vault}/{path}")).token(&token).send();
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
    }
    for list in [
        "backupJobs",
        "backupProtectedItems",
        "backupProtectionContainers",
        "backupProtectableItems",
        "backupPolicies",
    ] {
        for query in
            ["$filter=a", "$filter=x%20eq%20'y'", "$filter=%27", "$skiptoken=!", "$filter=status%20or"]
        {
            let reply = world.arm("GET", &format!("{vault}/{list}?{query}")).token(&token).send();
            // A list that has no pages passes over the token of one.
            assert!(
                reply.status == 400 || (query == "$skiptoken=!" && list == "backupPolicies"),
                "{list} {query}: {reply:?}"
            );
        }
    }
    for point in ["", "latest/restore", "-1", "x'y", "999999999999999999999999"] {
        let reply = world.arm("GET", &format!("{item}/recoveryPoints/{point}")).token(&token).send();
        assert!(matches!(reply.status, 200 | 404 | 405), "{point}: {reply:?}");
    }
    for query in ["$skiptoken=AAAA", "$top=0", "$top=x", "$filter=startDate%20eq%20''"] {
        let reply = world.arm("GET", &format!("{item}/recoveryPoints?{query}")).token(&token).send();
        reply.refused(400, "InvalidParameter");
    }
    for (method, path) in
        [("POST", ""), ("PATCH", "/backupJobs"), ("DELETE", "/backupJobs/7"), ("PUT", "/backupJobs")]
    {
        let reply = world.arm(method, &format!("{vault}{path}")).token(&token).send();
        assert_eq!(reply.status, 405, "{method} {path}: {reply:?}");
    }
}
