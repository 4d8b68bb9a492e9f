//! Recovery Services: vaults, and what is in them. Which right a request needs stands in [`action`], and is asked for
//! before anything else is looked at: whoever has none is not told what there is.

mod accepted;
mod dates;
mod item_json;
mod items;
mod job_json;
mod jobs;
mod operations;
mod point_json;
mod points;
mod policies;
mod protection;
mod restore;
mod settings;
mod vault_json;
mod vaults;

use cofre_arm::{ApiError, Problem, ResourceId};
use cofre_recovery::{Recovery, vault::RecoveryVault};

pub(super) use self::vault_json::vault_json;
use super::only;
use crate::{
    app::{App, Session},
    http::{Answer, Call, Method, Refusal},
};

/// The right to read a vault.
pub(super) const READ_VAULT: &str = "Microsoft.RecoveryServices/vaults/read";

/// A call to what is in a vault, by a caller who may do it.
struct Visit<'a> {
    app: &'a App,
    call: &'a Call,
    session: &'a Session,
    /// The recovery service, on behalf of the caller.
    recovery: Recovery,
    vault: RecoveryVault,
}

/// Segments of the path before those in a vault: `subscriptions/S/resourceGroups/G/providers/N/vaults/V`.
const IN_VAULT: usize = 8;

impl Visit<'_> {
    /// A segment of the path below the vault, as it was written.
    fn segment(&self, at: usize) -> &str {
        self.call.target.segments.get(IN_VAULT + at).map_or("", String::as_str)
    }

    /// The protected item that the path names.
    fn item_id(&self) -> Result<ResourceId, ApiError> {
        self.vault
            .id
            .child("backupFabrics", "Azure")?
            .child("protectionContainers", self.segment(3))?
            .child("protectedItems", self.segment(5))
    }
}

/// What must be allowed for a call, named as published. The parts are those of the path below the vault; `None` where
/// there is nothing.
fn action(method: Method, parts: &[&str]) -> Option<String> {
    use Method::{Delete, Get, Patch, Post, Put};
    const ITEMS: &str = "backupFabrics/protectionContainers/protectedItems";
    let suffix = match (method, parts) {
        (Get, []) => "read".to_owned(),
        (Put | Patch, []) => "write".to_owned(),
        (Delete, []) => "delete".to_owned(),
        (Get, ["backupconfig", _]) => "backupconfig/read".to_owned(),
        (Put | Patch, ["backupconfig", _]) => "backupconfig/write".to_owned(),
        (Get, ["backupstorageconfig", _]) => "backupstorageconfig/read".to_owned(),
        (Put | Patch, ["backupstorageconfig", _]) => "backupstorageconfig/write".to_owned(),
        (Get, ["backupencryptionconfigs", _]) => "backupEncryptionConfigs/read".to_owned(),
        (Get, ["backupresourceguardproxies"]) => "backupResourceGuardProxies/read".to_owned(),
        (Get, ["backuppolicies"] | ["backuppolicies", _]) => "backupPolicies/read".to_owned(),
        (Put, ["backuppolicies", _]) => "backupPolicies/write".to_owned(),
        (Delete, ["backuppolicies", _]) => "backupPolicies/delete".to_owned(),
        (Get, ["backupprotectableitems"]) => "backupProtectableItems/read".to_owned(),
        (Get, ["backupprotectioncontainers"]) => "backupProtectionContainers/read".to_owned(),
        (Get, ["backupdeletedprotectioncontainers"]) => "backupDeletedProtectionContainers/read".to_owned(),
        (Get, ["backupprotecteditems"]) => "backupProtectedItems/read".to_owned(),
        (Get, ["backupjobs"] | ["backupjobs", _]) => "backupJobs/read".to_owned(),
        (Post, ["backupjobs", _, "cancel"]) => "backupJobs/cancel/action".to_owned(),
        (Get, ["backupoperations" | "backupoperationresults", _]) => "backupOperations/read".to_owned(),
        (Post, ["backupfabrics", _, "refreshcontainers"]) => {
            "backupFabrics/refreshContainers/action".to_owned()
        }
        (Get, ["backupfabrics", _, "operationresults", _]) => {
            "backupFabrics/operationResults/read".to_owned()
        }
        (Get, ["backupfabrics", _, "protectioncontainers", _]) => {
            "backupFabrics/protectionContainers/read".to_owned()
        }
        (_, ["backupfabrics", _, "protectioncontainers", _, "protecteditems", _, rest @ ..]) => {
            let verb = match (method, rest) {
                (Get, []) => "read",
                (Put, []) => "write",
                (Delete, []) => "delete",
                (Post, ["backup"]) => "backup/action",
                (Get, ["operationresults", _]) => "operationResults/read",
                (Get, ["operationsstatus", _]) => "operationsStatus/read",
                (Get, ["recoverypoints"] | ["recoverypoints", _]) => "recoveryPoints/read",
                (Post, ["recoverypoints", _, "restore"]) => "recoveryPoints/restore/action",
                (Post, ["recoverypoints", _, "provisioninstantitemrecovery"]) => {
                    "recoveryPoints/provisionInstantItemRecovery/action"
                }
                _ => return None,
            };
            format!("{ITEMS}/{verb}")
        }
        _ => return None,
    };
    Some(format!("Microsoft.RecoveryServices/vaults/{suffix}"))
}

/// What a path takes, where it is one; for refusals of other methods.
fn methods(parts: &[&str]) -> Option<String> {
    let all = [
        (Method::Get, "GET"),
        (Method::Put, "PUT"),
        (Method::Patch, "PATCH"),
        (Method::Post, "POST"),
        (Method::Delete, "DELETE"),
    ];
    let allowed: Vec<_> =
        all.iter().filter(|(method, _)| action(*method, parts).is_some()).map(|(_, name)| *name).collect();
    (!allowed.is_empty()).then(|| allowed.join(", "))
}

/// `…/resourceGroups/G/providers/Microsoft.RecoveryServices/…`
pub(super) fn in_group(app: &App, call: &Call, session: &Session, rest: &[&str]) -> Result<Answer, Refusal> {
    let group = &call.target.segments[3];
    match rest {
        ["vaults"] => vaults::list(app, call, session, Some(group)),
        ["vaults", _, parts @ ..] => {
            let Some(action) = action(call.method, parts) else {
                return Err(methods(parts).map_or_else(|| nothing(call), |allowed| Refusal::method(&allowed)));
            };
            let name = &call.target.segments[IN_VAULT - 1];
            let id = ResourceId::resource(
                app.parts.directory.subscription(),
                group,
                cofre_arm::names::RECOVERY_VAULT,
                name,
            )?;
            session.authorize(&action, id.as_str())?;
            if parts.is_empty() {
                return vaults::one(app, call, session, &id);
            }
            let recovery = session.recovery(app);
            let vault = find(&recovery, &id)?.ok_or_else(|| missing(&id))?;
            in_vault(&Visit { app, call, session, recovery, vault }, parts)
        }
        _ => Err(nothing(call)),
    }
}

/// `…/subscriptions/S/providers/Microsoft.RecoveryServices/…`
pub(super) fn in_subscription(
    app: &App,
    call: &Call,
    session: &Session,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    match rest {
        ["vaults"] => vaults::list(app, call, session, None),
        ["locations", named, "backupstatus"] => {
            only(call, Method::Post, "POST")?;
            items::status(app, call, session, named)
        }
        _ => Err(nothing(call)),
    }
}

fn in_vault(visit: &Visit<'_>, parts: &[&str]) -> Result<Answer, Refusal> {
    let call = visit.call;
    match parts {
        ["backupconfig", _] => settings::vault_config(visit),
        ["backupstorageconfig", _] => settings::storage_config(visit),
        ["backupencryptionconfigs", _] => Ok(settings::encryption_config(visit)),
        ["backupresourceguardproxies"] => Ok(super::paging::page(call, Vec::new(), None)),
        ["backuppolicies"] => policies::list(visit),
        ["backuppolicies", _] => policies::one(visit),
        ["backupprotectableitems"] => protection::protectable(visit),
        ["backupprotectioncontainers"] => items::containers(visit, |_| true),
        ["backupdeletedprotectioncontainers"] => items::containers(visit, |item| item.deletion.is_some()),
        ["backupprotecteditems"] => items::list(visit),
        ["backupjobs"] => jobs::list(visit),
        ["backupjobs", _] => jobs::show(visit),
        ["backupjobs", _, _] => jobs::cancel(visit),
        ["backupoperations" | "backupoperationresults", operation] => operations::status(visit, operation),
        ["backupfabrics", _, "refreshcontainers"] => protection::refresh(visit),
        ["backupfabrics", _, "operationresults", operation] => operations::refreshed(operation),
        ["backupfabrics", _, "protectioncontainers", _] => items::container(visit),
        ["backupfabrics", _, "protectioncontainers", _, "protecteditems", _, rest @ ..] => {
            let item = visit.item_id()?;
            match (call.method, rest) {
                (Method::Get, []) => items::show(visit, &item),
                (Method::Put, []) => protection::put(visit, &item),
                (Method::Delete, []) => protection::delete(visit, &item),
                (_, ["backup"]) => jobs::backup(visit, &item),
                (_, ["operationresults", operation]) => operations::result(visit, &item, operation),
                (_, ["operationsstatus", operation]) => operations::status(visit, operation),
                (_, ["recoverypoints"]) => points::list(visit, &item),
                (_, ["recoverypoints", _]) => points::show(visit, &item),
                (_, ["recoverypoints", _, "restore"]) => restore::restore(visit, &item),
                (_, ["recoverypoints", _, "provisioninstantitemrecovery"]) => {
                    restore::file_recovery(visit, &item)
                }
                _ => Err(nothing(call)),
            }
        }
        _ => Err(nothing(call)),
    }
}

/// A vault, if there is one.
fn find(recovery: &Recovery, id: &ResourceId) -> Result<Option<RecoveryVault>, ApiError> {
    match recovery.vault(id) {
        Ok(vault) => Ok(Some(vault)),
        Err(error) if error.problem() == Problem::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn missing(id: &ResourceId) -> ApiError {
    ApiError::new(
        Problem::NotFound,
        format!(
            "The Resource 'Microsoft.RecoveryServices/vaults/{}' under resource group '{}' was not found.",
            id.name(),
            id.resource_group().unwrap_or_default()
        ),
    )
}

fn nothing(call: &Call) -> Refusal {
    Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))
}
