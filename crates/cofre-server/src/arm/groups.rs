//! Resource groups.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId};
use cofre_keyvault::PageRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{filter::Filter, only};
use crate::{
    app::{App, Session},
    directory::{Group, guid, new_guid},
    http::{Answer, Call, Method, Refusal},
};

#[derive(Default, Deserialize)]
struct Body {
    location: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

fn resource(app: &App, group: &Group) -> Value {
    json!({
        "id": format!("{}/resourceGroups/{}", app.parts.directory.subscription_scope(), group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}

fn etag(group: &Group) -> String {
    format!("\"{}\"", group.revision)
}

/// `GET …/resourcegroups`: those that the caller may read, all or by a tag.
pub(super) fn list(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let filter = Filter::parse(call.target.query.get("$filter"))?.only(&["tagName", "tagValue"])?;
    let (name, value) = (filter.get("tagName"), filter.get("tagValue"));
    if name.is_none() && value.is_some() {
        return Err(ApiError::invalid("a filter by tagValue names the tag with tagName").into());
    }
    let is_wanted = |group: &&Group| {
        let tag = |name| group.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        name.is_none_or(|name| tag(name).is_some_and(|(_, there)| value.is_none_or(|value| value == there)))
    };
    let groups = app.parts.directory.groups()?;
    let groups = groups.iter().filter(is_wanted).map(|group| resource(app, group)).filter(|group| {
        session.may(
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            group["id"].as_str().unwrap_or_default(),
        )
    });
    Ok(Answer::ok(&json!({"value": groups.collect::<Vec<_>>(), "nextLink": null})))
}

/// One group: look, make, change, delete.
pub(super) fn one(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let directory = &app.parts.directory;
    let name = &call.target.segments[3];
    let scope = ResourceId::group(directory.subscription(), name)?;
    let authorize = |verb: &str| {
        session.authorize(&format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}"), scope.as_str())
    };
    match call.method {
        Method::Get => {
            authorize("read")?;
            let group = directory.group(name)?;
            Ok(Answer::ok(&resource(app, &group)).with("etag", etag(&group)))
        }
        Method::Head => {
            authorize("read")?;
            directory.group(name)?;
            Ok(Answer::empty(204))
        }
        Method::Put => {
            authorize("write")?;
            check_match(call, app, name)?;
            let body: Body = call.json()?;
            let location =
                body.location.ok_or_else(|| ApiError::invalid("a resource group needs a location"))?;
            let location = super::key_vaults::location(app, &location)?;
            let (group, new) =
                directory.put_group(&session.actor(), name, &location, body.tags.unwrap_or_default())?;
            let status = if new { 201 } else { 200 };
            Ok(Answer::json(status, &resource(app, &group)).with("etag", etag(&group)))
        }
        Method::Patch => {
            authorize("write")?;
            check_match(call, app, name)?;
            let body: Body = call.json_or_empty()?;
            let old = directory.group(name)?;
            let tags = body.tags.unwrap_or(old.tags);
            let (group, _) = directory.put_group(&session.actor(), name, &old.location, tags)?;
            Ok(Answer::ok(&resource(app, &group)).with("etag", etag(&group)))
        }
        Method::Delete => {
            authorize("delete")?;
            check_match(call, app, name)?;
            delete(app, call, session, name)
        }
        Method::Post => Err(Refusal::method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

/// Refuses when the group is not as the header `If-Match` says.
fn check_match(call: &Call, app: &App, name: &str) -> Result<(), Refusal> {
    let Some(wanted) = call.header("if-match")? else { return Ok(()) };
    let there = app.parts.directory.group(name).ok();
    let matches = there.is_some_and(|group| wanted == "*" || wanted == etag(&group));
    if matches {
        return Ok(());
    }
    let message = format!("the resource group {name} is not the one that If-Match names");
    let body = ApiError::new(Problem::Conflict, message).body();
    Err(Refusal::new(412, body))
}

/// Deletes a group with its key vaults, which are soft-deleted as always. Backups and machines are in nobody's way of
/// being lost: a group that holds them is refused before anything is deleted.
fn delete(app: &App, call: &Call, session: &Session, name: &str) -> Result<Answer, Refusal> {
    let directory = &app.parts.directory;
    directory.group(name)?;
    let caller = crate::keyvault::caller(app, &session.identity, &call.id);
    let mut vaults = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let request = PageRequest { after: after.as_deref(), limit: 250 };
        let page = app.parts.key_vaults.list_vaults(request).map_err(crate::keyvault::management_error)?;
        vaults.extend(page.items.into_iter().filter(|vault| {
            let id = vault.id.parse::<ResourceId>().ok();
            id.as_ref()
                .and_then(ResourceId::resource_group)
                .is_some_and(|group| group.eq_ignore_ascii_case(name))
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for vault in &vaults {
        session.authorize("Microsoft.KeyVault/vaults/delete", &vault.id)?;
    }
    directory.check_empty(name)?;
    for vault in vaults {
        app.parts.key_vaults.delete_vault(&caller, &vault.name).map_err(crate::keyvault::management_error)?;
    }
    directory.delete_group(&session.actor(), name)?;
    // The group is gone by now; clients want to ask once more.
    let operation = new_guid()?;
    let location =
        format!("{}{}/operationresults/{operation}", call.origin(), directory.subscription_scope());
    Ok(Answer::empty(202).with("location", location).with("retry-after", "1"))
}

/// `GET …/operationresults/O`: deletions of groups are over when they are answered, so that this says so of each.
pub(super) fn deletion(call: &Call, operation: &str) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    guid("operation", operation)?;
    Ok(Answer::empty(200))
}
