//! Containers, protected items, and whether a machine is protected.

use cofre_arm::{ApiError, ResourceId};
use cofre_recovery::item::ProtectedItem;
use serde::Deserialize;
use serde_json::json;

use super::{
    READ_VAULT, Visit,
    item_json::{container_json, item_json},
    policies::of_machines,
};
use crate::{
    app::{App, Session},
    arm::{compute, filter::Filter, key_vaults, paging},
    http::{Answer, Call, Refusal},
};

/// Items of a page.
const PAGE: usize = 200;

fn eq(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
}

/// `GET …/backupProtectionContainers`, and `…/backupDeletedProtectionContainers` with those alone whose data were deleted.
pub(super) fn containers(
    visit: &Visit<'_>,
    of_list: impl Fn(&ProtectedItem) -> bool,
) -> Result<Answer, Refusal> {
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?.only(&[
        "backupManagementType",
        "friendlyName",
        "status",
        "workloadType",
        "fabricName",
    ])?;
    let after = paging::position(visit.call)?;
    if !of_machines(&filter) || !eq(filter.get("status"), "Registered") {
        return Ok(paging::page(visit.call, Vec::new(), None));
    }
    let page = visit.recovery.items_page(&visit.vault.id, after.as_deref(), PAGE, |item| {
        of_list(item) && eq(filter.get("friendlyName"), &item.friendly_name)
    })?;
    let shown = page.items.iter().map(|item| container_json(visit, item)).collect();
    Ok(paging::page(visit.call, shown, page.next.as_deref()))
}

/// `GET …/protectionContainers/C`.
pub(super) fn container(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let container =
        visit.vault.id.child("backupFabrics", "Azure")?.child("protectionContainers", visit.segment(3))?;
    let found = visit.recovery.item_below(&container)?.ok_or_else(|| {
        let message = format!("the vault {} has no container {}", visit.vault.id.name(), container.name());
        ApiError::new(cofre_arm::Problem::NotFound, message)
    })?;
    Ok(Answer::ok(&container_json(visit, &found)))
}

/// `GET …/backupProtectedItems`.
pub(super) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?.only(&[
        "backupManagementType",
        "itemType",
        "workloadType",
        "fabricName",
        "policyName",
        "friendlyName",
        "containerName",
    ])?;
    let after = paging::position(visit.call)?;
    if !of_machines(&filter) {
        return Ok(paging::page(visit.call, Vec::new(), None));
    }
    let container =
        filter.get("containerName").map(|name| format!("{}/protecteditems/", name.to_lowercase()));
    let page = visit.recovery.items_page(&visit.vault.id, after.as_deref(), PAGE, |item| {
        let policy = item.active_policy().map(ResourceId::name).unwrap_or_default();
        eq(filter.get("policyName"), policy)
            && eq(filter.get("friendlyName"), &item.friendly_name)
            && container.as_ref().is_none_or(|container| item.id.key().contains(container))
    })?;
    let latest = visit.recovery.latest_points(page.items.iter().map(|item| &item.id))?;
    let shown = page.items.iter().map(|item| item_json(visit, item, latest.get(&item.id.key()).copied()));
    Ok(paging::page(visit.call, shown.collect(), page.next.as_deref()))
}

/// `GET …/protectedItems/I`.
pub(super) fn show(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let item = visit.recovery.item(item)?;
    let latest = visit.recovery.latest_points([&item.id])?.into_values().next();
    Ok(Answer::ok(&item_json(visit, &item, latest)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody {
    resource_type: Option<String>,
    resource_id: String,
}

/// `POST …/locations/L/backupStatus`: which vault protects a machine, told to those who may see the machine, and of the
/// vault to those who may see that.
pub(super) fn status(app: &App, call: &Call, session: &Session, named: &str) -> Result<Answer, Refusal> {
    session.authorize(
        "Microsoft.RecoveryServices/locations/backupStatus/action",
        &app.parts.directory.subscription_scope(),
    )?;
    key_vaults::location(app, named)?;
    let body: StatusBody = call.json()?;
    if body.resource_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("VM")) {
        return Err(ApiError::invalid("resourceType is VM: nothing else is backed up").into());
    }
    let machine: ResourceId = body.resource_id.parse()?;
    session.authorize(compute::read_action(&machine), machine.as_str())?;
    let recovery = &app.parts.recovery;
    let item = recovery.protecting(&machine)?.map(|item| recovery.item(&item)).transpose()?;
    let item = item.filter(|item| session.may(READ_VAULT, item.vault_id.as_str()));
    let mut answer = json!({
        "protectionStatus": "NotProtected",
        "vaultId": "",
        "fabricName": "",
        "containerName": "",
        "protectedItemName": "",
        "policyName": "",
        "registrationStatus": "NotRegistered",
        "errorCode": "Success",
        "errorMessage": "",
    });
    if let Some(item) = item {
        let container = item.id.as_str().split('/').rev().nth(2).unwrap_or_default();
        answer["protectionStatus"] = json!("Protected");
        answer["vaultId"] = json!(item.vault_id);
        answer["fabricName"] = json!("Azure");
        answer["containerName"] = json!(container);
        answer["protectedItemName"] = json!(item.id.name());
        answer["policyName"] = json!(item.active_policy().map(ResourceId::name).unwrap_or_default());
        answer["registrationStatus"] = json!("Registered");
    }
    Ok(Answer::ok(&answer))
}
