//! Bodies of the data plane.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_arm::{ApiError, Result};
use cofre_keyvault::{
    Attributes, AttributesChange, Deletion, ItemProperties, KeyBundle, KeyOperation, Recovery, RsaComponents,
    SecretBytes,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// Attributes as clients send them; what else they send is read-only.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AttributesBody {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
    exportable: Option<bool>,
}

impl AttributesBody {
    pub(super) fn change(&self) -> Result<AttributesChange> {
        let time = |seconds: Option<i64>| {
            let since_1970 = |seconds: i64| Timestamp::from_second(seconds).ok().filter(|_| seconds >= 0);
            let bad =
                || ApiError::invalid("nbf and exp are seconds since 1970, within the years that there are");
            seconds.map(|seconds| since_1970(seconds).ok_or_else(bad)).transpose()
        };
        if self.exportable == Some(true) {
            return Err(ApiError::invalid(
                "exportable keys are not supported: the private part never leaves the vault",
            ));
        }
        Ok(AttributesChange { enabled: self.enabled, not_before: time(self.nbf)?, expires: time(self.exp)? })
    }
}

pub(super) type Tags = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
pub(super) struct CreateKey {
    pub(super) kty: String,
    pub(super) key_size: Option<u32>,
    pub(super) public_exponent: Option<u64>,
    pub(super) crv: Option<String>,
    pub(super) key_ops: Option<Vec<String>>,
    #[serde(default)]
    pub(super) attributes: Option<AttributesBody>,
    #[serde(default)]
    pub(super) tags: Option<Tags>,
    pub(super) release_policy: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ImportKey {
    pub(super) key: JsonWebKey,
    #[serde(rename = "Hsm", alias = "hsm")]
    pub(super) hsm: Option<bool>,
    #[serde(default)]
    pub(super) attributes: Option<AttributesBody>,
    #[serde(default)]
    pub(super) tags: Option<Tags>,
}

/// A JSON Web Key with its private part; wiped when dropped.
#[derive(Deserialize)]
pub(super) struct JsonWebKey {
    pub(super) kty: String,
    pub(super) key_ops: Option<Vec<String>>,
    n: Option<Zeroizing<String>>,
    e: Option<Zeroizing<String>>,
    d: Option<Zeroizing<String>>,
    p: Option<Zeroizing<String>>,
    q: Option<Zeroizing<String>>,
    dp: Option<Zeroizing<String>>,
    dq: Option<Zeroizing<String>>,
    qi: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for JsonWebKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonWebKey").field("kty", &self.kty).finish_non_exhaustive()
    }
}

impl JsonWebKey {
    pub(super) fn components(&self) -> Result<RsaComponents> {
        let part = |name: &str, text: &Option<Zeroizing<String>>| -> Result<Zeroizing<Vec<u8>>> {
            let text =
                text.as_ref().ok_or_else(|| ApiError::invalid(format!("the key lacks its part {name}")))?;
            bytes(&format!("the part {name} of the key"), text)
        };
        let secret = |name: &str, text: &Option<Zeroizing<String>>| part(name, text).map(SecretBytes::new);
        Ok(RsaComponents {
            n: part("n", &self.n)?.to_vec(),
            e: part("e", &self.e)?.to_vec(),
            d: secret("d", &self.d)?,
            p: secret("p", &self.p)?,
            q: secret("q", &self.q)?,
            dp: secret("dp", &self.dp)?,
            dq: secret("dq", &self.dq)?,
            qi: secret("qi", &self.qi)?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UpdateKey {
    pub(super) key_ops: Option<Vec<String>>,
    pub(super) attributes: Option<AttributesBody>,
    pub(super) tags: Option<Tags>,
}

/// Encrypt, decrypt, wrapKey, unwrapKey, sign.
#[derive(Deserialize)]
pub(super) struct UseKey {
    pub(super) alg: String,
    pub(super) value: Zeroizing<String>,
}

#[derive(Deserialize)]
pub(super) struct VerifyBody {
    pub(super) alg: String,
    pub(super) digest: String,
    #[serde(alias = "value")]
    pub(super) signature: String,
}

#[derive(Deserialize)]
pub(super) struct Backup {
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetSecret {
    pub(super) value: Zeroizing<String>,
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) attributes: Option<AttributesBody>,
    #[serde(default)]
    pub(super) tags: Option<Tags>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UpdateSecret {
    pub(super) content_type: Option<String>,
    pub(super) attributes: Option<AttributesBody>,
    pub(super) tags: Option<Tags>,
}

/// Bytes in base64url; padding is read over.
pub(super) fn bytes(what: &str, text: &str) -> Result<Zeroizing<Vec<u8>>> {
    Base64UrlUnpadded::decode_vec(text.trim_end_matches('='))
        .map(Zeroizing::new)
        .map_err(|_| ApiError::invalid(format!("{what} is not base64url")))
}

pub(super) fn text(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Operations by their published names.
pub(super) fn operations(names: Option<&Vec<String>>) -> Result<Option<Vec<KeyOperation>>> {
    let parse = |name: &String| {
        name.parse().map_err(|error: cofre_keyvault::KeyVaultError| ApiError::invalid(error.to_string()))
    };
    names.map(|names| names.iter().map(parse).collect()).transpose()
}

fn attributes(attributes: &Attributes, recovery: Recovery) -> Map<String, Value> {
    let mut json = Map::new();
    json.insert("enabled".to_owned(), json!(attributes.enabled));
    if let Some(from) = attributes.not_before {
        json.insert("nbf".to_owned(), json!(from.as_second()));
    }
    if let Some(to) = attributes.expires {
        json.insert("exp".to_owned(), json!(to.as_second()));
    }
    json.insert("created".to_owned(), json!(attributes.created.as_second()));
    json.insert("updated".to_owned(), json!(attributes.updated.as_second()));
    json.insert("recoveryLevel".to_owned(), json!(recovery.level()));
    json.insert("recoverableDays".to_owned(), json!(recovery.days));
    json
}

fn add(json: &mut Value, fields: Value) {
    if let (Some(json), Value::Object(fields)) = (json.as_object_mut(), fields) {
        json.extend(fields);
    }
}

/// A key version with its public part.
pub(super) fn key(base: &str, key: &KeyBundle) -> Value {
    let mut attributes = attributes(&key.attributes, key.recovery);
    attributes.insert("exportable".to_owned(), json!(false));
    json!({
        "key": {
            "kid": format!("{base}/keys/{}/{}", key.name, key.version),
            "kty": "RSA",
            "key_ops": key.operations,
            "n": text(&key.n),
            "e": text(&key.e),
        },
        "attributes": attributes,
        "tags": key.tags,
    })
}

/// A key in a list; with its version where the list is one of versions.
pub(super) fn key_item(base: &str, item: &ItemProperties, versioned: bool) -> Value {
    let mut attributes = attributes(&item.attributes, item.recovery);
    attributes.insert("exportable".to_owned(), json!(false));
    json!({"kid": id(base, "keys", item, versioned), "attributes": attributes, "tags": item.tags})
}

/// A secret without its value.
pub(super) fn secret_item(base: &str, item: &ItemProperties, versioned: bool) -> Value {
    let mut json = json!({
        "id": id(base, "secrets", item, versioned),
        "attributes": attributes(&item.attributes, item.recovery),
        "tags": item.tags,
    });
    if let Some(content_type) = &item.content_type {
        add(&mut json, json!({"contentType": content_type}));
    }
    json
}

fn id(base: &str, collection: &str, item: &ItemProperties, versioned: bool) -> String {
    let version = if versioned { format!("/{}", item.version) } else { String::new() };
    format!("{base}/{collection}/{}{version}", item.name)
}

/// What a deleted object has besides.
pub(super) fn deleted(
    mut json: Value,
    base: &str,
    collection: &str,
    name: &str,
    deletion: &Deletion,
) -> Value {
    add(
        &mut json,
        json!({
            "recoveryId": format!("{base}/{collection}/{name}"),
            "deletedDate": deletion.deleted.as_second(),
            "scheduledPurgeDate": deletion.scheduled_purge.as_second(),
        }),
    );
    json
}
