//! `/keys` and `/deletedkeys`.

use cofre_arm::ApiError;
use cofre_keyvault::{KeyOperationResult, KeySpec, KeyUpdate, RsaSize};
use serde_json::{Value, json};

use super::{
    Visit, errors,
    wire::{self, Backup, CreateKey, ImportKey, UpdateKey, UseKey, VerifyBody},
};
use crate::http::{Answer, Method, Refusal};

/// The exponent of all keys that are made here.
const EXPONENT: u64 = 65_537;

pub(super) fn answer(visit: &Visit<'_>, parts: &[&str]) -> Result<Answer, Refusal> {
    use Method::{Delete, Get, Patch, Post, Put};
    let (vaults, caller, vault) = (&visit.app.parts.key_vaults, &visit.caller, visit.vault);
    let base = visit.base();
    let name = visit.segment(1);
    let bundle = |key| Answer::ok(&wire::key(&base, &key));
    match (visit.call.method, parts) {
        (Get, ["keys"]) => visit
            .page(|page| vaults.list_keys(caller, vault, page), |item| wire::key_item(&base, &item, false)),
        (Post, ["keys", "restore"]) => {
            let Backup { value } = visit.json()?;
            let blob = wire::bytes("the backup", &value).map_err(errors::bad_parameter)?;
            vaults.restore_key(caller, vault, &blob).map(bundle).map_err(errors::data_plane)
        }
        (Get, ["keys", _]) => vaults.key(caller, vault, name, None).map(bundle).map_err(errors::data_plane),
        (Put, ["keys", _]) => import(visit, name),
        (Post, ["keys", _, "create"]) => create(visit, name),
        (Patch, ["keys", _]) => update(visit, name, None),
        (Patch, ["keys", _, _]) => update(visit, name, Some(visit.segment(2))),
        (Delete, ["keys", _]) => {
            let gone = vaults.delete_key(caller, vault, name).map_err(errors::data_plane)?;
            let json = wire::key(&base, &gone.key);
            Ok(Answer::ok(&wire::deleted(json, &base, "deletedkeys", &gone.key.name, &gone.deletion)))
        }
        (Get, ["keys", _, "versions"]) => visit.page(
            |page| vaults.list_key_versions(caller, vault, name, page),
            |item| wire::key_item(&base, &item, true),
        ),
        (Post, ["keys", _, "backup"]) => {
            let blob = vaults.backup_key(caller, vault, name).map_err(errors::data_plane)?;
            Ok(Answer::ok(&json!({"value": wire::text(&blob)})))
        }
        (Get | Put, ["keys", _, "rotationpolicy"]) | (Post, ["keys", _, "rotate"]) => {
            Err(errors::bad_parameter(ApiError::invalid(
                "keys are not rotated here: creating a key again makes a new version",
            )))
        }
        (Get, ["keys", _, version]) => {
            vaults.key(caller, vault, name, Some(version)).map(bundle).map_err(errors::data_plane)
        }
        (Post, ["keys", _, operation]) => use_key(visit, name, None, operation),
        (Post, ["keys", _, version, operation]) => use_key(visit, name, Some(version), operation),
        (Get, ["deletedkeys"]) => visit.page(
            |page| vaults.list_deleted_keys(caller, vault, page),
            |gone| {
                let json = wire::key_item(&base, &gone.properties, false);
                wire::deleted(json, &base, "deletedkeys", &gone.properties.name, &gone.deletion)
            },
        ),
        (Get, ["deletedkeys", _]) => {
            let gone = vaults.deleted_key(caller, vault, name).map_err(errors::data_plane)?;
            let json = wire::key(&base, &gone.key);
            Ok(Answer::ok(&wire::deleted(json, &base, "deletedkeys", &gone.key.name, &gone.deletion)))
        }
        (Delete, ["deletedkeys", _]) => {
            vaults.purge_key(caller, vault, name).map_err(errors::data_plane)?;
            Ok(Answer::empty(204))
        }
        (Post, ["deletedkeys", _, "recover"]) => {
            vaults.recover_key(caller, vault, name).map(bundle).map_err(errors::data_plane)
        }
        (_, ["keys"]) => Err(Refusal::method("GET")),
        (_, ["keys", _]) => Err(Refusal::method("GET, PUT, PATCH, DELETE")),
        (_, ["keys", _, _]) => Err(Refusal::method("GET, PATCH, POST")),
        (_, ["deletedkeys", ..]) => Err(Refusal::method("GET, DELETE, POST")),
        _ => Err(Refusal::no_such_path(&format!("/{}", visit.call.target.segments.join("/")))),
    }
}

/// RSA is what wraps disk keys; there are no others.
fn check_type(kty: &str) -> Result<(), Refusal> {
    match kty {
        "RSA" => Ok(()),
        "RSA-HSM" | "EC-HSM" | "oct-HSM" => Err(errors::bad_parameter(ApiError::invalid(
            "keys in hardware modules are not supported: use the key type RSA",
        ))),
        _ => Err(errors::bad_parameter(ApiError::invalid("the key type is not supported: use RSA"))),
    }
}

fn create(visit: &Visit<'_>, name: &str) -> Result<Answer, Refusal> {
    let body: CreateKey = visit.json()?;
    check_type(&body.kty)?;
    if body.public_exponent.is_some_and(|exponent| exponent != EXPONENT) {
        let error = ApiError::invalid(format!("the public exponent of a key is {EXPONENT}"));
        return Err(errors::bad_parameter(error));
    }
    if body.crv.is_some() || body.release_policy.is_some() {
        return Err(errors::bad_parameter(ApiError::invalid(
            "curves and release policies are not supported",
        )));
    }
    let spec = KeySpec {
        size: RsaSize::from_bits(body.key_size.unwrap_or(2048)).map_err(errors::data_plane)?,
        operations: wire::operations(body.key_ops.as_ref()).map_err(errors::bad_parameter)?,
        attributes: body.attributes.unwrap_or_default().change().map_err(errors::bad_parameter)?,
        tags: body.tags.unwrap_or_default(),
    };
    let key = visit.app.parts.key_vaults.create_key(&visit.caller, visit.vault, name, &spec);
    Ok(Answer::ok(&wire::key(&visit.base(), &key.map_err(errors::data_plane)?)))
}

fn import(visit: &Visit<'_>, name: &str) -> Result<Answer, Refusal> {
    let body: ImportKey = visit.json()?;
    check_type(&body.key.kty)?;
    if body.hsm == Some(true) {
        check_type("RSA-HSM")?;
    }
    let spec = KeySpec {
        operations: wire::operations(body.key.key_ops.as_ref()).map_err(errors::bad_parameter)?,
        attributes: body.attributes.unwrap_or_default().change().map_err(errors::bad_parameter)?,
        tags: body.tags.unwrap_or_default(),
        ..KeySpec::default()
    };
    let components = body.key.components().map_err(errors::bad_parameter)?;
    let key = visit.app.parts.key_vaults.import_key(&visit.caller, visit.vault, name, &components, &spec);
    Ok(Answer::ok(&wire::key(&visit.base(), &key.map_err(errors::data_plane)?)))
}

fn update(visit: &Visit<'_>, name: &str, version: Option<&str>) -> Result<Answer, Refusal> {
    let body: UpdateKey = visit.json_or_empty()?;
    let update = KeyUpdate {
        operations: wire::operations(body.key_ops.as_ref()).map_err(errors::bad_parameter)?,
        attributes: body.attributes.unwrap_or_default().change().map_err(errors::bad_parameter)?,
        tags: body.tags,
    };
    let key = visit.app.parts.key_vaults.update_key(&visit.caller, visit.vault, name, version, &update);
    Ok(Answer::ok(&wire::key(&visit.base(), &key.map_err(errors::data_plane)?)))
}

fn use_key(visit: &Visit<'_>, name: &str, version: Option<&str>, operation: &str) -> Result<Answer, Refusal> {
    let (vaults, caller, vault) = (&visit.app.parts.key_vaults, &visit.caller, visit.vault);
    if operation == "verify" {
        let body: VerifyBody = visit.json()?;
        let digest = wire::bytes("the digest", &body.digest).map_err(errors::bad_parameter)?;
        let signature = wire::bytes("the signature", &body.signature).map_err(errors::bad_parameter)?;
        let valid = vaults.verify(caller, vault, name, version, &body.alg, &digest, &signature);
        return Ok(Answer::ok(&json!({"value": valid.map_err(errors::data_plane)?})));
    }
    if !matches!(operation, "encrypt" | "decrypt" | "wrapkey" | "unwrapkey" | "sign") {
        return Err(Refusal::no_such_path(&format!("/{}", visit.call.target.segments.join("/"))));
    }
    let body: UseKey = visit.json()?;
    let value = wire::bytes("the value", &body.value).map_err(errors::bad_parameter)?;
    let result = match operation {
        "encrypt" => vaults.encrypt(caller, vault, name, version, &body.alg, &value),
        "decrypt" => vaults.decrypt(caller, vault, name, version, &body.alg, &value),
        "wrapkey" => vaults.wrap_key(caller, vault, name, version, &body.alg, &value),
        "unwrapkey" => vaults.unwrap_key(caller, vault, name, version, &body.alg, &value),
        _ => vaults.sign(caller, vault, name, version, &body.alg, &value),
    };
    Ok(Answer::ok(&operation_json(&visit.base(), &result.map_err(errors::data_plane)?)))
}

fn operation_json(base: &str, result: &KeyOperationResult) -> Value {
    json!({
        "kid": format!("{base}/keys/{}/{}", result.name, result.version),
        "value": wire::text(result.value.expose()),
    })
}
