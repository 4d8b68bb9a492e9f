//! Key files: the master key, sealed under a key derived from a password with scrypt.
//!
//! The parameters are fixed at N = 2^14, r = 8, p = 1 (16 MiB of memory): repository secrets are
//! meant to be 256 random bits as text, which no amount of stretching improves. The parameters of
//! key files that restic wrote are honoured up to a bound.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    crypto::{RawKey, SealingKey, random, sha256},
    error::{ErrorKind, RepoError, Result},
    id::KeyId,
    secret::RepositorySecret,
    storage::{Kind, Object, Storage},
};

/// log2 of scrypt's N.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
/// Most memory a foreign key file may ask for (scrypt needs 128·N·r bytes), and most passes.
const MAX_MEMORY: u64 = 512 * 1024 * 1024;
const MAX_P: u32 = 16;
/// Key files that are tried, as restic does: each costs a scrypt run.
const MAX_KEYS: usize = 20;
const MAX_LENGTH: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    created: String,
    username: String,
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

fn derive(secret: &RepositorySecret, salt: &[u8], log_n: u8, r: u32, p: u32) -> Result<SealingKey> {
    let refused = || RepoError::new(ErrorKind::Damaged, "a key file asks for impossible scrypt parameters");
    let parameters = scrypt::Params::new(log_n, r, p).map_err(|_| refused())?;
    let mut bytes = Zeroizing::new([0; 64]);
    scrypt::scrypt(secret.as_bytes(), salt, &parameters, bytes.as_mut_slice()).map_err(|_| refused())?;
    SealingKey::new(&RawKey::from_bytes(&bytes))
}

/// Seals `master` under `secret` into a new key file and stores it.
///
/// # Errors
/// As [`Storage::create`].
pub fn create(
    storage: &dyn Storage,
    secret: &RepositorySecret,
    master: &RawKey,
    created: Timestamp,
) -> Result<KeyId> {
    use base64ct::{Base64, Encoding};
    let mut salt = [0; 64];
    random(&mut salt)?;
    let sealed = derive(secret, &salt, LOG_N, R, P)?.seal(&master.to_json()?)?;
    let file = KeyFile {
        created: created.to_string(),
        username: "cofre".to_owned(),
        hostname: String::new(),
        kdf: "scrypt".to_owned(),
        n: 1 << LOG_N,
        r: R,
        p: P,
        salt: Base64::encode_string(&salt),
        data: Base64::encode_string(&sealed),
    };
    let bytes = serde_json::to_vec(&file)
        .map_err(|e| RepoError::new(ErrorKind::Storage, "a key file could not be encoded").with_source(e))?;
    let id = KeyId(sha256(&bytes));
    storage.create(&id.into(), &bytes)?;
    Ok(id)
}

/// The master keys that `secret` opens, in no order. Usually one; a second one can be the trace of
/// two `init` at once.
///
/// # Errors
/// [`ErrorKind::WrongSecret`] when there is none, [`ErrorKind::Damaged`] when no key file is usable.
pub fn open(storage: &dyn Storage, secret: &RepositorySecret) -> Result<Vec<(Object, RawKey)>> {
    let files = storage.list(Kind::Key)?;
    if files.is_empty() {
        return Err(RepoError::damaged("keys/", "there is no key file").recommend(
            "Restore the directory `keys` from a copy: without a key file nothing can be opened.",
        ));
    }
    let mut opened = Vec::new();
    let mut unusable = None;
    for (object, _) in files.iter().take(MAX_KEYS) {
        let Some(bytes) = storage.read(object, MAX_LENGTH)? else { continue };
        match try_open(&bytes, secret) {
            Ok(Some(master)) => opened.push((object.clone(), master)),
            Ok(None) => {}
            Err(e) => {
                unusable = Some(RepoError::damaged(&object.to_string(), "is not usable").with_source(e))
            }
        }
    }
    if opened.is_empty() {
        return Err(match unusable {
            Some(damage) => damage,
            None => RepoError::new(
                ErrorKind::WrongSecret,
                format!("the secret opens none of the key files of {}", storage.location()),
            ),
        });
    }
    Ok(opened)
}

/// A key file that was read and whose parameters are bearable. Nothing in it is authenticated.
pub struct Sealed {
    log_n: u8,
    r: u32,
    p: u32,
    salt: Vec<u8>,
    data: Vec<u8>,
}

/// Decodes a key file and checks what it asks for, before any work is done for it.
///
/// # Errors
/// [`ErrorKind::Damaged`].
pub fn parse(bytes: &[u8]) -> Result<Sealed> {
    use base64ct::{Base64, Encoding};
    let bad = |what: &str| RepoError::new(ErrorKind::Damaged, what);
    let file: KeyFile =
        serde_json::from_slice(bytes).map_err(|e| bad("not the JSON of a key file").with_source(e))?;
    if file.kdf != "scrypt" || !file.n.is_power_of_two() {
        return Err(bad("not derived with scrypt, or with an N that is no power of two"));
    }
    let memory = file.n.checked_mul(u64::from(file.r)).and_then(|x| x.checked_mul(128));
    if memory.is_none_or(|m| m > MAX_MEMORY) || file.p > MAX_P {
        return Err(bad("asks for more than 512 MiB of memory or 16 passes"));
    }
    let decode = |text: &str| Base64::decode_vec(text).map_err(|e| bad("not base64").with_source(e));
    let log_n = u8::try_from(file.n.trailing_zeros()).unwrap_or(u8::MAX);
    Ok(Sealed { log_n, r: file.r, p: file.p, salt: decode(&file.salt)?, data: decode(&file.data)? })
}

/// `None`: the key file is sound and of another password.
fn try_open(bytes: &[u8], secret: &RepositorySecret) -> Result<Option<RawKey>> {
    let Sealed { log_n, r, p, salt, mut data } = parse(bytes)?;
    let key = derive(secret, &salt, log_n, r, p)?;
    let master = key.open_in_place(&mut data).map(|json| RawKey::from_json(json)).transpose();
    data.zeroize();
    master
}
