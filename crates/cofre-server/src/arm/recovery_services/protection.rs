//! What a vault protects: what it could, and how that changes.

use cofre_arm::{ApiError, Problem, ResourceId, Result as ApiResult, names};
use cofre_compute::VirtualMachine;
use cofre_recovery::{
    item::{ProtectedItem, ProtectionState},
    job::Finished,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Visit, accepted::accepted, policies::of_machines};
use crate::{
    arm::{compute, filter::Filter, paging},
    directory::new_guid,
    http::{Answer, Refusal},
};

/// Machines of a page.
const PAGE: usize = 200;

/// Whoever may not delete what is protected may not stop its protection either.
const STOP: &str =
    "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/delete";

#[derive(Debug, Deserialize)]
struct ItemBody {
    properties: ItemProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemProperties {
    protected_item_type: Option<String>,
    policy_id: Option<String>,
    source_resource_id: Option<String>,
    protection_state: Option<String>,
    is_rehydrate: Option<bool>,
    extended_properties: Option<ExtendedProperties>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExtendedProperties {
    disk_exclusion_properties: Option<Value>,
}

/// `GET …/backupProtectableItems`: machines of the vault's region that nothing protects, as far as the caller may see
/// them.
pub(super) fn protectable(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?.only(&[
        "backupManagementType",
        "workloadType",
        "friendlyName",
        "protectionState",
    ])?;
    let after = paging::position(visit.call)?;
    let state = filter.get("protectionState");
    let any = of_machines(&filter) && state.is_none_or(|state| state.eq_ignore_ascii_case("NotProtected"));
    if !any {
        return Ok(paging::page(visit.call, Vec::new(), None));
    }
    let page = visit.recovery.unprotected_machines_page(after.as_deref(), PAGE, |machine| {
        machine.location.eq_ignore_ascii_case(&visit.vault.location)
            && filter.get("friendlyName").is_none_or(|name| name.eq_ignore_ascii_case(machine.name()))
            && visit.session.may(compute::read_action(&machine.id), machine.id.as_str())
    })?;
    let shown = page.items.iter().map(|machine| protectable_json(visit, machine)).collect();
    Ok(paging::page(visit.call, shown, page.next.as_deref()))
}

fn protectable_json(visit: &Visit<'_>, machine: &VirtualMachine) -> Value {
    let group = machine.id.resource_group().unwrap_or_default();
    let (container, item) = (names::container(group, machine.name()), names::item(group, machine.name()));
    let classic = machine.id.is_kind(names::CLASSIC_VIRTUAL_MACHINE);
    let kind = if classic { names::CLASSIC_VIRTUAL_MACHINE } else { names::VIRTUAL_MACHINE };
    json!({
        "id": format!(
            "{}/backupFabrics/Azure/protectionContainers/{container}/protectableItems/{item}",
            visit.vault.id
        ),
        "name": super::item_json::short_name(&container),
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectableItems",
        "properties": {
            "protectableItemType": kind,
            "virtualMachineId": machine.id,
            "virtualMachineVersion": if classic { "Classic" } else { "Compute" },
            "resourceGroup": group,
            "friendlyName": machine.name(),
            "backupManagementType": "AzureIaasVM",
            "workloadType": "VM",
            "protectionState": "NotProtected",
        },
    })
}

/// `POST …/backupFabrics/Azure/refreshContainers`: there is nothing to be looked for, since machines are told of.
pub(super) fn refresh(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let operation = new_guid()?;
    let location =
        format!("{}{}/backupFabrics/Azure/operationResults/{operation}", visit.call.origin(), visit.vault.id);
    Ok(Answer::empty(202).with("location", location).with("retry-after", "1"))
}

/// The name of the policy that a body names, which must be one of this vault.
fn policy_name(visit: &Visit<'_>, id: &str) -> ApiResult<String> {
    let id: ResourceId = id.parse()?;
    if visit.vault.id.child("backupPolicies", id.name())? == id {
        return Ok(id.name().to_owned());
    }
    Err(ApiError::invalid(format!("policyId names no policy of the vault {}: {id}", visit.vault.id.name())))
}

/// Refuses what would be promised and not kept.
fn check_supported(properties: &ItemProperties) -> ApiResult<()> {
    let kinds = [names::VIRTUAL_MACHINE, names::CLASSIC_VIRTUAL_MACHINE, "AzureIaaSVMProtectedItem"];
    let kind = properties.protected_item_type.as_deref();
    if kind.is_some_and(|kind| !kinds.iter().any(|known| known.eq_ignore_ascii_case(kind))) {
        return Err(ApiError::invalid("the protectedItemType is Microsoft.Compute/virtualMachines"));
    }
    let selection =
        properties.extended_properties.as_ref().and_then(|e| e.disk_exclusion_properties.as_ref());
    if selection.is_some_and(|selection| !selection.is_null()) {
        return Err(ApiError::invalid("a machine is backed up with all of its disks: none can be left out")
            .recommend("Leave `--disk-list-setting` out."));
    }
    Ok(())
}

/// `PUT …/protectedItems/I`: protects a machine, changes its policy, stops or resumes its protection, or takes a
/// deletion back.
pub(super) fn put(visit: &Visit<'_>, id: &ResourceId) -> Result<Answer, Refusal> {
    let ItemBody { properties } = visit.call.json()?;
    check_supported(&properties)?;
    let there = match visit.recovery.item(id) {
        Ok(item) => Some(item),
        Err(error) if error.problem() == Problem::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let source = properties.source_resource_id.as_deref().map(str::parse::<ResourceId>).transpose()?;
    if let (Some(item), Some(source)) = (&there, &source)
        && item.source_resource_id != *source
    {
        let message = format!("{} protects {}, not {source}", item.id.name(), item.source_resource_id);
        return Err(ApiError::invalid(message).about(id).into());
    }
    let done = |finished: Finished<ProtectedItem>| -> Result<Answer, Refusal> {
        finished.result?;
        Ok(accepted(visit.call, id, &finished.job.id))
    };
    let item = || {
        there.as_ref().ok_or_else(|| {
            let message = format!("the vault {} has no item {}", visit.vault.id.name(), id.name());
            ApiError::new(Problem::NotFound, message)
        })
    };
    if properties.is_rehydrate == Some(true) {
        return done(visit.recovery.undelete(&item()?.id)?);
    }
    match properties.protection_state.as_deref() {
        Some(state) if state.eq_ignore_ascii_case("ProtectionStopped") => {
            visit.session.authorize(STOP, visit.vault.id.as_str())?;
            return done(visit.recovery.stop_protection(&item()?.id)?);
        }
        Some(state) if state.eq_ignore_ascii_case("BackupsSuspended") => {
            return Err(ApiError::invalid(
                "points of a stopped item are kept: they do not expire by its old policy",
            )
            .recommend("Stop the protection without --retain-recovery-points-as-per-policy.")
            .into());
        }
        _ => {}
    }
    let policy = properties.policy_id.as_deref().filter(|id| !id.is_empty());
    let policy =
        policy.ok_or_else(|| ApiError::invalid("policyId names the policy that the item is to follow"))?;
    let policy = policy_name(visit, policy)?;
    match &there {
        Some(item) if item.protection_state == ProtectionState::ProtectionStopped => {
            done(visit.recovery.resume_protection(&item.id, &policy)?)
        }
        Some(item) => done(visit.recovery.change_policy(&item.id, &policy)?),
        None => {
            let source = source
                .ok_or_else(|| ApiError::invalid("sourceResourceId names the machine to be protected"))?;
            // V1: whoever has a machine protected has its disks read.
            visit.session.authorize(compute::write_action(&source), source.as_str())?;
            let group = source.resource_group().unwrap_or_default();
            let is_its = names::item(group, source.name()).eq_ignore_ascii_case(id.name())
                && names::container(group, source.name()).eq_ignore_ascii_case(visit.segment(3));
            if !is_its {
                let message = format!(
                    "the item {} is not that of {source}: names of items follow from machines",
                    id.name()
                );
                return Err(ApiError::invalid(message).into());
            }
            done(visit.recovery.enable_protection(&visit.vault.id, &source, &policy)?)
        }
    }
}

/// `DELETE …/protectedItems/I`: stops the protection and deletes what was backed up.
pub(super) fn delete(visit: &Visit<'_>, id: &ResourceId) -> Result<Answer, Refusal> {
    match visit.recovery.item(id) {
        Ok(item) => {
            let job = visit.recovery.delete_backup_data(&item.id)?;
            Ok(accepted(visit.call, id, &job.id))
        }
        Err(error) if error.problem() == Problem::NotFound => Ok(Answer::empty(204)),
        Err(error) => Err(error.into()),
    }
}
