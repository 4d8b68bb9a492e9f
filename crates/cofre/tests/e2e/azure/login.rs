//! Who gets in, and what there is: logins, clouds, subscriptions, groups, resources.

use serde_json::json;

use super::{Az, Service, texts};

const ISSUER: &str = "https://ci.example.com";
const SUBJECT: &str = "repo:main";

#[test]
fn logins() {
    let service = Service::start();
    let night = service.principal("night-shift");
    service.cofre("role assignment create --assignee night-shift --role Reader");
    let az = service.az("night-shift");
    let begin =
        format!("login --service-principal -u {} --tenant {}", night.client, service.fact("tenantId"));
    let refused =
        |what: &str| az.refused(&format!("{begin} {what}"), 1, &["The client is not known, or its secret"]);

    // By secret.
    refused("-p wrong");
    az.refused("group list", 1, &["az login"]);
    let account = az.json(&format!("{begin} --password={}", night.secret));
    assert_eq!(account[0]["user"], json!({"name": night.client, "type": "servicePrincipal"}));
    az.done("logout");
    az.refused("group list", 1, &["az login"]);

    // By certificate and by a token of another issuer: not before they are known.
    let audience = "api://AzureADTokenExchange";
    let folder = service.path("");
    let args = [folder.as_os_str(), ISSUER.as_ref(), SUBJECT.as_ref(), audience.as_ref()];
    service.python("credentials.py", &args).expect(0);
    let token = |name: &str| std::fs::read_to_string(service.path(name)).unwrap();
    let certificate = "--certificate certificate-and-key.pem";
    let federated = format!("--federated-token {}", token("token.jwt"));
    refused(certificate);
    refused(&federated);
    let added = service.cofre("principal credential add --name night-shift --certificate certificate.pem");
    let line = format!(
        "principal credential add --name night-shift --issuer {ISSUER} --subject {SUBJECT} --keys jwks.json"
    );
    service.cofre(&line);
    for how in [certificate, &federated] {
        let account = az.json(&format!("{begin} {how}"));
        assert_eq!(account[0]["id"], service.fact("subscriptionId"), "{how}");
        assert_eq!(az.json("group list --query [].name"), json!(["default"]), "{how}");
        az.done("account clear");
    }
    refused(&format!("--federated-token {}", token("stale.jwt")));

    // A credential that is taken away ends the logins it gave.
    az.done(&format!("{begin} {certificate}"));
    let id = added["id"].as_str().unwrap();
    service.cofre(&format!("principal credential remove --name night-shift --id {id}"));
    // What another process did counts after half a second at the latest (docs/serve.md).
    std::thread::sleep(std::time::Duration::from_millis(500));
    az.refused("group list", 1, &["AuthenticationFailed"]);
    az.done("account clear");
    refused(certificate);
}

#[test]
fn subscriptions_and_groups() {
    let service = Service::start();
    let az = service.operator_az();
    let subscription = service.fact("subscriptionId");
    cloud_and_account(&service, &az);

    let location = service.fact("location");
    let made = az.json(&format!("group create -n rg1 -l {location} --tags team=a"));
    let id = format!("/subscriptions/{subscription}/resourceGroups/rg1");
    let shown = json!({
        "id": id, "location": location, "managedBy": null, "name": "rg1", "tags": {"team": "a"},
        "properties": {"provisioningState": "Succeeded"}, "type": "Microsoft.Resources/resourceGroups",
    });
    assert_eq!(made, shown);
    assert_eq!(az.json("group show -n RG1"), shown);
    assert_eq!(az.json("group exists -n rg1"), true);
    assert_eq!(az.json("group exists -n rg2"), false);
    az.refused("group show -n rg2", 3, &["Resource group 'rg2' could not be found"]);
    assert_eq!(az.json("group update -n rg1 --set tags.more=b")["tags"], json!({"team": "a", "more": "b"}));
    assert_eq!(az.json("group list --query [].name"), json!(["default", "rg1"]));
    assert_eq!(az.json("group list --tag more=b --query [].name"), json!(["rg1"]));
    az.refused("group create -n rg2 -l mars", 1, &["InvalidParameter", "mars"]);

    // What is in a group is listed, and goes with it.
    assert_eq!(az.json("resource list"), json!([]));
    az.done(&format!("keyvault create -g rg1 -n kv1 -l {location} --tags a=b"));
    let resources = az.json("resource list");
    assert_eq!(resources.as_array().unwrap().len(), 1, "{resources:#}");
    let kv1 = &resources[0];
    assert_eq!(kv1["id"], format!("{id}/providers/Microsoft.KeyVault/vaults/kv1"));
    assert_eq!((&kv1["type"], &kv1["tags"]), (&json!("Microsoft.KeyVault/vaults"), &json!({"a": "b"})));
    for (filter, count) in [
        ("-g rg1", 1),
        ("-g default", 0),
        ("-n kv1", 1),
        ("--resource-type Microsoft.KeyVault/vaults", 1),
        ("--resource-type Microsoft.Compute/disks", 0),
    ] {
        let found = az.json(&format!("resource list {filter}"));
        assert_eq!(found.as_array().unwrap().len(), count, "{filter}: {found:#}");
    }
    az.done("group delete -n rg1 --yes");
    assert_eq!(az.json("group exists -n rg1"), false);
    assert_eq!(az.json("keyvault list-deleted --resource-type vault --query [].name"), json!(["kv1"]));
    az.refused("group delete -n rg1 --yes", 3, &["could not be found"]);
}

fn cloud_and_account(service: &Service, az: &Az<'_>) {
    let (subscription, tenant, arm) =
        (service.fact("subscriptionId"), service.fact("tenantId"), service.fact("armEndpoint"));
    let cloud = az.json("cloud show -n Cofre");
    assert_eq!(cloud["isActive"], true);
    assert_eq!(cloud["endpoints"]["resourceManager"], arm);
    assert_eq!(cloud["endpoints"]["activeDirectory"], format!("{arm}/adfs"));
    assert!(texts(&az.json("cloud list --query [].name")).contains(&"Cofre"));

    let account = az.json("account show");
    assert_eq!((&account["id"], &account["tenantId"]), (&json!(subscription), &json!(tenant)));
    assert_eq!((&account["state"], &account["environmentName"]), (&json!("Enabled"), &json!("Cofre")));
    assert_eq!(az.json("account list --query [].id"), json!([subscription]));
    let location = service.fact("location");
    assert_eq!(az.json("account list-locations --query [].name"), json!([location]));
    assert_eq!(az.json("account get-access-token")["subscription"], subscription);
    assert_eq!(az.json("provider show -n Microsoft.KeyVault")["registrationState"], "Registered");
    assert!(texts(&az.json("provider list --query [].namespace")).contains(&"Microsoft.KeyVault"));
}
