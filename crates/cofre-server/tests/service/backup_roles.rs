//! Which role may do what with backups: the table of the published roles.

use serde_json::{Value, json};

use crate::support::{
    SUBSCRIPTION, World, actor, group_id,
    machines::{item_id, machine_id, protection_body, recovery_vault_id},
};

const OWNER: &str = "Owner";
const CONTRIBUTOR: &str = "Contributor";
const READER: &str = "Reader";
const BACKUP_CONTRIBUTOR: &str = "Backup Contributor";
const OPERATOR: &str = "Backup Operator";
const BACKUP_READER: &str = "Backup Reader";
const MACHINES: &str = "Virtual Machine Contributor";
const ALL: &[&str] = &[OWNER, CONTRIBUTOR, READER, BACKUP_CONTRIBUTOR, OPERATOR, BACKUP_READER, MACHINES];
/// Who sees backups.
const READERS: &[&str] = &[OWNER, CONTRIBUTOR, READER, BACKUP_CONTRIBUTOR, OPERATOR, BACKUP_READER];
/// Who backs up and restores.
const OPERATORS: &[&str] = &[OWNER, CONTRIBUTOR, BACKUP_CONTRIBUTOR, OPERATOR];
/// Who removes backups and changes vaults.
const CONTRIBUTORS: &[&str] = &[OWNER, CONTRIBUTOR, BACKUP_CONTRIBUTOR];

const ITEMS: &str = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems";
const VAULTS: &str = "Microsoft.RecoveryServices/vaults";

/// A request that whoever may make it is not forbidden, and the right it takes.
struct Case {
    method: &'static str,
    target: String,
    body: Value,
    action: String,
    roles: Vec<&'static str>,
}

fn cases() -> Vec<Case> {
    let (vault, item) = (recovery_vault_id("bv"), item_id("web"));
    let point = format!("{item}/recoveryPoints/1");
    let case = |method, target: String, body: Value, action: &str, roles: &[&'static str]| Case {
        method,
        target,
        body,
        action: action.to_owned(),
        roles: roles.to_vec(),
    };
    let none = Value::Null;
    // Bodies that lead nowhere: who may make the request is told of the body, or that there is no such thing.
    let empty = || json!({"properties": {}});
    let and_machines = |roles: &[&'static str]| [roles, &[MACHINES]].concat();
    let stop = json!({"properties": {"policyId": "", "protectionState": "ProtectionStopped"}});
    let mut cases = vec![
        case("GET", vault.clone(), none.clone(), &format!("{VAULTS}/read"), &and_machines(READERS)),
        case("PUT", recovery_vault_id("new"), empty(), &format!("{VAULTS}/write"), CONTRIBUTORS),
        case("PATCH", vault.clone(), json!({}), &format!("{VAULTS}/write"), CONTRIBUTORS),
        case("DELETE", recovery_vault_id("none"), none.clone(), &format!("{VAULTS}/delete"), CONTRIBUTORS),
        case("PUT", format!("{item}x"), stop.clone(), &format!("{ITEMS}/write"), &and_machines(OPERATORS)),
        case("DELETE", format!("{item}x"), none.clone(), &format!("{ITEMS}/delete"), CONTRIBUTORS),
        case("GET", item.clone(), none.clone(), &format!("{ITEMS}/read"), &and_machines(READERS)),
        case("POST", format!("{item}x/backup"), empty(), &format!("{ITEMS}/backup/action"), OPERATORS),
        case(
            "GET",
            format!("{item}/recoveryPoints"),
            none.clone(),
            &format!("{ITEMS}/recoveryPoints/read"),
            &and_machines(READERS),
        ),
        case(
            "GET",
            point.clone(),
            none.clone(),
            &format!("{ITEMS}/recoveryPoints/read"),
            &and_machines(READERS),
        ),
        case(
            "POST",
            format!("{point}/restore"),
            empty(),
            &format!("{ITEMS}/recoveryPoints/restore/action"),
            OPERATORS,
        ),
        case(
            "POST",
            format!("{point}/provisionInstantItemRecovery"),
            none.clone(),
            &format!("{ITEMS}/recoveryPoints/provisionInstantItemRecovery/action"),
            OPERATORS,
        ),
    ];
    for (method, path, action, roles) in [
        ("GET", "backupconfig/vaultconfig", "backupconfig/read", READERS),
        ("PATCH", "backupconfig/vaultconfig", "backupconfig/write", CONTRIBUTORS),
        ("GET", "backupstorageconfig/vaultstorageconfig", "backupstorageconfig/read", READERS),
        ("PUT", "backupstorageconfig/vaultstorageconfig", "backupstorageconfig/write", CONTRIBUTORS),
        (
            "GET",
            "backupEncryptionConfigs/backupResourceEncryptionConfig",
            "backupEncryptionConfigs/read",
            READERS,
        ),
        ("GET", "backupResourceGuardProxies", "backupResourceGuardProxies/read", READERS),
        ("DELETE", "backupPolicies/None", "backupPolicies/delete", CONTRIBUTORS),
        ("GET", "backupProtectableItems", "backupProtectableItems/read", READERS),
        ("GET", "backupProtectedItems", "backupProtectedItems/read", READERS),
        ("GET", "backupProtectionContainers", "backupProtectionContainers/read", READERS),
        (
            "POST",
            "backupFabrics/Azure/refreshContainers",
            "backupFabrics/refreshContainers/action",
            OPERATORS,
        ),
        ("GET", "backupJobs", "backupJobs/read", READERS),
        ("GET", "backupJobs/7", "backupJobs/read", READERS),
        ("POST", "backupJobs/7/cancel", "backupJobs/cancel/action", OPERATORS),
        ("GET", "backupOperations/7", "backupOperations/read", READERS),
    ] {
        let body = if matches!(method, "PUT" | "PATCH") { empty() } else { Value::Null };
        cases.push(case(method, format!("{vault}/{path}"), body, &format!("{VAULTS}/{action}"), roles));
    }
    let policies = format!("{vault}/backupPolicies");
    cases.extend([
        case("GET", policies.clone(), none.clone(), &format!("{VAULTS}/backupPolicies/read"), &and_machines(READERS)),
        case(
            "PUT",
            format!("{policies}/DefaultPolicy"),
            empty(),
            &format!("{VAULTS}/backupPolicies/write"),
            &and_machines(CONTRIBUTORS),
        ),
        case("GET", machine_id("web"), none.clone(), "Microsoft.Compute/virtualMachines/read", &and_machines(READERS)),
        case("PUT", machine_id("db"), empty(), "Microsoft.Compute/virtualMachines/write", &[OWNER, CONTRIBUTOR, MACHINES]),
        case("DELETE", machine_id("db"), none.clone(), "Microsoft.Compute/virtualMachines/delete", &[OWNER, CONTRIBUTOR, MACHINES]),
        case(
            "GET",
            format!("{}/providers/Microsoft.Storage/storageAccounts/default", group_id("default")),
            none.clone(),
            "Microsoft.Storage/storageAccounts/read",
            &and_machines(READERS),
        ),
        case(
            "POST",
            format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.RecoveryServices/locations/local/backupStatus"),
            json!({"resourceType": "VM", "resourceId": machine_id("web")}),
            "Microsoft.RecoveryServices/locations/backupStatus/action",
            &[OWNER, CONTRIBUTOR, BACKUP_CONTRIBUTOR, OPERATOR, BACKUP_READER, MACHINES],
        ),
    ]);
    cases
}

#[test]
fn every_role_has_its_rights_and_no_others() {
    let world = World::new();
    let token = world.backup_vault();
    world.protect(&token, "web");
    let tester = world.client("tester");
    for role in std::iter::once(None).chain(ALL.iter().copied().map(Some)) {
        let assignment =
            role.map(|role| world.assign(&tester, role, &format!("/subscriptions/{SUBSCRIPTION}")));
        let token = world.arm_token(&tester);
        for case in cases() {
            let request = world.arm(case.method, &case.target).token(&token);
            let reply = if case.body.is_null() { request.send() } else { request.json(&case.body).send() };
            let what = format!("{role:?}: {} {}: {reply:?}", case.method, case.target);
            if role.is_some_and(|role| case.roles.contains(&role)) {
                // What was sent is refused for another reason, or done; a second right is named where one is missing.
                let lacks = reply.status == 403 && reply.message().contains(&format!("'{}'", case.action));
                assert!(!lacks, "{what}");
            } else {
                assert_eq!((reply.status, reply.code()), (403, "AuthorizationFailed"), "{what}");
                assert!(reply.message().contains(&format!("'{}'", case.action)), "{what}");
            }
        }
        if let Some(assignment) = assignment {
            world.directory.unassign(&actor(), &assignment).unwrap().unwrap();
        }
    }
}

/// Whoever has a machine protected has its disks read: it takes the right to change the machine. And whoever may not
/// remove backups may not stop them.
#[test]
fn protecting_takes_two_rights_and_stopping_that_of_removing() {
    let world = World::new();
    world.backup_vault();
    world.make_machine("web");
    let tester = world.client("tester");
    world.assign(&tester, OPERATOR, &recovery_vault_id("bv"));
    let token = world.arm_token(&tester);
    let item = item_id("web");
    let put = |body: &Value| world.arm("PUT", &item).token(&token).json(body).send();
    let enable = protection_body("web", "DefaultPolicy");
    let refusal = put(&enable).refused(403, "AuthorizationFailed");
    assert!(refusal.message().contains("'Microsoft.Compute/virtualMachines/write'"), "{refusal:?}");
    assert!(refusal.message().contains(&machine_id("web")), "{refusal:?}");
    world.assign(&tester, MACHINES, &machine_id("web"));
    put(&enable).expect(202);

    let mut stop = enable.clone();
    stop["properties"]["policyId"] = json!("");
    stop["properties"]["protectionState"] = json!("ProtectionStopped");
    let refusal = put(&stop).refused(403, "AuthorizationFailed");
    assert!(refusal.message().contains(&format!("'{ITEMS}/delete'")), "{refusal:?}");
    let delete = || world.arm("DELETE", &item).token(&token).send();
    delete().refused(403, "AuthorizationFailed");
    world.assign(&tester, BACKUP_CONTRIBUTOR, &recovery_vault_id("bv"));
    put(&stop).expect(202);
    delete().expect(202);
}
