//! The resource contract: `/subscriptions/…`. Any api-version is taken, paths are compared without regard to case, and
//! ids in answers have the exact casing that clients look for.

mod compute;
mod filter;
pub(crate) mod graph;
mod groups;
mod key_vault_wire;
mod key_vaults;
pub(crate) mod paging;
mod recovery_services;
mod role_assignments;
mod storage;
mod subscriptions;

use cofre_arm::{ApiError, Problem, ResourceId, names};

use crate::{
    app::{App, Session},
    http::{Answer, Call, Method, Refusal},
};

pub(crate) use self::key_vault_wire::vault_json;

/// Answers what is below `/subscriptions` and its like.
pub(crate) fn answer(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let parts = call.target.parts();
    // Roles can be looked at and assigned below every scope.
    if let Some(at) = parts.windows(2).rposition(|pair| pair == ["providers", "microsoft.authorization"]) {
        let scope = format!("/{}", call.target.segments[..at].join("/"));
        return role_assignments::answer(app, call, session, &scope, &parts[at + 2..]);
    }
    let ours = app.parts.directory.subscription();
    match parts.as_slice() {
        ["tenants"] => subscriptions::tenants(app, call),
        ["subscriptions"] => subscriptions::list(app, call, session),
        ["subscriptions", subscription, ..] if !subscription.eq_ignore_ascii_case(ours) => {
            Err(ApiError::new(
                Problem::NotFound,
                format!("The subscription '{subscription}' could not be found."),
            )
            .recommend("`az account list` shows the subscription there is.")
            .into())
        }
        ["subscriptions", _] => subscriptions::show(app, call, session),
        ["subscriptions", _, "locations"] => subscriptions::locations(app, call, session),
        ["subscriptions", _, "providers"] => subscriptions::providers(app, call, session, None),
        ["subscriptions", _, "providers", namespace] => {
            subscriptions::providers(app, call, session, Some(namespace))
        }
        ["subscriptions", _, "resources"] => subscriptions::resources(app, call, session),
        ["subscriptions", _, "resourcegroups"] => groups::list(app, call, session),
        ["subscriptions", _, "resourcegroups", _] => groups::one(app, call, session),
        ["subscriptions", _, "operationresults", operation] => groups::deletion(call, operation),
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.keyvault", rest @ ..] => {
            key_vaults::in_group(app, call, session, &call.target.segments[3], rest)
        }
        ["subscriptions", _, "providers", "microsoft.keyvault", rest @ ..] => {
            key_vaults::in_subscription(app, call, session, rest)
        }
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.recoveryservices", rest @ ..] => {
            recovery_services::in_group(app, call, session, rest)
        }
        ["subscriptions", _, "providers", "microsoft.recoveryservices", rest @ ..] => {
            recovery_services::in_subscription(app, call, session, rest)
        }
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.storage", rest @ ..] => {
            storage::in_group(app, call, session, rest)
        }
        ["subscriptions", _, "providers", "microsoft.storage", rest @ ..] => {
            storage::in_subscription(app, call, session, rest)
        }
        [
            "subscriptions",
            _,
            "resourcegroups",
            _,
            "providers",
            namespace @ ("microsoft.compute" | "microsoft.classiccompute"),
            rest @ ..,
        ] => compute::in_group(app, call, session, namespace, rest),
        [
            "subscriptions",
            _,
            "providers",
            namespace @ ("microsoft.compute" | "microsoft.classiccompute"),
            rest @ ..,
        ] => compute::in_subscription(app, call, session, namespace, rest),
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

/// The id of a resource that is to be made: its group must be there, and gives the spelling of its name.
fn new_in_group(app: &App, id: &ResourceId) -> Result<ResourceId, ApiError> {
    let directory = &app.parts.directory;
    let group = directory.group(id.resource_group().unwrap_or_default())?;
    ResourceId::resource(directory.subscription(), &group.name, &type_of(id), id.name())
}

/// The type of a resource as it is written, whatever the letter case of the id.
fn type_of(id: &ResourceId) -> String {
    let known =
        [names::RECOVERY_VAULT, names::VIRTUAL_MACHINE, names::CLASSIC_VIRTUAL_MACHINE, names::KEY_VAULT];
    known.iter().find(|kind| id.is_kind(kind)).map_or_else(|| id.kind(), |kind| (*kind).to_owned())
}

/// Refuses all methods but one, for lists and the like.
fn only(call: &Call, method: Method, name: &str) -> Result<(), Refusal> {
    if call.method == method { Ok(()) } else { Err(Refusal::method(name)) }
}
