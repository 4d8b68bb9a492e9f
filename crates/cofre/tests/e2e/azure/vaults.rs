//! `az keyvault`: vaults as resources.

use serde_json::json;

use super::{Service, texts};

const STRANGER: &str = "44444444-4444-4444-4444-444444444444";

#[test]
fn vaults() {
    let service = Service::start();
    let az = service.operator_az();
    let location = service.fact("location");
    let create = |rest: &str| format!("keyvault create -g default -l {location} {rest}");

    // The permission model of roles unless it is said otherwise; with policies the caller gets everything.
    let kv1 = az.json(&create("-n kv1"));
    let id = format!("{}/resourceGroups/default/providers/Microsoft.KeyVault/vaults", service.subscription());
    assert_eq!((&kv1["id"], &kv1["location"]), (&json!(format!("{id}/kv1")), &json!(location)));
    let properties = &kv1["properties"];
    assert_eq!(properties["vaultUri"], format!("{}/", service.vault_url("kv1")));
    assert_eq!(properties["tenantId"], service.fact("tenantId"));
    assert_eq!(properties["sku"], json!({"family": "A", "name": "standard"}));
    assert_eq!(
        (&properties["enableRbacAuthorization"], &properties["accessPolicies"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(
        (&properties["softDeleteRetentionInDays"], &properties["enablePurgeProtection"]),
        (&json!(90), &json!(null))
    );
    let kv2 = az.json(&create(
        "-n kv2 --enable-rbac-authorization false --retention-days 7 --enable-purge-protection true \
         --enabled-for-disk-encryption true --tags a=b",
    ));
    let properties = &kv2["properties"];
    assert_eq!((&properties["enableRbacAuthorization"], &kv2["tags"]), (&json!(false), &json!({"a": "b"})));
    assert_eq!(properties["enabledForDiskEncryption"], true);
    assert_eq!(
        (&properties["softDeleteRetentionInDays"], &properties["enablePurgeProtection"]),
        (&json!(7), &json!(true))
    );
    let policy = &properties["accessPolicies"][0];
    assert_eq!(policy["objectId"], service.operator().object);
    assert!(texts(&policy["permissions"]["keys"]).contains(&"unwrapKey"), "{policy:#}");

    // Looking, by name with and without the group.
    assert_eq!(az.json("keyvault show -g default -n kv2"), kv2);
    assert_eq!(az.json("keyvault show -n kv2"), kv2);
    az.refused("keyvault show -n kv3", 1, &["'kv3' not found"]);
    az.refused("keyvault show -g default -n kv3", 3, &["ResourceNotFound"]);
    assert_eq!(az.json("keyvault list --query [].name"), json!(["kv1", "kv2"]));
    assert_eq!(az.json("keyvault list -g default --query [].name"), json!(["kv1", "kv2"]));
    az.done("keyvault wait -n kv1 --exists");

    // Names that are taken, and wishes that cannot be had.
    az.refused(&create("-n kv1"), 1, &["kv1 already exists"]);
    az.refused(&create("-n 1bad"), 1, &["InvalidParameter", "3 to 24 letters"]);
    az.refused("keyvault create -g default -n kv3 -l mars", 1, &["InvalidParameter", "mars"]);
    az.refused("keyvault create -g nowhere -n kv3", 2, &["'nowhere' could not be found"]);
    az.refused(&create("-n kv3 --retention-days 5"), 1, &["7"]);

    // Changing.
    let changed = az.json("keyvault update -n kv1 --enabled-for-deployment true --set tags.c=d");
    assert_eq!(
        (&changed["tags"], &changed["properties"]["enabledForDeployment"]),
        (&json!({"c": "d"}), &json!(true))
    );
    az.refused("keyvault update -n kv2 --retention-days 9", 1, &["set to 7 when it was made"]);
    az.refused("keyvault update -n kv2 --enable-purge-protection false", 1, &["protection"]);

    policies(&service, &az);
    deletion(&service, &az);
}

fn policies(service: &Service, az: &super::Az<'_>) {
    let operator = service.operator();
    let set = |who: &str| format!("keyvault set-policy -n kv2 {who} --query properties.accessPolicies");
    az.refused(
        &format!("keyvault set-policy -n kv1 --object-id {STRANGER} --key-permissions get"),
        1,
        &["rbac"],
    );
    let both = az.json(&set(&format!(
        "--object-id {STRANGER} --key-permissions get backup --secret-permissions list"
    )));
    assert_eq!(both.as_array().unwrap().len(), 2, "{both:#}");
    assert_eq!((&both[0]["objectId"], &both[1]["objectId"]), (&json!(operator.object), &json!(STRANGER)));
    assert_eq!(both[1]["permissions"]["keys"], json!(["get", "backup"]));
    assert_eq!(both[1]["permissions"]["secrets"], json!(["list"]));

    // An application id is found in the directory.
    let night = service.principal("night-shift");
    let three = az.json(&set(&format!("--spn {} --secret-permissions get", night.client)));
    assert_eq!(
        (&three[2]["objectId"], &three[2]["permissions"]["secrets"]),
        (&json!(night.object), &json!(["get"]))
    );
    let without = |who: &str| {
        az.json(&format!("keyvault delete-policy -n kv2 {who} --query properties.accessPolicies[].objectId"))
    };
    assert_eq!(without(&format!("--spn {}", night.client)), json!([operator.object, STRANGER]));
    assert_eq!(without(&format!("--object-id {STRANGER}")), json!([operator.object]));
    az.refused(
        &format!("keyvault set-policy -n kv2 --spn {STRANGER} --key-permissions get"),
        1,
        &["Unable to get object id"],
    );
}

fn deletion(service: &Service, az: &super::Az<'_>) {
    let location = service.fact("location");
    assert_eq!(az.json("keyvault list-deleted"), json!([]));
    az.done("keyvault delete -n kv1");
    az.done("keyvault delete -g default -n kv2");
    assert_eq!(az.json("keyvault list --query [].name"), json!([]));
    assert_eq!(az.json("keyvault list-deleted --query [].name"), json!(["kv1", "kv2"]));
    let gone = az.json("keyvault show-deleted -n kv2");
    let properties = &gone["properties"];
    let id =
        format!("{}/resourceGroups/default/providers/Microsoft.KeyVault/vaults/kv2", service.subscription());
    assert_eq!((&properties["vaultId"], &properties["purgeProtectionEnabled"]), (&json!(id), &json!(true)));
    assert!(properties["scheduledPurgeDate"].as_str() > properties["deletionDate"].as_str(), "{gone:#}");
    az.refused("keyvault show-deleted -n kv3", 1, &["No deleted Vault", "kv3"]);

    // A deleted vault keeps its name.
    let held = format!("keyvault create -g default -n kv1 -l {location}");
    az.refused(&held, 1, &["Conflict", "held by a deleted key vault", "recover it, or purge it"]);
    az.refused(&format!("keyvault purge -n kv2 -l {location}"), 1, &["protected against purging"]);
    az.done("keyvault recover -n kv2");
    assert_eq!(az.json("keyvault show -n kv2 --query tags"), json!({"a": "b"}));
    az.done("keyvault purge -n kv1");
    assert_eq!(az.json("keyvault list-deleted --resource-type vault"), json!([]));
    assert_eq!(az.json(&held)["properties"]["provisioningState"], "Succeeded");
}
