//! What clients ask before they log in: where everything is.

use serde_json::{Value, json};

use crate::{
    addresses::{Addresses, MANAGEMENT_AUDIENCE},
    http::Call,
};

/// The address that a call came to, where it is one of ours; clients that use another name of this host go on with it.
pub(super) fn base(call: &Call, addresses: &Addresses) -> String {
    if addresses.is_own(&call.host) { call.origin() } else { addresses.base() }
}

/// `GET /metadata/endpoints`: one object; a list of one for api-versions before 2022, which want it so.
pub(crate) fn endpoints(call: &Call, addresses: &Addresses) -> Value {
    let base = base(call, addresses);
    let cloud = json!({
        "name": "cofre",
        "portal": format!("{base}/portal"),
        "gallery": format!("{base}/gallery"),
        "graph": format!("{base}/graph"),
        "graphAudience": format!("{base}/graph"),
        "microsoftGraphResourceId": format!("{base}/msgraph/"),
        "resourceManager": format!("{base}/"),
        "media": base,
        "batch": base,
        "vmImageAliasDoc": format!("{base}/aliases.json"),
        "sqlManagement": base,
        "activeDirectoryDataLake": base,
        "authentication": {
            "loginEndpoint": format!("{base}/adfs"),
            "audiences": [MANAGEMENT_AUDIENCE],
            "tenant": "adfs",
            "identityProvider": "ADFS",
        },
        "suffixes": {
            "keyVaultDns": addresses.key_vault_dns(),
            "storage": "storage.localhost",
            "acrLoginServer": "acr.localhost",
            "sqlServerHostname": "sql.localhost",
        },
    });
    let is_old = call.target.query.get("api-version").is_some_and(|version| version < "2022");
    if is_old { json!([cloud]) } else { cloud }
}

/// `GET /adfs/.well-known/openid-configuration`.
pub(crate) fn openid_configuration(call: &Call, addresses: &Addresses) -> Value {
    let issuer = format!("{}/adfs", base(call, addresses));
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/discovery/keys"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
    })
}

/// `GET /adfs/discovery/keys`.
pub(crate) fn key_set(tokens: &super::Tokens) -> Value {
    tokens.key().key_set()
}
