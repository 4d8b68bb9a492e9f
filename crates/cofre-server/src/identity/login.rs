//! `POST …/oauth2/token`: the client credentials grant (RFC 6749, 4.4).

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    assertion, discovery,
    tokens::{Identity, LIFETIME, Tokens},
};
use crate::{
    addresses::{Addresses, MANAGEMENT_AUDIENCE},
    directory::{Credential, Directory, Principal, Snapshot},
    http::{Answer, Call, Query, Refusal},
    limits::Limits,
};

/// What signs a client assertion that is a token (RFC 7523).
const BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Longest form that is read, in bytes: the longest assertion, percent-encoded, and the rest.
const LONGEST_FORM: usize = 32 << 10;
/// How much of the id of a client failures are counted by, in characters; those there are have 36.
const LONGEST_CLIENT: usize = 64;

fn refuse(status: u16, error: &str, number: u32, description: &str) -> Refusal {
    Refusal::new(status, json!({"error": error, "error_description": description, "error_codes": [number]}))
}

/// One answer for whatever is wrong with a client and its credential: who is there is nobody's business.
fn invalid_client() -> Refusal {
    refuse(
        401,
        "invalid_client",
        7_000_215,
        "The client is not known, or its secret, certificate or token does not prove it. Check client id and \
         credential; `cofre principal credential add` makes a new one.",
    )
    .with("www-authenticate", "Basic realm=\"cofre\"")
}

/// What the form says. The secret is wiped after use.
struct Form {
    client: String,
    secret: Option<Zeroizing<String>>,
    assertion: Option<String>,
    scope: String,
}

impl Form {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let bad = |description: &str| refuse(400, "invalid_request", 900_144, description);
        let body = std::str::from_utf8(&call.body).map_err(|_| bad("The form is no UTF-8."))?;
        let fields = (body.len() <= LONGEST_FORM).then(|| Query::parse(body).ok()).flatten();
        let fields = fields.ok_or_else(|| bad("The body is no form of reasonable size."))?;
        if fields.get("grant_type") != Some("client_credentials") {
            return Err(refuse(
                400,
                "unsupported_grant_type",
                70_003,
                "Only the grant type client_credentials is there: log in as a service principal.",
            ));
        }
        let basic = call
            .header("authorization")
            .map_err(|_| bad("The header Authorization stands more than once."))?
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|encoded| Base64::decode_vec(encoded.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok().map(Zeroizing::new));
        let basic = basic.as_ref().and_then(|text| text.split_once(':'));
        let client = fields.get("client_id").or(basic.map(|(client, _)| client));
        let client = client.ok_or_else(|| bad("The field client_id is missing."))?.to_owned();
        let secret = fields.get("client_secret").or(basic.map(|(_, secret)| secret));
        let assertion = fields.get("client_assertion");
        if assertion.is_some() && fields.get("client_assertion_type") != Some(BEARER_ASSERTION) {
            return Err(bad("The field client_assertion_type is not that of a JWT bearer assertion."));
        }
        let scope = fields.get("scope").or_else(|| fields.get("resource"));
        Ok(Self {
            client,
            secret: secret.map(|secret| Zeroizing::new(secret.to_owned())),
            assertion: assertion.map(str::to_owned),
            scope: scope.ok_or_else(|| bad("The field scope is missing."))?.to_owned(),
        })
    }
}

/// For whom a scope asks a token. Scopes are an audience and `/.default`; OpenID's own are passed over.
fn audience(scope: &str, addresses: &Addresses) -> Option<String> {
    let known = [
        MANAGEMENT_AUDIENCE.to_owned(),
        addresses.key_vault_audience(),
        addresses.graph_audience(),
        addresses.base(),
    ];
    let mut wanted =
        scope.split(' ').filter(|s| !s.is_empty() && !matches!(*s, "openid" | "profile" | "offline_access"));
    let one = wanted.next()?;
    let one = one.strip_suffix("/.default").unwrap_or(one).trim_end_matches('/');
    let found = known.into_iter().find(|known| known.trim_end_matches('/').eq_ignore_ascii_case(one))?;
    // The resource endpoint is also asked for by its own address.
    let found = if found == addresses.base() { MANAGEMENT_AUDIENCE.to_owned() } else { found };
    wanted.next().is_none().then_some(found)
}

fn prove<'a>(
    principal: &'a Principal,
    form: &Form,
    call: &Call,
    addresses: &Addresses,
    tokens: &Tokens,
) -> Option<&'a Credential> {
    let now = tokens.now();
    if let Some(secret) = &form.secret {
        // All are compared, so that it takes as long whichever it is.
        let mut found = None;
        for credential in &principal.credentials {
            if credential.is_secret(secret) && credential.is_current(now) {
                found = Some(credential);
            }
        }
        return found;
    }
    let path = format!("/{}", call.target.segments.join("/"));
    // Not whatever host the request names: an assertion for another service would be taken in that one's name.
    let base = discovery::base(call, addresses);
    let endpoints = [format!("{base}{path}")];
    assertion::credential_of(principal, form.assertion.as_deref()?, &endpoints, now)
}

/// Answers a login. Failures are limited by client and by address.
pub(crate) fn token(
    call: &Call,
    addresses: &Addresses,
    directory: &Directory,
    tokens: &Tokens,
    limits: &Limits,
) -> Result<Answer, Refusal> {
    let form = Form::read(call)?;
    // By client and address: nobody keeps a client out by failing in its name from elsewhere.
    let client: String = form.client.chars().take(LONGEST_CLIENT).collect();
    let who = format!("{} {}", client.to_ascii_lowercase(), call.peer);
    limits.check_failures(&who)?;
    let audience = audience(&form.scope, addresses).ok_or_else(|| {
        refuse(
            400,
            "invalid_scope",
            70_011,
            "The scope is none of this service: the audience of the resource endpoint or of key vaults, and /.default.",
        )
    })?;
    let snapshot: Arc<Snapshot> = directory.fresh()?;
    let principal = snapshot.application(&form.client);
    let proven = principal.and_then(|principal| {
        prove(principal, &form, call, addresses, tokens).map(|credential| (principal, credential))
    });
    let Some((principal, credential)) = proven else {
        limits.count_failure(&who);
        return Err(invalid_client());
    };
    let identity = Identity {
        object_id: principal.object_id.clone(),
        application_id: principal.application_id.clone(),
        name: principal.display_name.clone(),
        credential: credential.id.clone(),
        audience,
        expires: 0,
    };
    let issuer = format!("{}/adfs", addresses.base());
    let token = tokens.issue(&issuer, directory.tenant(), &identity)?;
    let lifetime = LIFETIME - 1;
    Ok(Answer::ok(&json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    }))
    .with("pragma", "no-cache"))
}
