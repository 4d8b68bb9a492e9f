//! Recovery Services vaults, their settings and their policies.

use serde_json::{Value, json};

use crate::support::{
    SUBSCRIPTION, World, group_id,
    machines::{protection_body, recovery_vault_id},
};

/// What `az backup vault create` sends.
fn az_body() -> Value {
    json!({"location": "local", "sku": {"name": "Standard"}, "properties": {
        "securitySettings": {"softDeleteSettings": {
            "enhancedSecurityState": "AlwaysOn", "softDeleteState": "AlwaysOn", "softDeleteRetentionPeriodInDays": 14,
        }},
        "publicNetworkAccess": "Enabled",
        "monitoringSettings": {
            "azureMonitorAlertSettings": {"alertsForAllJobFailures": "Enabled"},
            "classicAlertSettings": {"alertsForCriticalOperations": "Enabled"},
        },
        "costManagementSettings": {"granularityLevel": "VaultLevel"},
    }})
}

#[test]
fn a_vault_comes_and_goes() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let send = |method: &str, target: &str, body: &Value| {
        let request = world.arm(method, target).token(&token);
        if body.is_null() { request.send() } else { request.json(body).send() }
    };
    let get = |target: &str| send("GET", target, &Value::Null);
    let bv = recovery_vault_id("bv");
    get(&bv).refused(404, "ResourceNotFound");
    let made = send("PUT", &bv, &az_body()).expect(201);
    assert_eq!((&made["id"], &made["type"]), (&json!(bv), &json!("Microsoft.RecoveryServices/vaults")));
    let properties = &made["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["redundancySettings"]["standardTierStorageRedundancy"], "GeoRedundant");
    assert_eq!(properties["securitySettings"]["softDeleteSettings"]["softDeleteState"], "AlwaysOn");
    assert_eq!(send("PUT", &bv, &az_body()).expect(200), made, "once more changes nothing");

    // Lists, and what is found by its type and name.
    for list in [
        format!("{}/providers/Microsoft.RecoveryServices/vaults", group_id("DEFAULT")),
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.RecoveryServices/vaults"),
        format!("/subscriptions/{SUBSCRIPTION}/resources?$filter=name%20eq%20'bv'"),
    ] {
        assert_eq!(get(&list).expect(200)["value"][0]["id"], made["id"], "{list}");
    }
    let refusal = send("DELETE", &group_id("default"), &Value::Null).refused(409, "Conflict");
    assert!(refusal.message().contains("vaults/bv"), "{refusal:?}");

    // Changes, one field at a time.
    let storage =
        json!({"properties": {"redundancySettings": {"standardTierStorageRedundancy": "LocallyRedundant"}}});
    let changed = send("PATCH", &bv, &storage).expect(200);
    assert_eq!(
        changed["properties"]["redundancySettings"]["standardTierStorageRedundancy"],
        "LocallyRedundant"
    );
    let tagged = send("PATCH", &bv, &json!({"properties": {}, "tags": {"a": "b"}})).expect(200);
    assert_eq!((&tagged["tags"], &tagged["properties"]), (&json!({"a": "b"}), &changed["properties"]));

    for _ in 0..2 {
        send("DELETE", &bv, &Value::Null).expect(204);
    }
    get(&bv).refused(404, "ResourceNotFound");
    get(&format!("{bv}/backupPolicies")).refused(404, "ResourceNotFound");
}

#[test]
fn what_is_no_vault() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let put = |id: &str, body: &Value| world.arm("PUT", id).token(&token).json(body).send();
    let bv = recovery_vault_id("bv");
    let with = |field: &str, value: Value| {
        let mut body = json!({"location": "local", "properties": {}});
        match field.strip_prefix('/') {
            Some(field) => body["properties"][field] = value,
            None => body[field] = value,
        }
        body
    };
    for body in [
        with("location", json!("mars")),
        with("location", Value::Null),
        with("tags", json!({"a": "x".repeat(300)})),
        with("identity", json!({"type": "systemassigned"})),
        with("/publicNetworkAccess", json!("Disabled")),
        with("/encryption", json!({"keyVaultProperties": {}})),
        with("/redundancySettings", json!({"standardTierStorageRedundancy": "Triple"})),
        with("/redundancySettings", json!({"crossRegionRestore": "Perhaps"})),
        with("/securitySettings", json!({"softDeleteSettings": {"softDeleteState": "Off"}})),
        with("/securitySettings", json!({"softDeleteSettings": {"softDeleteRetentionPeriodInDays": 5}})),
        with("/securitySettings", json!({"immutabilitySettings": {"state": "Locked"}})),
    ] {
        put(&bv, &body).refused(400, "InvalidParameter");
    }
    // What was refused left nothing.
    world.arm("GET", &bv).token(&token).send().refused(404, "ResourceNotFound");
    put(&recovery_vault_id("1"), &with("tags", json!({}))).refused(400, "InvalidParameter");
    put(&bv.replace("/default/", "/nowhere/"), &with("tags", json!({}))).refused(404, "ResourceNotFound");
    put(&bv, &with("tags", json!({}))).expect(201);
    world.arm("POST", &bv).token(&token).send().refused(405, "MethodNotAllowed");
    world.arm("GET", &format!("{bv}/nothing")).token(&token).send().refused(404, "ResourceNotFound");
}

#[test]
fn settings() {
    let world = World::new();
    let token = world.backup_vault();
    let bv = recovery_vault_id("bv");
    let send = |method: &str, path: &str, body: &Value| {
        let target = format!("{bv}/{path}");
        let request = world.arm(method, &target).token(&token);
        if body.is_null() { request.send() } else { request.json(body).send() }
    };
    let get = |path: &str| send("GET", path, &Value::Null).expect(200)["properties"].clone();
    let config = "backupconfig/vaultconfig";
    let shown = get(config);
    assert_eq!(
        (&shown["softDeleteFeatureState"], &shown["storageTypeState"]),
        (&json!("Enabled"), &json!("Unlocked"))
    );
    assert_eq!(
        (&shown["softDeleteRetentionPeriodInDays"], &shown["enhancedSecurityState"]),
        (&json!(14), &json!("Enabled"))
    );
    let off = json!({"properties": {
        "softDeleteFeatureState": "Disabled", "enhancedSecurityState": "Enabled", "softDeleteRetentionPeriodInDays": 14,
    }});
    assert_eq!(send("PATCH", config, &off).expect(200)["properties"]["softDeleteFeatureState"], "Disabled");
    assert_eq!(get(config)["softDeleteFeatureState"], "Disabled");
    let wrong = json!({"properties": {"softDeleteFeatureState": "Sometimes"}});
    send("PATCH", config, &wrong).refused(400, "InvalidParameter");

    let storage = "backupstorageconfig/vaultstorageconfig";
    assert_eq!(get(storage)["storageModelType"], "GeoRedundant");
    let locally =
        json!({"properties": {"storageModelType": "LocallyRedundant", "storageType": "LocallyRedundant"}});
    assert_eq!(send("PUT", storage, &locally).expect(200)["properties"]["storageType"], "LocallyRedundant");
    send("PATCH", storage, &json!({"properties": {"storageModelType": "GeoRedundant"}})).expect(204);
    let both = json!({"properties": {"storageModelType": "GeoRedundant", "storageType": "LocallyRedundant"}});
    send("PATCH", storage, &both).refused(400, "InvalidParameter");
    assert_eq!(get(storage)["crossRegionRestoreFlag"], false);

    assert_eq!(
        get("backupEncryptionConfigs/backupResourceEncryptionConfig")["encryptionAtRestType"],
        "MicrosoftManaged"
    );
    assert_eq!(send("GET", "backupResourceGuardProxies", &Value::Null).expect(200)["value"], json!([]));

    // The redundancy is fixed once something is protected.
    world.protect(&token, "web");
    assert_eq!(get(storage)["storageTypeState"], "Locked");
    assert!((400..500).contains(&send("PUT", storage, &locally).status));
    assert_eq!(get(storage)["storageModelType"], "GeoRedundant");
}

#[test]
fn policies() {
    let world = World::new();
    let token = world.backup_vault();
    let policies = format!("{}/backupPolicies", recovery_vault_id("bv"));
    let send = |method: &str, path: &str, body: &Value| {
        let target = format!("{policies}{path}");
        let request = world.arm(method, &target).token(&token);
        if body.is_null() { request.send() } else { request.json(body).send() }
    };
    let get = |path: &str| send("GET", path, &Value::Null);
    let default = get("/DefaultPolicy").expect(200);
    assert_eq!(default["properties"]["backupManagementType"], "AzureIaasVM");
    assert_eq!(default["properties"]["protectedItemsCount"], 0);
    let of_machines = "?$filter=backupManagementType%20eq%20'AzureIaasVM'%20and%20workloadType%20eq%20'VM'";
    for list in ["", "/", of_machines] {
        assert_eq!(get(list).expect(200)["value"], json!([default]), "{list}");
    }
    assert_eq!(get("?$filter=backupManagementType%20eq%20'AzureStorage'").expect(200)["value"], json!([]));
    get("/EnhancedPolicy").refused(404, "ResourceNotFound");

    // A policy as clients print it is taken back, with what they add to it.
    let mut printed = default.clone();
    printed["id"] = Value::Null;
    printed["resourceGroup"] = json!("default");
    let properties = printed["properties"].as_object_mut().unwrap();
    let details = properties.remove("instantRPDetails").unwrap_or(json!({}));
    properties.insert("instantRpDetails".into(), details);
    properties.insert("resourceGuardOperationRequests".into(), Value::Null);
    properties["retentionPolicy"]["weeklySchedule"] = Value::Null;
    properties["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = json!(45);
    let made = send("PUT", "/Nightly", &printed).expect(200);
    assert_eq!(made["name"], "Nightly");
    assert_eq!(made["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"], 45);
    assert_eq!(get("/nightly").expect(200), made);
    let mut hourly = printed.clone();
    hourly["properties"]["policyType"] = json!("V2");
    hourly["properties"]["schedulePolicy"]["schedulePolicyType"] = json!("SimpleSchedulePolicyV2");
    let refusal = send("PUT", "/Hourly", &hourly);
    assert_eq!(refusal.status, 400, "{refusal:?}");
    for body in [json!({}), json!({"properties": 7}), json!({"properties": {}})] {
        assert_eq!(send("PUT", "/Empty", &body).status, 400, "{body}");
    }

    // Whoever follows it is counted, and keeps it.
    let item = world.protect(&token, "web");
    assert_eq!(get("/DefaultPolicy").expect(200)["properties"]["protectedItemsCount"], 1);
    let body = protection_body("web", "Nightly");
    world.arm("PUT", &item).token(&token).json(&body).send().expect(202);
    let counts: Vec<_> = get("").expect(200)["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| (policy["name"].clone(), policy["properties"]["protectedItemsCount"].clone()))
        .collect();
    assert_eq!(counts, [(json!("DefaultPolicy"), json!(0)), (json!("Nightly"), json!(1))]);
    let refusal = send("DELETE", "/Nightly", &Value::Null);
    assert!((400..500).contains(&refusal.status) && refusal.message().contains("web"), "{refusal:?}");
    world.arm("PUT", &item).token(&token).json(&protection_body("web", "DefaultPolicy")).send().expect(202);
    send("DELETE", "/Nightly", &Value::Null).expect(200);
    send("DELETE", "/Nightly", &Value::Null).expect(204);
}
