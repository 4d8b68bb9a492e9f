//! Storage accounts, where restored disks go: folders of the home, seen as resources of the group `default`.

use cofre_arm::{ApiError, Problem, ResourceId};
use serde_json::{Value, json};

use super::{only, paging};
use crate::{
    app::{App, Session},
    directory::DEFAULT_GROUP,
    http::{Answer, Call, Method, Refusal},
};

const KIND: &str = "Microsoft.Storage/storageAccounts";
const READ: &str = "Microsoft.Storage/storageAccounts/read";

fn id_of(app: &App, name: &str) -> Result<ResourceId, ApiError> {
    ResourceId::resource(app.parts.directory.subscription(), DEFAULT_GROUP, KIND, name)
}

fn account_json(app: &App, name: &str) -> Result<Value, ApiError> {
    Ok(json!({
        "id": id_of(app, name)?,
        "name": name,
        "type": KIND,
        "kind": "StorageV2",
        "location": app.parts.location,
        "tags": {},
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "properties": {
            "provisioningState": "Succeeded",
            "primaryLocation": app.parts.location,
            "statusOfPrimary": "available",
        },
    }))
}

fn missing(id: &ResourceId) -> ApiError {
    let message = format!(
        "The Resource '{KIND}/{}' under resource group '{}' was not found.",
        id.name(),
        id.resource_group().unwrap_or_default()
    );
    ApiError::new(Problem::NotFound, message).recommend(format!(
        "Storage accounts are in the resource group {DEFAULT_GROUP}: name one by its id. `cofre` makes one of every \
         folder below `storage` of its home."
    ))
}

/// The name of the account of an id, for a caller who may see it.
pub(super) fn named(app: &App, session: &Session, id: &ResourceId) -> Result<String, Refusal> {
    if !id.is_kind(KIND) {
        return Err(ApiError::invalid(format!("{id} is no id of a storage account")).into());
    }
    session.authorize(READ, id.as_str())?;
    if id_of(app, id.name())? != *id {
        return Err(missing(id).into());
    }
    Ok(app.parts.recovery.storage_accounts().account(id.name()).map(|account| account.name)?)
}

/// `…/resourceGroups/G/providers/Microsoft.Storage/…`
pub(super) fn in_group(app: &App, call: &Call, session: &Session, rest: &[&str]) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let group = &call.target.segments[3];
    match rest {
        ["storageaccounts"] => list(app, call, session, Some(group)),
        ["storageaccounts", _] => {
            let name = &call.target.segments[7];
            let id = ResourceId::resource(app.parts.directory.subscription(), group, KIND, name)?;
            session.authorize(READ, id.as_str())?;
            let found = match named(app, session, &id) {
                Err(refusal) if refusal.status() == 404 => return Err(missing(&id).into()),
                other => other?,
            };
            Ok(Answer::ok(&account_json(app, &found)?))
        }
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

/// `…/subscriptions/S/providers/Microsoft.Storage/…`
pub(super) fn in_subscription(
    app: &App,
    call: &Call,
    session: &Session,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    match rest {
        ["storageaccounts"] => list(app, call, session, None),
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

fn list(app: &App, call: &Call, session: &Session, group: Option<&str>) -> Result<Answer, Refusal> {
    let mut found = Vec::new();
    if group.is_none_or(|group| group.eq_ignore_ascii_case(DEFAULT_GROUP)) {
        for name in app.parts.recovery.storage_accounts().names()? {
            if session.may(READ, id_of(app, &name)?.as_str()) {
                found.push(account_json(app, &name)?);
            }
        }
    }
    Ok(paging::page(call, found, None))
}
