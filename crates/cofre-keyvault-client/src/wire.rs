//! Bodies of the data plane.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    error::{ClientError, ErrorKind, Result, tidy},
    transport::Reply,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    code: String,
    message: String,
    innererror: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    code: String,
}

/// Why a server did not do what it was asked. The words of an answer to a request with a secret are not repeated.
pub(crate) fn refusal(reply: &Reply, host: &str, with_secret: bool) -> ClientError {
    let body: ErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let outer = body.error.code;
    let code = body.error.innererror.map(|inner| inner.code).filter(|code| !code.is_empty());
    let code = code.unwrap_or_else(|| outer.clone());
    let kind = match (reply.status, code.as_str()) {
        (403, "KeyOrSecretDisabled" | "KeyDisabled" | "SecretDisabled") => ErrorKind::Disabled,
        (403, _) => ErrorKind::Forbidden,
        (404, "KeyVaultNotFound" | "VaultNotFound") => ErrorKind::VaultNotFound,
        (404, _) => ErrorKind::NotFound,
        (405 | 501, _) => ErrorKind::NotSupported,
        (409, _) => ErrorKind::Conflict,
        (401, _) => ErrorKind::Login,
        (429 | 503, _) => ErrorKind::Busy,
        (400..500, _) => ErrorKind::BadRequest,
        (500.., _) => ErrorKind::Failed,
        _ => ErrorKind::Answer,
    };
    let code = tidy(&code);
    let words = if with_secret || body.error.message.is_empty() {
        String::new()
    } else {
        format!(": {}", tidy(&body.error.message))
    };
    ClientError::new(kind, format!("{host} answered {} {}{words}", reply.status, tidy(&outer)))
        .with_code(code)
}

#[derive(Deserialize)]
pub(crate) struct KeyBundle {
    pub(crate) key: KeyId,
    #[serde(default)]
    pub(crate) attributes: Attributes,
}

#[derive(Deserialize)]
pub(crate) struct KeyId {
    pub(crate) kid: String,
}

#[derive(Deserialize)]
pub(crate) struct Attributes {
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) value: Vec<T>,
    pub(crate) next_link: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Blob {
    pub(crate) value: Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretBundle {
    pub(crate) id: String,
    pub(crate) value: Zeroizing<String>,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    #[serde(default)]
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetSecret<'a> {
    pub(crate) value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'a str>,
    pub(crate) tags: &'a BTreeMap<String, String>,
}

/// The name and version at the end of an id: `https://HOST/COLLECTION/NAME/VERSION`.
pub(crate) fn name_and_version<'a>(id: &'a str, collection: &str) -> Option<(&'a str, &'a str)> {
    let (_, path) = id.strip_prefix("https://")?.split_once('/')?;
    let mut parts = path.split('/');
    let found = parts.next()?.eq_ignore_ascii_case(collection);
    let (name, version) = (parts.next()?, parts.next()?);
    let is_label =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (found && parts.next().is_none() && is_label(name) && is_label(version)).then_some((name, version))
}

pub(crate) fn bytes(text: &str, host: &str) -> Result<Zeroizing<Vec<u8>>> {
    Base64UrlUnpadded::decode_vec(text.trim_end_matches('='))
        .map(Zeroizing::new)
        .map_err(|_| ClientError::answer(host, "the backup is not base64url"))
}

pub(crate) fn text(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(Base64UrlUnpadded::encode_string(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let version = "0123456789abcdef0123456789abcdef";
        let id = format!("https://kv1.vault.other:8443/keys/kek/{version}");
        assert_eq!(name_and_version(&id, "keys"), Some(("kek", version)));
        for bad in [
            "https://h/keys/kek",
            "https://h/secrets/kek/1",
            "https://h/keys/kek/1/2",
            "http://h/keys/kek/1",
            "https://h/keys/a%2f/1",
            "",
        ] {
            assert_eq!(name_and_version(bad, "keys"), None, "{bad}");
        }
    }

    #[test]
    fn refusals_tell_cases_apart_and_keep_secrets_to_themselves() {
        let reply = |status, body: &str| Reply {
            status,
            headers: Default::default(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let body = |code: &str, inner: &str| {
            format!(
                r#"{{"error": {{"code": "{code}", "message": "the value hunter2\n is bad", "innererror": {{"code": "{inner}"}}}}}}"#
            )
        };
        for (status, code, inner, kind) in [
            (403, "Forbidden", "AccessDenied", ErrorKind::Forbidden),
            (403, "Forbidden", "SecretDisabled", ErrorKind::Disabled),
            (403, "Forbidden", "KeyOrSecretDisabled", ErrorKind::Disabled),
            (404, "VaultNotFound", "", ErrorKind::VaultNotFound),
            (404, "KeyNotFound", "", ErrorKind::NotFound),
            (409, "Conflict", "ObjectIsDeletedButRecoverable", ErrorKind::Conflict),
            (400, "BadParameter", "KeyVaultBlobNotUsable", ErrorKind::BadRequest),
            (503, "", "", ErrorKind::Busy),
            (500, "InternalError", "", ErrorKind::Failed),
            (302, "", "", ErrorKind::Answer),
        ] {
            let error = refusal(&reply(status, &body(code, inner)), "h", true);
            assert_eq!(error.kind(), kind, "{status} {code} {inner}");
            assert_eq!(error.code(), if inner.is_empty() { code } else { inner });
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let told = refusal(&reply(400, &body("BadParameter", "")), "h", false).to_string();
        assert_eq!(told, "h answered 400 BadParameter: the value hunter2  is bad");
        assert_eq!(refusal(&reply(502, "<html>"), "h", false).to_string(), "h answered 502 ");
    }
}
