//! Access tokens: JSON Web Tokens signed with ES256 (RFC 7518), an hour long. Which algorithm a token claims to have is
//! not asked: only this one is tried.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_arm::{ApiError, Problem, Result};
use cofre_keyvault::Clock;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::directory::{Directory, Snapshot, new_guid};

/// How long a token lives, in seconds. Clients fetch another when less than 300 are left.
pub(crate) const LIFETIME: i64 = 3600;
/// How far clocks may be apart, in seconds.
pub(crate) const SKEW: i64 = 60;
/// Longest token that is looked at, in bytes.
const LONGEST: usize = 8 << 10;
/// Most tokens that are remembered as verified.
const REMEMBERED: usize = 4096;

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Object id of the principal.
    pub object_id: String,
    /// Its application id.
    pub application_id: String,
    /// Its name when the token was given.
    pub name: String,
    /// The credential that the token was given for.
    pub credential: String,
    /// For whom the token is.
    pub audience: String,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    oid: String,
    appid: String,
    app_displayname: String,
    tid: String,
    /// Id of the credential.
    cid: String,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// The key that tokens are signed with.
pub struct TokenKey {
    id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// Coordinates of the public key, in base64url.
    public: (String, String),
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn unusable(path: &Path, what: &str) -> ApiError {
    ApiError::new(Problem::StateUnavailable, format!("the key for tokens, {}, {what}", path.display()))
        .recommend("Delete it and start the service again: a new one is made, and everybody logs in anew.")
}

impl TokenKey {
    /// Makes a key in a new file that its owner alone may read.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn create_file(path: &Path) -> Result<()> {
        let failed = || unusable(path, "cannot be written");
        let pair = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .map_err(|_| failed())?;
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(pair.as_ref())?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| failed().because(error))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// `StateUnavailable` when it is none, or others may read it.
    pub fn from_file(path: &Path) -> Result<Self> {
        let read = || -> std::io::Result<(u32, Zeroizing<Vec<u8>>)> {
            let file = File::open(path)?;
            let mode = file.metadata()?.mode();
            let mut bytes = Zeroizing::new(Vec::new());
            file.take(1024).read_to_end(&mut bytes)?;
            Ok((mode, bytes))
        };
        let (mode, bytes) = read().map_err(|error| unusable(path, "cannot be read").because(error))?;
        if mode & 0o077 != 0 {
            return Err(unusable(path, "may be read by others than its owner").recommend("chmod 600 it."));
        }
        Self::from_pkcs8(&bytes).ok_or_else(|| unusable(path, "is no ES256 key"))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
        let point = pair.public_key().as_ref();
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let public = (Base64UrlUnpadded::encode_string(x), Base64UrlUnpadded::encode_string(y));
        let verifying = DecodingKey::from_ec_components(&public.0, &public.1).ok()?;
        let id = Base64UrlUnpadded::encode_string(&digest::digest(&digest::SHA256, point).as_ref()[..12]);
        Some(Self { id, signing: EncodingKey::from_ec_der(pkcs8), verifying, public })
    }

    /// The public half as a JSON Web Key Set.
    #[must_use]
    pub fn key_set(&self) -> Value {
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": self.public.0, "y": self.public.1,
        }]})
    }
}

/// Issues tokens and accepts them.
pub struct Tokens {
    key: TokenKey,
    clock: Arc<dyn Clock>,
    /// Tokens by their SHA-256: a signature is verified once.
    verified: Mutex<HashMap<[u8; 32], Arc<Identity>>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("key", &self.key).finish_non_exhaustive()
    }
}

fn refused(why: &str) -> ApiError {
    ApiError::new(Problem::Unauthenticated, format!("the access token {why}"))
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

/// That a token counts now, and for an audience.
fn check(identity: &Identity, now: i64, audience: &str) -> Result<()> {
    if now >= identity.expires {
        return Err(refused("has expired"));
    }
    if identity.audience.trim_end_matches('/') != audience.trim_end_matches('/') {
        return Err(refused("is for another service"));
    }
    Ok(())
}

impl Tokens {
    /// Tokens signed with a key.
    #[must_use]
    pub fn new(key: TokenKey, clock: Arc<dyn Clock>) -> Self {
        Self { key, clock, verified: Mutex::default() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A token for an identity; its `expires` is not looked at.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn issue(&self, issuer: &str, tenant: &str, identity: &Identity) -> Result<String> {
        let now = self.now().as_second();
        let claims = Claims {
            iss: issuer.to_owned(),
            aud: identity.audience.clone(),
            sub: identity.object_id.clone(),
            oid: identity.object_id.clone(),
            appid: identity.application_id.clone(),
            app_displayname: identity.name.clone(),
            tid: tenant.to_owned(),
            cid: identity.credential.clone(),
            jti: new_guid()?,
            iat: now,
            nbf: now,
            exp: now + LIFETIME,
        };
        let header = Header { kid: Some(self.key.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key.signing)
            .map_err(|_| ApiError::new(Problem::StateUnavailable, "the access token cannot be signed"))
    }

    /// Whose token it is, if it was issued here for one of the audiences and is within its time.
    ///
    /// # Errors
    /// `AuthenticationFailed`.
    pub fn verify(&self, token: &str, tenant: &str, audience: &str) -> Result<Arc<Identity>> {
        if token.len() > LONGEST {
            return Err(refused("is longer than any of ours"));
        }
        let hash = hash(token);
        let now = self.now().as_second();
        let identity = match self.remembered(&hash) {
            Some(identity) => identity,
            None => self.verify_signature(token, tenant, now, hash)?,
        };
        check(&identity, now, audience)?;
        Ok(identity)
    }

    /// As [`verify`](Self::verify), from memory alone: whose token it is, if that was found out before and it still counts.
    pub(crate) fn known(&self, token: &str, audience: &str) -> Option<Arc<Identity>> {
        let identity = (token.len() <= LONGEST).then(|| self.remembered(&hash(token)))??;
        check(&identity, self.now().as_second(), audience).ok()?;
        Some(identity)
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Identity>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn verify_signature(&self, token: &str, tenant: &str, now: i64, hash: [u8; 32]) -> Result<Arc<Identity>> {
        let mut validation = Validation::new(Algorithm::ES256);
        // Times are compared below, with a clock that tests can move; the audience by whoever asks.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key.verifying, &validation)
            .map_err(|_| refused("was not issued by this service, or was changed"))?
            .claims;
        if claims.nbf > now + SKEW {
            return Err(refused("is not valid yet"));
        }
        if !claims.tid.eq_ignore_ascii_case(tenant) {
            return Err(refused("is of another tenant"));
        }
        let identity = Arc::new(Identity {
            object_id: claims.oid,
            application_id: claims.appid,
            name: claims.app_displayname,
            credential: claims.cid,
            audience: claims.aud,
            expires: claims.exp,
        });
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.retain(|_, identity| now < identity.expires);
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
        }
        verified.insert(hash, identity.clone());
        Ok(identity)
    }
}

/// That the principal and the credential of a token are still there, and the credential still counts.
///
/// # Errors
/// `AuthenticationFailed`, and those of the database.
pub(crate) fn check_current(directory: &Directory, identity: &Identity, now: Timestamp) -> Result<()> {
    if is_current(&*directory.recent()?, identity, now) {
        return Ok(());
    }
    Err(refused("is of a principal or credential that was removed, or that has expired"))
}

/// Whether the principal and the credential of a token are in the directory, and the credential still counts.
pub(crate) fn is_current(directory: &Snapshot, identity: &Identity, now: Timestamp) -> bool {
    let principal = directory.principal(&identity.object_id);
    principal.is_some_and(|principal| {
        let mut credentials = principal.credentials.iter();
        credentials
            .find(|credential| credential.id == identity.credential)
            .is_some_and(|credential| credential.is_current(now))
    })
}
