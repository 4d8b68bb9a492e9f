//! The subscription there is, and what clients ask about it.

use cofre_arm::ResourceId;
use cofre_keyvault::PageRequest;
use serde_json::{Value, json};

use super::{compute, filter::Filter, only, recovery_services, vault_json};
use crate::{
    app::{App, Session},
    http::{Answer, Call, Method, Refusal},
};

/// Resource types by provider.
const TYPES: &[(&str, &[&str])] = &[
    ("Microsoft.Authorization", &["roleAssignments", "roleDefinitions"]),
    ("Microsoft.ClassicCompute", &["virtualMachines"]),
    ("Microsoft.Compute", &["virtualMachines"]),
    ("Microsoft.KeyVault", &["vaults", "deletedVaults", "locations/deletedVaults", "checkNameAvailability"]),
    ("Microsoft.RecoveryServices", &["vaults", "vaults/backupPolicies", "locations/backupStatus"]),
    ("Microsoft.Resources", &["subscriptions", "resourceGroups", "resources"]),
    ("Microsoft.Storage", &["storageAccounts"]),
];

/// `GET /tenants`.
pub(super) fn tenants(app: &App, call: &Call) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let tenant = app.parts.directory.tenant();
    let tenant = json!({"id": format!("/tenants/{tenant}"), "tenantId": tenant, "displayName": "cofre"});
    Ok(Answer::ok(&json!({"value": [tenant]})))
}

fn subscription(app: &App) -> Value {
    let directory = &app.parts.directory;
    json!({
        "id": directory.subscription_scope(),
        "subscriptionId": directory.subscription(),
        "tenantId": directory.tenant(),
        "displayName": "cofre",
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "", "quotaId": "", "spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    })
}

/// `GET /subscriptions`: empty for those who have no role in it.
pub(super) fn list(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let has_role = session.directory.assignments_of(&session.identity.object_id).next().is_some();
    let value: Vec<_> = has_role.then(|| subscription(app)).into_iter().collect();
    Ok(Answer::ok(&json!({"value": value, "count": {"type": "Total", "value": value.len()}})))
}

/// `GET /subscriptions/S`.
pub(super) fn show(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    session.authorize("Microsoft.Resources/subscriptions/read", &app.parts.directory.subscription_scope())?;
    Ok(Answer::ok(&subscription(app)))
}

/// `GET …/locations`.
pub(super) fn locations(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let scope = app.parts.directory.subscription_scope();
    session.authorize("Microsoft.Resources/subscriptions/read", &scope)?;
    let name = &app.parts.location;
    Ok(Answer::ok(&json!({"value": [{
        "id": format!("{scope}/locations/{name}"),
        "name": name,
        "type": "Region",
        "displayName": name,
        "regionalDisplayName": name,
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": name},
    }]})))
}

/// `GET …/providers` and `…/providers/N`.
pub(super) fn providers(
    app: &App,
    call: &Call,
    session: &Session,
    namespace: Option<&str>,
) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let scope = app.parts.directory.subscription_scope();
    session.authorize("Microsoft.Resources/subscriptions/read", &scope)?;
    let provider = |(namespace, types): &(&str, &[&str])| {
        let of_type = |name: &&str| json!({"resourceType": name, "locations": [app.parts.location], "apiVersions": ["2024-11-01"]});
        json!({
            "id": format!("{scope}/providers/{namespace}"),
            "namespace": namespace,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationFree",
            "resourceTypes": types.iter().map(of_type).collect::<Vec<_>>(),
        })
    };
    match namespace {
        None => Ok(Answer::ok(&json!({"value": TYPES.iter().map(provider).collect::<Vec<_>>()}))),
        Some(wanted) => TYPES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|found| Answer::ok(&provider(found)))
            .ok_or_else(|| Refusal::no_such_path(&format!("{scope}/providers/{wanted}"))),
    }
}

/// `GET …/resources`: key vaults, machines and vaults, as far as the caller may read them. Commands that name one without its
/// group look for it here.
pub(super) fn resources(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let filter = Filter::parse(call.target.query.get("$filter"))?.only(&[
        "resourceType",
        "name",
        "location",
        "resourceGroup",
    ])?;
    let mut found = Vec::new();
    let mut add = |action: &str, mut resource: Value| {
        let text = |name: &str| resource[name].as_str().unwrap_or_default();
        let id = text("id").parse::<ResourceId>().ok();
        let group = id.as_ref().and_then(ResourceId::resource_group).unwrap_or_default();
        let is = |name: &str, value: &str| {
            filter.get(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let wanted = is("resourceType", text("type"))
            && is("name", text("name"))
            && is("location", text("location"))
            && is("resourceGroup", group);
        if wanted && session.may(action, text("id")) {
            if let Some(fields) = resource.as_object_mut() {
                fields.remove("properties");
            }
            found.push(resource);
        }
    };
    let mut after = None::<String>;
    loop {
        let request = PageRequest { after: after.as_deref(), limit: 250 };
        let page = app.parts.key_vaults.list_vaults(request).map_err(crate::keyvault::management_error)?;
        for vault in &page.items {
            add("Microsoft.KeyVault/vaults/read", vault_json(vault, &app.parts.addresses));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for machine in app.parts.recovery.machines()? {
        add(compute::read_action(&machine.id), compute::machine_json(&machine));
    }
    for vault in app.parts.recovery.vaults()? {
        add(recovery_services::READ_VAULT, recovery_services::vault_json(&vault));
    }
    Ok(Answer::ok(&json!({"value": found, "nextLink": null})))
}
