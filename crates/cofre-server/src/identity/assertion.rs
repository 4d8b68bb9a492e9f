//! Client assertions (RFC 7523): a token that the client signed with its certificate, or one of another issuer that the
//! client is trusted by.

use base64ct::{Base64, Encoding as _};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::Deserialize;

use super::tokens::SKEW;
use crate::directory::{Credential, CredentialKind, Principal};

/// Longest assertion that is looked at, in bytes.
const LONGEST: usize = 16 << 10;
/// The longest life of an assertion signed with a certificate, in seconds: a stolen one is of no use the next day.
const LONGEST_LIFE: i64 = 24 * 3600;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Instant,
    #[serde(default)]
    nbf: Option<Instant>,
    #[serde(default)]
    iat: Option<Instant>,
}

/// Seconds since 1970, rounded down. MSAL for Python sends fractions, as RFC 7519 (section 2) lets it.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Instant(i64);

impl TryFrom<f64> for Instant {
    type Error = &'static str;

    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        // Up to the year 10 000; a NaN is in no range.
        let is_date = (0.0..253_402_300_800.0).contains(&seconds);
        if is_date { Ok(Self(seconds.floor() as i64)) } else { Err("not a time in seconds since 1970") }
    }
}

/// One audience or several (RFC 7519, 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &[String]) -> bool {
        let is_wanted =
            |one: &str| wanted.iter().any(|w| w.trim_end_matches('/') == one.trim_end_matches('/'));
        match self {
            Self::One(one) => is_wanted(one),
            Self::Several(several) => several.iter().any(|one| is_wanted(one)),
        }
    }
}

/// The credential of the principal that an assertion proves; `None` when it proves none, for whatever reason.
///
/// `endpoints` are the addresses of the token endpoint, of which a client signs one.
pub(super) fn credential_of<'a>(
    principal: &'a Principal,
    assertion: &str,
    endpoints: &[String],
    now: Timestamp,
) -> Option<&'a Credential> {
    if assertion.len() > LONGEST {
        return None;
    }
    let header = jsonwebtoken::decode_header(assertion).ok()?;
    let now_seconds = now.as_second();
    principal.credentials.iter().filter(|credential| credential.is_current(now)).find(|credential| {
        match &credential.kind {
            CredentialKind::Secret { .. } => false,
            CredentialKind::Certificate { thumbprint, thumbprint256, public_key } => {
                // MSAL for Python leaves the padding on, against RFC 7515.
                let is = |named: &Option<String>, ours: &String| {
                    named.as_ref().is_some_and(|x5t| x5t.trim_end_matches('=') == ours)
                };
                let named = is(&header.x5t, thumbprint) || is(&header.x5t_s256, thumbprint256);
                let claims = named
                    .then(|| Base64::decode_vec(public_key).ok())
                    .flatten()
                    .and_then(|key| signed_with(assertion, &DecodingKey::from_rsa_der(&key)));
                claims.is_some_and(|claims| {
                    let client = &principal.application_id;
                    claims.iss.eq_ignore_ascii_case(client)
                        && claims.sub.eq_ignore_ascii_case(client)
                        && claims.aud.has(endpoints)
                        && claims.exp.0 <= now_seconds + LONGEST_LIFE + SKEW
                        && claims.is_timely(now_seconds)
                })
            }
            CredentialKind::Federated { issuer, subject, audience, keys } => {
                let claims = key_of(keys, header.kid.as_deref()).and_then(|key| signed_with(assertion, &key));
                claims.is_some_and(|claims| {
                    claims.iss == *issuer
                        && claims.sub == *subject
                        && claims.aud.has(std::slice::from_ref(audience))
                        && claims.is_timely(now_seconds)
                })
            }
        }
    })
}

impl Claims {
    fn is_timely(&self, now: i64) -> bool {
        let begun = [self.nbf, self.iat].into_iter().flatten().all(|from| from.0 <= now + SKEW);
        begun && now < self.exp.0 + SKEW
    }
}

/// The issuer's key of an id; the only one where no id is named.
fn key_of(keys: &JwkSet, id: Option<&str>) -> Option<DecodingKey> {
    let key = match id {
        Some(id) => keys.find(id)?,
        None => keys.keys.first().filter(|_| keys.keys.len() == 1)?,
    };
    DecodingKey::from_jwk(key).ok()
}

/// The claims, if they are signed with a key, by an algorithm with public and private halves: a public key is no
/// shared secret, and `none` is no algorithm.
fn signed_with(assertion: &str, key: &DecodingKey) -> Option<Claims> {
    const ALGORITHMS: &[Algorithm] = &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
    ];
    let claimed = jsonwebtoken::decode_header(assertion).ok()?.alg;
    let algorithm = *ALGORITHMS.iter().find(|algorithm| **algorithm == claimed)?;
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    Some(jsonwebtoken::decode::<Claims>(assertion, key, &validation).ok()?.claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_or_without_fractions() {
        let claims = |exp: &str| {
            serde_json::from_str::<Claims>(&format!(
                r#"{{"iss": "i", "sub": "s", "aud": "a", "exp": {exp}}}"#
            ))
        };
        for (text, seconds) in [("1795622606", 1_795_622_606), ("1795622606.97", 1_795_622_606), ("0", 0)] {
            assert_eq!(claims(text).unwrap().exp.0, seconds, "{text}");
        }
        for bad in ["-1", "1e300", "253402300800", "null", "\"1795622606\"", "true"] {
            assert!(claims(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_assertion_counts_within_its_times() {
        let claims = |rest: &str| -> Claims {
            serde_json::from_str(&format!(r#"{{"iss": "i", "sub": "s", "aud": ["a", "b/"], {rest}}}"#))
                .unwrap()
        };
        assert!(claims(r#""exp": 1000, "iat": 900.5"#).is_timely(950));
        assert!(!claims(r#""exp": 1000"#).is_timely(1000 + SKEW));
        assert!(!claims(r#""exp": 9999, "nbf": 1000"#).is_timely(1000 - SKEW - 1));
        assert!(claims(r#""exp": 1"#).aud.has(&["b".to_owned()]));
    }
}
