//! Checks of acceptance, each named after its number in `docs/testing.md`, that are not part of the story of `backup.rs`.

use std::fs;

use serde_json::{Value, json};

use super::{
    Az, Service,
    backup::{DISK_KEY, MACHINES, Vault, WEB, keys, machine},
};
use crate::control::encrypted_image;

/// The vault `bv` of a new service, with nothing in it.
fn vault(service: &Service) -> Vault<'_> {
    let az = service.operator_az();
    az.done(&format!("backup vault create -g default -n bv -l {}", service.fact("location")));
    Vault { az }
}

/// The machine without its encryption settings, switched off.
fn plain(service: &Service) -> Value {
    let mut body = machine(service, &Value::Null, &Value::Null);
    let storage = &mut body["properties"]["storageProfile"]["osDisk"];
    storage.as_object_mut().unwrap().remove("encryptionSettings");
    body["properties"]["instanceView"] = json!({"statuses": [{"code": "PowerState/stopped"}]});
    body
}

#[test]
fn a1_a_disk_key_that_no_key_wraps_is_refused() {
    let service = Service::start();
    let vault = vault(&service);
    encrypted_image(&service.path("vm/web.raw"), DISK_KEY, 1);
    let (secret, key) = keys(&service, &vault.az);
    let mut body = machine(&service, &secret, &key);
    let settings = &mut body["properties"]["storageProfile"]["osDisk"]["encryptionSettings"];
    settings.as_object_mut().unwrap().remove("keyEncryptionKey");
    vault.az.put(&service.machine_id("web"), &body);
    vault.refused("protection enable-for-vm --vm web -p DefaultPolicy", &["UserErrorEncryptedVmBekOnly"]);
    assert_eq!(vault.json("item list"), json!([]));
    assert_eq!(vault.json("job list"), json!([]));
    assert_eq!(vault.az.json("backup protection check-vm -g default --vm web"), "");
}

#[test]
fn a7_a8_a_machine_that_is_off_and_is_encrypted_later() {
    let service = Service::start();
    let vault = vault(&service);
    fs::write(service.path("vm/web.raw"), [7; 1 << 20]).unwrap();
    vault.az.put(&service.machine_id("web"), &plain(&service));
    vault.ended(&vault.json("protection enable-for-vm --vm web -p DefaultPolicy"));
    vault.back_up();
    let before = vault.points().remove(0);
    assert_eq!(before["properties"]["recoveryPointType"], "CrashConsistent", "of a machine that is off");
    assert_eq!(before["properties"]["isSourceVMEncrypted"], false);

    fs::remove_file(service.path("vm/web.raw")).unwrap();
    encrypted_image(&service.path("vm/web.raw"), DISK_KEY, 1);
    let (secret, key) = keys(&service, &vault.az);
    vault.az.put(&service.machine_id("web"), &machine(&service, &secret, &key));
    let job = vault.json(
        "protection backup-now -c web -i web --backup-management-type AzureIaasVM --retain-until 31-12-2099",
    );
    let job = vault.ended(&job);
    assert_eq!(job["status"], "Failed", "{job:#}");
    let error = &job["errorDetails"][0];
    assert_eq!(error["errorTitle"], "UserErrorKeyVaultPermissionsNotConfigured", "{job:#}");
    assert!(error["errorString"].as_str().unwrap().contains("kv1"), "{error:#}");
    assert_eq!(vault.item()["healthStatus"], "ActionRequired");
    vault.az.done(&format!(
        "keyvault set-policy -n kv1 --object-id {} --key-permissions get list backup --secret-permissions get list backup",
        service.fact("backupServiceObjectId")
    ));
    vault.back_up();
    assert_eq!(vault.item()["healthStatus"], "Passed");
    let points = vault.points();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0]["properties"]["isSourceVMEncrypted"], true);
    assert_eq!(points[1], before, "the older point says what it said");
}

/// A principal with a role, logged in.
fn with_role<'a>(service: &'a Service, name: &str, role: &str) -> Vault<'a> {
    let login = service.principal(name);
    service.cofre(&format!("role assignment create --assignee {} --role '{role}'", login.object));
    let az: Az<'a> = service.az(name);
    az.login(&login);
    Vault { az }
}

#[test]
fn a19_what_readers_operators_and_contributors_may() {
    let service = Service::start();
    let owner = vault(&service);
    fs::write(service.path("vm/web.raw"), [7; 1 << 20]).unwrap();
    owner.az.put(&service.machine_id("web"), &plain(&service));
    owner.ended(&owner.json("protection enable-for-vm --vm web -p DefaultPolicy"));
    let policy = owner.json("policy show -n DefaultPolicy");
    fs::write(service.path("policy.json"), policy.to_string()).unwrap();
    let back_up =
        "protection backup-now -c web -i web --backup-management-type AzureIaasVM --retain-until 31-12-2099";
    let change = "policy set -n DefaultPolicy --policy @policy.json";
    let stop = format!("protection disable {WEB} --yes");
    let lacks = ["AuthorizationFailed", "Microsoft.RecoveryServices/vaults/"];

    let reader = with_role(&service, "reader", "Backup Reader");
    assert_eq!(
        reader.json(&format!("item list {MACHINES} --query [].properties.friendlyName")),
        json!(["web"])
    );
    for line in [back_up, change, &stop] {
        reader.refused(line, &lacks);
    }
    let operator = with_role(&service, "operator-role", "Backup Operator");
    operator.refused(change, &lacks);
    operator.refused(&stop, &lacks);
    operator.back_up();
    let contributor = with_role(&service, "contributor", "Backup Contributor");
    contributor.json(change);
    contributor.back_up();
    contributor.json(&stop);
    assert_eq!(owner.item()["protectionState"], "ProtectionStopped");
}
