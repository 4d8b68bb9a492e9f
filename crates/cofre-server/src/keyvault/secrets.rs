//! `/secrets` and `/deletedsecrets`.

use cofre_keyvault::{Recorded, SecretBundle, SecretSpec, SecretUpdate, SecretValue};
use serde_json::{Value, json};

use super::{
    Visit, errors,
    wire::{self, Backup, SetSecret, UpdateSecret},
};
use crate::http::{Answer, Method, Refusal};

pub(super) fn answer(visit: &Visit<'_>, parts: &[&str]) -> Result<Answer, Refusal> {
    use Method::{Delete, Get, Patch, Post, Put};
    let (vaults, caller, vault) = (&visit.app.parts.key_vaults, &visit.caller, visit.vault);
    let base = visit.base();
    let name = visit.segment(1);
    let item = |properties| Answer::ok(&wire::secret_item(&base, &properties, true));
    let whole = |secret: SecretBundle| Answer::ok(&with_value(&base, &secret));
    match (visit.call.method, parts) {
        (Get, ["secrets"]) => visit.page(
            |page| vaults.list_secrets(caller, vault, page),
            |item| wire::secret_item(&base, &item, false),
        ),
        (Post, ["secrets", "restore"]) => {
            let Backup { value } = visit.json()?;
            let blob = wire::bytes("the backup", &value).map_err(errors::bad_parameter)?;
            vaults.restore_secret(caller, vault, &blob).map(item).map_err(errors::data_plane)
        }
        (Get, ["secrets", _]) => {
            vaults.secret(caller, vault, name, None).map(whole).map_err(errors::data_plane)
        }
        (Put, ["secrets", _]) => set(visit, name),
        (Patch, ["secrets", _]) => update(visit, name, None),
        (Patch, ["secrets", _, _]) => update(visit, name, Some(visit.segment(2))),
        (Delete, ["secrets", _]) => {
            let gone = vaults.delete_secret(caller, vault, name).map_err(errors::data_plane)?;
            let json = wire::secret_item(&base, &gone.properties, true);
            Ok(Answer::ok(&wire::deleted(
                json,
                &base,
                "deletedsecrets",
                &gone.properties.name,
                &gone.deletion,
            )))
        }
        (Get, ["secrets", _, "versions"]) => visit.page(
            |page| vaults.list_secret_versions(caller, vault, name, page),
            |item| wire::secret_item(&base, &item, true),
        ),
        (Post, ["secrets", _, "backup"]) => {
            let blob = vaults.backup_secret(caller, vault, name).map_err(errors::data_plane)?;
            Ok(Answer::ok(&json!({"value": wire::text(&blob)})))
        }
        (Get, ["secrets", _, version]) => {
            vaults.secret(caller, vault, name, Some(version)).map(whole).map_err(errors::data_plane)
        }
        (Get, ["deletedsecrets"]) => visit.page(
            |page| vaults.list_deleted_secrets(caller, vault, page),
            |gone| {
                let json = wire::secret_item(&base, &gone.properties, false);
                wire::deleted(json, &base, "deletedsecrets", &gone.properties.name, &gone.deletion)
            },
        ),
        (Get, ["deletedsecrets", _]) => {
            let gone = vaults.deleted_secret(caller, vault, name).map_err(errors::data_plane)?;
            let json = wire::secret_item(&base, &gone.properties, true);
            Ok(Answer::ok(&wire::deleted(
                json,
                &base,
                "deletedsecrets",
                &gone.properties.name,
                &gone.deletion,
            )))
        }
        (Delete, ["deletedsecrets", _]) => {
            vaults.purge_secret(caller, vault, name).map_err(errors::data_plane)?;
            Ok(Answer::empty(204))
        }
        (Post, ["deletedsecrets", _, "recover"]) => {
            vaults.recover_secret(caller, vault, name).map(item).map_err(errors::data_plane)
        }
        (_, ["secrets"]) => Err(Refusal::method("GET")),
        (_, ["secrets", _]) => Err(Refusal::method("GET, PUT, PATCH, DELETE")),
        (_, ["secrets", _, _]) => Err(Refusal::method("GET, PATCH, POST")),
        (_, ["deletedsecrets", ..]) => Err(Refusal::method("GET, DELETE, POST")),
        _ => Err(Refusal::no_such_path(&format!("/{}", visit.call.target.segments.join("/")))),
    }
}

/// Gets a secret without waiting, where that can be done.
pub(super) fn get_at_once(visit: &Visit<'_>, then: impl FnOnce(Recorded) + Send + 'static) -> Option<Answer> {
    let version = visit.call.target.segments.get(2).map(String::as_str);
    let vaults = &visit.app.parts.key_vaults;
    let secret = vaults.secret_at_once(&visit.caller, visit.vault, visit.segment(1), version, then)?;
    Some(Answer::ok(&with_value(&visit.base(), &secret)))
}

/// A secret with its value. The copy in the answer's body is on its way to the caller.
fn with_value(base: &str, secret: &SecretBundle) -> Value {
    let mut json = wire::secret_item(base, &secret.properties, true);
    json["value"] = Value::String(secret.value.expose().to_owned());
    json
}

fn set(visit: &Visit<'_>, name: &str) -> Result<Answer, Refusal> {
    let body: SetSecret = visit.json()?;
    let spec = SecretSpec {
        value: SecretValue::new(body.value).map_err(errors::data_plane)?,
        content_type: body.content_type,
        attributes: body.attributes.unwrap_or_default().change().map_err(errors::bad_parameter)?,
        tags: body.tags.unwrap_or_default(),
    };
    let secret = visit.app.parts.key_vaults.set_secret(&visit.caller, visit.vault, name, &spec);
    Ok(Answer::ok(&with_value(&visit.base(), &secret.map_err(errors::data_plane)?)))
}

fn update(visit: &Visit<'_>, name: &str, version: Option<&str>) -> Result<Answer, Refusal> {
    let body: UpdateSecret = visit.json_or_empty()?;
    let update = SecretUpdate {
        content_type: body.content_type,
        attributes: body.attributes.unwrap_or_default().change().map_err(errors::bad_parameter)?,
        tags: body.tags,
    };
    let properties =
        visit.app.parts.key_vaults.update_secret(&visit.caller, visit.vault, name, version, &update);
    Ok(Answer::ok(&wire::secret_item(&visit.base(), &properties.map_err(errors::data_plane)?, true)))
}
