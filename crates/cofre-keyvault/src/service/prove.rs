//! Proving that a secret opens a header. Neither secret nor volume key leaves; a caller learns one of
//! *opens* and *does not open*, and nothing of where on the way it stayed closed.

use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::{Done, KeyVaults, OpenVault, keys::check_operation, objects::describe, proof_cache::Trial};
use crate::{
    audit::{self, AuditEvent, Operation, Scope},
    blob,
    caller::Caller,
    crypto::{fill_random, sha256},
    encoding::{SecretBytes, decode_any_base64, hex},
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{KeyVersion, Kind, SecretVersion},
    permission::{KeyOperation, KeyPermission, SecretPermission},
    policy::Permissions,
    private_key::PrivateKey,
    proof::{
        self, CaptureReason, HeaderProver, LONGEST_HEADER, ObjectReference, Origin, ProofKeys, ProofMaterial,
        ProofRecord, ProofRequest, ProofState, ProverAnswer,
    },
    rsa_key::WrapAlgorithm,
};

/// Longest name of a point or disk, in characters.
const LONGEST_LABEL: usize = 256;
/// Bytes that are tried in place of a secret that does not unwrap: as many as a passphrase has.
const STAND_IN: usize = 172;

/// Secret and key, found and permitted.
pub(super) struct Material {
    pub(super) origin: Origin,
    pub(super) secret: ObjectReference,
    pub(super) key: Option<ObjectReference>,
    pub(super) key_blob_sha256: Option<String>,
    /// As stored in the secret.
    pub(super) value: SecretBytes,
    pub(super) pkcs8: Option<SecretBytes>,
}

impl KeyVaults {
    /// Tries a secret on a header and returns a sealed record of the answer. That the secret does not open
    /// the header is an answer, not an error.
    ///
    /// A secret that opened the same header by the same key within the last seven days is not tried again:
    /// [`ProofRecord::tried`] says when it was.
    ///
    /// Needs the permission *get* for secrets on the secret's vault and for keys on the key's vault, and
    /// both vaults enabled for disk encryption.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::NotEnabledForDiskEncryption`], [`ErrorKind::ObjectNotFound`],
    /// [`ErrorKind::Disabled`], [`ErrorKind::OperationNotPermitted`], [`ErrorKind::BlobNotUsable`],
    /// [`ErrorKind::Invalid`], and those of vault and storage.
    pub fn prove(
        &self,
        caller: &Caller,
        request: &ProofRequest<'_>,
        prover: &dyn HeaderProver,
    ) -> Result<ProofRecord> {
        let (secret, key) = match request.material {
            ProofMaterial::Stored { secret, key } => (secret, key),
            ProofMaterial::Captured { secret, key, .. } => (secret, Some(key)),
        };
        let of = key.unwrap_or(secret);
        let scope = if key.is_some() { Scope::Keys } else { Scope::Secrets };
        let event = AuditEvent::begin(
            caller,
            Operation::Prove,
            scope,
            &of.vault,
            &of.name,
            Some(of.version.as_str()),
        );
        self.audited(event, |event| {
            for label in [request.point, request.disk] {
                let length = label.chars().take(LONGEST_LABEL + 1).count();
                if !(1..=LONGEST_LABEL).contains(&length) || label.chars().any(char::is_control) {
                    return Err(KeyVaultError::invalid(format!(
                        "point and disk are named by 1 to {LONGEST_LABEL} characters, none of them control \
                         characters"
                    )));
                }
            }
            event.set_context(&format!("point {}, disk {}", request.point, request.disk));
            let material = self.material(caller, &request.material)?;
            let record = self.try_and_seal(request, material, prover)?;
            let answer = if record.state == ProofState::Proven { "proven" } else { "captured" };
            let tried = record.tried.filter(|tried| *tried < record.time);
            let tried = tried.map_or_else(String::new, |tried| format!(", tried {tried}"));
            event.set_context(&format!(
                "{answer}: point {}, disk {}, secret {}/{}/{}{tried}",
                request.point, request.disk, record.secret.vault, record.secret.name, record.secret.version
            ));
            Ok(Done::reading(record))
        })
    }

    /// Whether a record was made in this place and is unchanged. Works without the key vaults it names.
    ///
    /// # Errors
    /// [`ErrorKind::ProofNotValid`], and those of ring and storage.
    pub fn verify_proof(&self, record: &ProofRecord) -> Result<()> {
        let key = self.open_ring()?.ring.blob_key(&record.mac_key_id, &self.place)?;
        let key = key.ok_or_else(proof::not_valid)?;
        record.verify(&ProofKeys::of(&key)?, &self.place)
    }

    fn material(&self, caller: &Caller, material: &ProofMaterial<'_>) -> Result<Material> {
        match material {
            ProofMaterial::Stored { secret, key } => {
                let secret_vault = self.proving_vault(caller, secret, Kind::Secret)?;
                let key_vault = key.map(|key| self.proving_vault(caller, key, Kind::Key)).transpose()?;
                let (head, found) =
                    self.find::<SecretVersion>(&secret_vault, &secret.name, Some(&secret.version))?;
                let (head, found) = (head.body, found.body);
                found.about.attributes.check_enabled(&describe(Kind::Secret, &head, &found.about))?;
                let secret = reference(&secret_vault, head.name, found.about.version);
                let (key, pkcs8) = match (key, key_vault) {
                    (Some(key), Some(vault)) => {
                        let (head, found) = self.find::<KeyVersion>(&vault, &key.name, Some(&key.version))?;
                        let (head, found) = (head.body, found.body);
                        let what = describe(Kind::Key, &head, &found.about);
                        found.about.attributes.check_enabled(&what)?;
                        check_operation(&found, KeyOperation::UnwrapKey, &what)?;
                        (Some(reference(&vault, head.name, found.about.version)), Some(found.pkcs8))
                    }
                    _ => (None, None),
                };
                let (origin, value) = (Origin::Stored, found.value);
                Ok(Material { origin, secret, key, key_blob_sha256: None, value, pkcs8 })
            }
            ProofMaterial::Captured { secret, value, key, key_blob } => {
                let secret_vault = self.proving_vault(caller, secret, Kind::Secret)?;
                let key_vault = self.proving_vault(caller, key, Kind::Key)?;
                names::check_object_name(&secret.name)?;
                names::check_version(&secret.version)?;
                let content = blob::open::<KeyVersion>(&self.open_ring()?.ring, &self.place, key_blob)?;
                // The caller's rights are on the vault that the key was backed up from.
                let same = content.vault.eq_ignore_ascii_case(&key.vault)
                    && content.name.eq_ignore_ascii_case(&key.name);
                let found = content
                    .versions
                    .into_iter()
                    .find(|found| same && found.about.version.eq_ignore_ascii_case(&key.version));
                let found = found.ok_or_else(|| {
                    KeyVaultError::new(
                        ErrorKind::ObjectNotFound,
                        "the backup blob is not one of this key vault, key and version",
                    )
                })?;
                Ok(Material {
                    origin: Origin::Captured,
                    secret: reference(
                        &secret_vault,
                        secret.name.clone(),
                        secret.version.to_ascii_lowercase(),
                    ),
                    key: Some(reference(&key_vault, content.name, found.about.version)),
                    key_blob_sha256: Some(hex(&sha256(key_blob))),
                    value: SecretBytes::new(Zeroizing::new(value.expose().as_bytes().to_vec())),
                    pkcs8: Some(found.pkcs8),
                })
            }
        }
    }

    /// The vault of a reference, if the caller may prove with what is in it.
    fn proving_vault(&self, caller: &Caller, of: &ObjectReference, kind: Kind) -> Result<OpenVault> {
        let needed = match kind {
            Kind::Key => Permissions { keys: [KeyPermission::Get].into(), ..Permissions::default() },
            Kind::Secret => Permissions { secrets: [SecretPermission::Get].into(), ..Permissions::default() },
        };
        let vault = self.authorize(caller, &of.vault, &needed)?;
        if vault.vault.enabled_for_disk_encryption {
            return Ok(vault);
        }
        Err(KeyVaultError::new(
            ErrorKind::NotEnabledForDiskEncryption,
            format!("the key vault {} is not enabled for disk encryption: enable it first", vault.vault.name),
        ))
    }

    fn try_and_seal(
        &self,
        request: &ProofRequest<'_>,
        material: Material,
        prover: &dyn HeaderProver,
    ) -> Result<ProofRecord> {
        let ring = self.open_ring()?.ring;
        let blob_key = ring.current_blob_key(&self.place)?.ok_or_else(|| {
            KeyVaultError::new(ErrorKind::Damaged, "the ring has no blob key of this place")
        })?;
        let keys = ProofKeys::of(&blob_key)?;
        let entry = self.proof_entry(&blob_key, request, &material)?;
        let captured = |reason, detail: &str| ProofState::Captured { reason, detail: audit::tidy(detail) };
        let mut opened = entry.trial.clone();
        let state = if opened.is_some() {
            ProofState::Proven
        } else {
            match try_secret(request, &material, prover, &self.proving)? {
                ProverAnswer::Opens { volume_key_fingerprint_input, keyslot } => {
                    let fingerprint = keys.fingerprint(&volume_key_fingerprint_input);
                    let trial = Trial::new(self.clock.now(), keyslot, fingerprint);
                    self.keep_trial(&ring, &entry, &trial)?;
                    opened = Some(trial);
                    ProofState::Proven
                }
                ProverAnswer::DoesNotOpen => {
                    captured(CaptureReason::DoesNotOpen, "the secret does not open the header")
                }
                ProverAnswer::TooCostly(why) => captured(CaptureReason::TooCostly, &why),
                ProverAnswer::Unsupported(why) => captured(CaptureReason::Unsupported, &why),
                ProverAnswer::Failed(why) => captured(CaptureReason::Failed, &why),
            }
        };
        // A trial of this moment is of the record's own time. An earlier one is never after it, also when the clock was set
        // back in between.
        let now = self.clock.now();
        let earlier = entry.trial.as_ref().map(|trial| trial.tried);
        let time = earlier.map_or(now, |tried| tried.max(now));
        let (keyslot, fingerprint) = opened.map(|trial| (trial.keyslot, trial.fingerprint)).unzip();
        let record = ProofRecord {
            version: 0,
            state,
            origin: material.origin,
            point: request.point.to_owned(),
            disk: request.disk.to_owned(),
            header_sha256: hex(&sha256(request.header)),
            secret: material.secret,
            algorithm: material.key.is_some().then_some(request.algorithm),
            key: material.key,
            key_blob_sha256: material.key_blob_sha256,
            keyslot,
            fingerprint,
            time,
            tried: Some(earlier.unwrap_or(time)),
            mac_key_id: String::new(),
            mac: String::new(),
        };
        Ok(record.seal(&keys, &self.place))
    }
}

fn reference(vault: &OpenVault, name: String, version: String) -> ObjectReference {
    ObjectReference { vault: vault.vault.name.clone(), name, version }
}

/// Unwraps and tries. What does not unwrap is replaced by random bytes, so that it takes as long and gives
/// the same answer as a secret that does not open.
fn try_secret(
    request: &ProofRequest<'_>,
    material: &Material,
    prover: &dyn HeaderProver,
    proving: &Mutex<()>,
) -> Result<ProverAnswer> {
    if request.header.len() > LONGEST_HEADER {
        return Ok(ProverAnswer::TooCostly(format!("the header is longer than {LONGEST_HEADER} bytes")));
    }
    let mut stand_in = Zeroizing::new(vec![0; STAND_IN]);
    fill_random(&mut stand_in)?;
    let opened = open_value(material, request.algorithm)?;
    let (secret, is_real) = match &opened {
        Some(secret) => (secret.expose(), true),
        None => (stand_in.as_slice(), false),
    };
    let _one_at_a_time = proving.lock().unwrap_or_else(PoisonError::into_inner);
    match prover.try_open(request.header, request.data_size, secret) {
        // A header that opens with random bytes opens with anything, which proves nothing.
        ProverAnswer::Opens { .. } if !is_real => Ok(ProverAnswer::DoesNotOpen),
        answer => Ok(answer),
    }
}

/// The plaintext of a secret: decoded once, and unwrapped if there is a key. `None` when it does not open.
fn open_value(material: &Material, algorithm: WrapAlgorithm) -> Result<Option<SecretBytes>> {
    let text = std::str::from_utf8(material.value.expose()).ok();
    let decoded = text.and_then(decode_any_base64);
    let Some(pkcs8) = &material.pkcs8 else { return Ok(decoded.map(SecretBytes::new)) };
    // The private key is used in any case: a text that is no base64 takes as long as one that does not unwrap.
    match PrivateKey::from_pkcs8(pkcs8)?.unwrap(algorithm, decoded.as_deref().map_or(&[], Vec::as_slice)) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.kind() == ErrorKind::UnwrapFailed => Ok(None),
        Err(error) => Err(error),
    }
}
