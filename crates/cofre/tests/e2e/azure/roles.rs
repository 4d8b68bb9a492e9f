//! `az role`, and what roles allow with resources and in key vaults.

use serde_json::json;

use super::{Az, Service, texts};

#[test]
fn roles() {
    let service = Service::start();
    let az = service.operator_az();
    let (location, subscription) = (service.fact("location"), service.subscription());
    let night = service.principal("night-shift");
    az.done(&format!("keyvault create -g default -n kv1 -l {location}"));
    let kv1 = format!("{subscription}/resourceGroups/default/providers/Microsoft.KeyVault/vaults/kv1");

    let names = az.json("role definition list --query [].roleName");
    for role in ["Owner", "Reader", "Backup Operator", "Key Vault Secrets User"] {
        assert!(texts(&names).contains(&role), "{names:#}");
    }
    let reader = az.json("role definition list -n Reader");
    assert_eq!(reader[0]["permissions"][0]["actions"], json!(["*/read"]));
    let id = reader[0]["name"].as_str().unwrap();
    let shown = az.json(&format!("role definition show --name {id} --scope {subscription}"));
    assert_eq!(shown["roleName"], "Reader");

    // Who has no role gets in and finds nothing.
    let other = service.az("night-shift");
    let line = format!("login --service-principal -u {} --password={}", night.client, night.secret);
    let line = format!("{line} --tenant {}", service.fact("tenantId"));
    other.refused(&line, 1, &["No subscriptions found"]);

    // A role on the subscription is a role on all that is below it: seeing, not changing.
    let line =
        format!("role assignment create --assignee-object-id {} --assignee-principal-type", night.object);
    let made = az.json(&format!("{line} ServicePrincipal --role Reader --scope {subscription}"));
    assert_eq!((&made["principalId"], &made["scope"]), (&json!(night.object), &json!(subscription)));
    assert!(made["roleDefinitionId"].as_str().unwrap().ends_with(id), "{made:#}");
    other.login(&night);
    assert_eq!(other.json("keyvault list --query [].name"), json!(["kv1"]));
    for (line, action) in [
        (
            format!("group create -n rg1 -l {location}"),
            "Microsoft.Resources/subscriptions/resourceGroups/write",
        ),
        (
            "group delete -n default --yes".to_owned(),
            "Microsoft.Resources/subscriptions/resourceGroups/delete",
        ),
        (format!("keyvault create -g default -n kv2 -l {location}"), "Microsoft.KeyVault/vaults/write"),
        ("keyvault delete -n kv1".to_owned(), "Microsoft.KeyVault/vaults/delete"),
        (
            format!("role assignment create --assignee {} --role Owner --scope {subscription}", night.client),
            "Microsoft.Authorization/roleAssignments/write",
        ),
    ] {
        other.refused(&line, 1, &["AuthorizationFailed", action, &night.client]);
    }
    data(&service, &az, &other, &kv1);
    assignments(&service, &az, &kv1, &night);
}

/// Roles about data, on one vault of the role-based model.
fn data(service: &Service, az: &Az<'_>, other: &Az<'_>, kv1: &str) {
    let set = "keyvault secret set --vault-name kv1 -n s --value x";
    let show = "keyvault secret show --vault-name kv1 -n s --query value";
    // To own the vault is not to see what is in it.
    az.refused(set, 1, &["Forbidden", "lacks secrets/set on the key vault kv1: assign a role"]);
    let operator = service.operator();
    let night = service.cofre("principal show --name night-shift");
    let night = night["applicationId"].as_str().unwrap();
    let assign = |who: &str, role: &str| {
        az.json(&format!("role assignment create --assignee {who} --role '{role}' --scope {kv1}"))
    };
    assign(&operator.client, "Key Vault Secrets Officer");
    az.done(set);
    other.refused(show, 1, &["lacks secrets/get"]);
    assign(night, "Key Vault Secrets User");
    assert_eq!(other.json(show), "x");
    other.refused(set, 1, &["lacks secrets/set"]);
    other.refused("keyvault key list --vault-name kv1", 1, &["lacks keys/list"]);
    assign(night, "Key Vault Crypto Officer");
    other.done("keyvault key create --vault-name kv1 -n kek");
    az.done(&format!(
        "role assignment delete --assignee {night} --role 'Key Vault Secrets User' --scope {kv1}"
    ));
    other.refused(show, 1, &["lacks secrets/get"]);
    other.done("keyvault key show --vault-name kv1 -n kek");
}

fn assignments(service: &Service, az: &Az<'_>, kv1: &str, night: &super::service::Login) {
    let list = |what: &str| {
        let found = az.json(&format!("role assignment list {what} --query [].roleDefinitionName"));
        let mut names: Vec<String> = texts(&found).into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names.join(", ")
    };
    let (client, object) = (&night.client, &night.object);
    assert_eq!(list(""), "Owner, Reader");
    assert_eq!(list(&format!("--scope {kv1}")), "Key Vault Crypto Officer, Key Vault Secrets Officer");
    assert_eq!(list(&format!("--assignee {client} --all")), "Key Vault Crypto Officer, Reader");
    assert_eq!(
        list(&format!("--assignee {object} --scope {kv1} --include-inherited")),
        "Key Vault Crypto Officer, Reader"
    );
    assert_eq!(list(&format!("--assignee {client} --role Reader")), "Reader");
    let mine = az.json(&format!("role assignment list --assignee {client} --query [].principalName"));
    assert_eq!(mine, json!([client]));

    // The same again is one; what is not there cannot be had.
    let again = format!(
        "role assignment create --assignee {client} --role Reader --scope {}",
        service.subscription()
    );
    az.done(&again);
    assert_eq!(list(&format!("--assignee {client}")), "Reader");
    az.refused(&again.replace("Reader", "Nonsense"), 1, &["'Nonsense' doesn't exist"]);
    let nobody = "44444444-4444-4444-4444-444444444444";
    az.refused(&again.replace(client.as_str(), nobody), 1, &["Cannot find user or service principal"]);
    az.refused(&again.replace(client.as_str(), "night-shift"), 1, &["Cannot find user or service principal"]);

    let scope = service.subscription();
    az.done(&format!("role assignment delete --assignee-object-id {object} --role Reader --scope {scope}"));
    assert_eq!(list(""), "Owner");
    let ids = az.json(&format!("role assignment list --assignee {client} --all --query [].id"));
    az.done(&format!("role assignment delete --ids {}", texts(&ids).join(" ")));
    assert_eq!(list(&format!("--assignee {client} --all")), "");
    let shown = az.json(&format!("ad sp show --id {client}"));
    assert_eq!((&shown["id"], &shown["displayName"]), (&json!(object), &json!("night-shift")));
}
