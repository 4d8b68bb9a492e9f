//! `POST /cofre/prove?api-version=1.0`: captured keys are tried on a disk's header inside the key vault. No operation of
//! the published contract; the backup service of another home asks for it.

use cofre_arm::ApiError;
use cofre_keyvault::{
    SecretValue,
    proof::{ObjectReference, ProofMaterial, ProofRequest},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Visit, errors, wire};
use crate::http::{Answer, Method, Refusal};

/// What is asked. The secret's key vault is the one that is asked; the key may lie in another of this service.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    point: String,
    disk: String,
    header: String,
    data_size: u64,
    algorithm: String,
    secret: Secret,
    key: ObjectReference,
    key_backup: Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    name: String,
    version: String,
    value: Zeroizing<String>,
}

pub(super) fn answer(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if visit.call.method != Method::Post {
        return Err(Refusal::method("POST"));
    }
    visit.app.parts.limits.count_proof(&visit.caller.object_id)?;
    let body: Body = visit.json()?;
    let header = wire::bytes("the header", &body.header).map_err(errors::bad_parameter)?;
    let key_blob = wire::bytes("the backup", &body.key_backup).map_err(errors::bad_parameter)?;
    let secret = ObjectReference {
        vault: visit.vault.to_owned(),
        name: body.secret.name,
        version: body.secret.version,
    };
    let value = SecretValue::new(body.secret.value).map_err(errors::data_plane)?;
    let request = ProofRequest {
        point: &body.point,
        disk: &body.disk,
        header: &header,
        data_size: body.data_size,
        algorithm: body.algorithm.parse().map_err(errors::data_plane)?,
        material: ProofMaterial::Captured {
            secret: &secret,
            value: &value,
            key: &body.key,
            key_blob: &key_blob,
        },
    };
    let parts = &visit.app.parts;
    let record =
        parts.key_vaults.prove(&visit.caller, &request, &*parts.prover).map_err(errors::data_plane)?;
    let record = serde_json::to_value(&record).map_err(|error| {
        Refusal::from(
            ApiError::new(cofre_arm::Problem::InternalError, "a proof cannot be written").because(error),
        )
    })?;
    Ok(Answer::ok(&record))
}
