//! Machines under a vault's protection: found, protected, stopped, deleted.

use cofre_repo::{Cancel, progress::Silent};
use serde_json::{Value, json};

use crate::support::{
    Reply, SUBSCRIPTION, World,
    machines::{item_id, machine_id, protection_body, recovery_vault_id},
    vault_id,
};

struct Client<'a> {
    world: &'a World,
    token: String,
}

impl Client<'_> {
    fn send(&self, method: &str, target: &str, body: &Value) -> Reply {
        let request = self.world.arm(method, target).token(&self.token);
        if body.is_null() { request.send() } else { request.json(body).send() }
    }

    fn get(&self, target: &str) -> Value {
        self.send("GET", target, &Value::Null).expect(200)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let list = self.get(&format!("{}/{path}", recovery_vault_id("bv")));
        let name = |value: &Value| value["properties"]["friendlyName"].as_str().unwrap().to_owned();
        list["value"].as_array().unwrap().iter().map(name).collect()
    }

    /// The job of an operation that was accepted, wherever it is asked for.
    #[track_caller]
    fn job(&self, accepted: Reply) -> Value {
        let address = accepted.operation.clone().unwrap();
        let path = |address: &str| address.strip_prefix("https://localhost:8443").unwrap().to_owned();
        let location = path(accepted.location.as_deref().unwrap());
        assert_eq!(accepted.retry_after.as_deref(), Some("1"));
        accepted.expect(202);
        let status = self.get(&path(&address));
        let operation = address.rsplit('/').next().unwrap().split('?').next().unwrap();
        let vault = recovery_vault_id("bv");
        assert_eq!(self.get(&format!("{vault}/backupOperations/{operation}")), status);
        assert_eq!((&status["status"], &status["name"]), (&json!("Succeeded"), &json!(operation)));
        let result = self.send("GET", &location, &Value::Null);
        assert!(matches!(result.status, 200 | 204), "{result:?}");
        let job = status["properties"]["jobId"].as_str().unwrap();
        self.get(&format!("{vault}/backupJobs/{job}"))["properties"].clone()
    }
}

#[test]
fn a_machine_is_found_and_protected() {
    let world = World::new();
    let client = Client { world: &world, token: world.backup_vault() };
    world.make_machine("web");
    world.make_machine("db");
    let vault = recovery_vault_id("bv");
    let all = "backupProtectableItems?$filter=backupManagementType%20eq%20'AzureIaasVM'";
    assert_eq!(client.names(all), ["db", "web"]);
    let found = client.get(&format!("{vault}/{all}"))["value"][1].clone();
    assert_eq!(found["properties"]["virtualMachineId"], json!(machine_id("web")));
    assert_eq!(found["properties"]["protectionState"], "NotProtected");

    let looking =
        client.send("POST", &format!("{vault}/backupFabrics/Azure/refreshContainers"), &Value::Null);
    let address = looking.location.clone().unwrap();
    looking.expect(202);
    let target = address.strip_prefix("https://localhost:8443").unwrap();
    client.send("GET", target, &Value::Null).expect(204);

    // The address is written as clients do, with another casing and semicolons as %3B.
    let item = item_id("web").replace("iaasvmcontainer;", "IaasVMContainer;").replace(';', "%3B");
    let accepted = client.send(
        "PUT",
        &format!("{item}?api-version=2026-08-01"),
        &protection_body("web", "DefaultPolicy"),
    );
    assert!(accepted.operation.as_deref().unwrap().ends_with("?api-version=2026-08-01"), "{accepted:?}");
    let job = client.job(accepted);
    assert_eq!((&job["operation"], &job["status"]), (&json!("ConfigureBackup"), &json!("Completed")));
    assert_eq!(job["entityFriendlyName"], "web");

    let shown = client.get(&item);
    let properties = &shown["properties"];
    assert_eq!(properties["protectionState"], "IRPending");
    assert_eq!(
        (&properties["lastBackupStatus"], &properties["lastRecoveryPoint"]),
        (&json!("IRPending"), &Value::Null)
    );
    assert_eq!(
        (&properties["policyName"], &properties["healthStatus"]),
        (&json!("DefaultPolicy"), &json!("Passed"))
    );
    assert_eq!(properties["sourceResourceId"], json!(machine_id("web")));
    assert_eq!(client.names(all), ["db"]);
    client.get(&format!("{item}/recoveryPoints"))["value"]
        .as_array()
        .unwrap()
        .is_empty()
        .then_some(())
        .unwrap();

    // Where it is listed, and how it is looked for.
    let machines = "backupManagementType%20eq%20'AzureIaasVM'";
    for (path, names) in [
        ("backupProtectedItems".to_owned(), vec!["web"]),
        (format!("backupProtectedItems?$filter={machines}%20and%20itemType%20eq%20'VM'"), vec!["web"]),
        ("backupProtectedItems?$filter=policyName%20eq%20'defaultpolicy'".into(), vec!["web"]),
        ("backupProtectedItems?$filter=policyName%20eq%20'Other'".into(), vec![]),
        ("backupProtectedItems?$filter=backupManagementType%20eq%20'AzureStorage'".into(), vec![]),
        (
            format!("backupProtectionContainers?$filter={machines}%20and%20status%20eq%20'Registered'"),
            vec!["web"],
        ),
        (format!("backupProtectionContainers?$filter={machines}%20and%20friendlyName%20eq%20'db'"), vec![]),
    ] {
        assert_eq!(client.names(&path), names, "{path}");
    }
    let container = client.get(&format!("{vault}/backupProtectionContainers"))["value"][0].clone();
    assert!(shown["id"].as_str().unwrap().starts_with(container["id"].as_str().unwrap()));
    assert_eq!(client.get(container["id"].as_str().unwrap()), container);
    let asked = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.RecoveryServices/locations/local/backupStatus"
    );
    let status = |machine: &str| {
        let body = json!({"resourceType": "VM", "resourceId": machine_id(machine)});
        client.send("POST", &asked, &body).expect(200)
    };
    assert_eq!(
        (&status("web")["protectionStatus"], &status("web")["vaultId"]),
        (&json!("Protected"), &json!(vault))
    );
    assert_eq!(
        (&status("db")["protectionStatus"], &status("db")["vaultId"]),
        (&json!("NotProtected"), &json!(""))
    );

    // The vault stays while it holds something, and says what.
    let refusal = client.send("DELETE", &vault, &Value::Null);
    assert!((400..500).contains(&refusal.status), "{refusal:?}");
    assert!(refusal.message().contains("existing resources within the vault"), "{refusal:?}");
    assert!(refusal.message().contains("web"), "{refusal:?}");
}

#[test]
fn what_cannot_be_protected() {
    let world = World::new();
    let client = Client { world: &world, token: world.backup_vault() };
    world.make_machine("db");
    let enable =
        |machine: &str| client.send("PUT", &item_id(machine), &protection_body(machine, "DefaultPolicy"));
    enable("web").refused(404, "BCMV2VMNotFound");
    // Encrypted, and its key vault closed to the backup service: it is said which, and what is missing.
    world.encrypted_machine("web", false);
    let refusal = enable("web").refused(400, "UserErrorKeyVaultPermissionsNotConfigured");
    assert!(refusal.message().contains("kv1"), "{refusal:?}");
    let detail = &refusal.json["error"]["details"][0];
    assert_eq!(detail["resourceId"], json!(vault_id("kv1")));
    assert!(detail["missingPermissions"].as_array().unwrap().contains(&json!("keys/backup")), "{detail}");
    let jobs = client.get(&format!("{}/backupJobs", recovery_vault_id("bv")));
    assert_eq!(jobs["value"], json!([]), "a refusal leaves no job");
    client.send("GET", &item_id("web"), &Value::Null).refused(404, "ResourceNotFound");

    let with = |field: &str, value: Value| {
        let mut body = protection_body("db", "DefaultPolicy");
        body["properties"][field] = value;
        body
    };
    let other = json!(format!("{}/backupPolicies/DefaultPolicy", recovery_vault_id("other")));
    let selection = json!({"diskExclusionProperties": {"diskLunList": [0], "isInclusionList": true}});
    for body in [
        with("policyId", Value::Null),
        with("policyId", json!("")),
        with("policyId", json!("DefaultPolicy")),
        with("policyId", other),
        with("sourceResourceId", Value::Null),
        with("sourceResourceId", json!(machine_id("web"))),
        with("protectedItemType", json!("AzureFileShareProtectedItem")),
        with("extendedProperties", selection),
        with("protectionState", json!("BackupsSuspended")),
    ] {
        client.send("PUT", &item_id("db"), &body).refused(400, "InvalidParameter");
    }
    let nowhere = with("policyId", json!(format!("{}/backupPolicies/None", recovery_vault_id("bv"))));
    client.send("PUT", &item_id("db"), &nowhere).refused(404, "ResourceNotFound");
    let stop = with("protectionState", json!("ProtectionStopped"));
    client.send("PUT", &item_id("db"), &stop).refused(404, "ResourceNotFound");
    client.send("DELETE", &item_id("db"), &Value::Null).expect(204);
    enable("db").expect(202);
    let other = with("sourceResourceId", json!(machine_id("web")));
    client.send("PUT", &item_id("db"), &other).refused(400, "InvalidParameter");
}

#[test]
fn protection_is_stopped_and_resumed() {
    let world = World::new();
    let client = Client { world: &world, token: world.backup_vault() };
    let item = world.protect(&client.token, "web");
    let stop = json!({"properties": {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "policyId": "",
        "protectionState": "ProtectionStopped",
        "sourceResourceId": machine_id("web"),
    }});
    let point = world.back_up(&item);
    let job = client.job(client.send("PUT", &item, &stop));
    assert_eq!(job["operation"], "DisableBackup");
    let stopped = client.get(&item)["properties"].clone();
    assert_eq!(
        (&stopped["protectionState"], &stopped["policyName"]),
        (&json!("ProtectionStopped"), &json!(""))
    );
    let points = client.get(&format!("{item}/recoveryPoints"));
    assert_eq!(points["value"][0]["name"], json!(point), "what was backed up is kept");
    let backup = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
    let refusal = client.send("POST", &format!("{item}/backup"), &backup);
    assert!((400..500).contains(&refusal.status), "{refusal:?}");

    client.job(client.send("PUT", &item, &protection_body("web", "DefaultPolicy")));
    assert_eq!(client.get(&item)["properties"]["protectionState"], "Protected");

    // Deleted data can be had back for a while: the item is stopped then.
    let job = client.job(client.send("DELETE", &item, &Value::Null));
    assert_eq!(job["operation"], "DeleteBackupData");
    let deleted = client.get(&item)["properties"].clone();
    assert_eq!(deleted["isScheduledForDeferredDelete"], true, "{deleted:#}");
    assert_eq!(deleted["deferredDeleteTimeRemaining"], "14.00:00:00");
    assert_eq!(client.names("backupDeletedProtectionContainers"), ["web"]);
    let mut back = stop.clone();
    back["properties"]["isRehydrate"] = json!(true);
    let job = client.job(client.send("PUT", &item, &back));
    assert_eq!(job["operation"], "Undelete");
    let there = client.get(&item)["properties"].clone();
    assert_eq!(there["isScheduledForDeferredDelete"], false);
    assert_eq!(there["protectionState"], "ProtectionStopped");
    assert!(client.names("backupDeletedProtectionContainers").is_empty());
}

#[test]
fn a_machine_that_is_encrypted_later_needs_its_key_vault_opened() {
    let world = World::new();
    let client = Client { world: &world, token: world.backup_vault() };
    let item = world.protect(&client.token, "web");
    let plain = world.back_up(&item);
    world.encrypt_machine("web", false);
    let failed = world.recovery.backup(&item.parse().unwrap(), None, &Silent, &Cancel::new()).unwrap();
    let error = failed.result.unwrap_err();
    assert_eq!(error.code(), "UserErrorKeyVaultPermissionsNotConfigured");
    let jobs = format!("{}/backupJobs/{}", recovery_vault_id("bv"), failed.job.id);
    let job = client.get(&jobs)["properties"].clone();
    assert_eq!(job["status"], "Failed");
    let detail = &job["errorDetails"][0];
    assert_eq!(
        (&detail["errorCode"], &detail["errorTitle"]),
        (&json!(5), &json!("UserErrorKeyVaultPermissionsNotConfigured"))
    );
    assert!(detail["errorString"].as_str().unwrap().contains("kv1"), "{detail:#}");
    let shown = client.get(&item)["properties"].clone();
    assert_eq!(
        (&shown["healthStatus"], &shown["protectionStatus"]),
        (&json!("ActionRequired"), &json!("Unhealthy"))
    );
    assert!(shown["healthDetails"][0]["message"].as_str().unwrap().contains("keys/backup"), "{shown:#}");
    assert_eq!(
        (&shown["lastBackupStatus"], &shown["protectionState"]),
        (&json!("Failed"), &json!("Protected"))
    );

    // Granted, the next one is encrypted; the one before is not.
    world.grant_backup_service();
    let encrypted = world.back_up(&item);
    assert_eq!(client.get(&item)["properties"]["healthStatus"], "Passed");
    let is_encrypted = |point: &str| {
        client.get(&format!("{item}/recoveryPoints/{point}"))["properties"]["isSourceVMEncrypted"].clone()
    };
    assert_eq!((is_encrypted(&plain), is_encrypted(&encrypted)), (json!(false), json!(true)));
}
