//! Capturing the keys of a point, and having them proven.
//!
//! The versions that the machine's settings name are captured, not the latest. Settings are read before
//! and after the snapshot; if they changed in between, both pairs are captured, since nobody can say
//! which one the disks were written under.

use cofre_arm::{ObjectUrl, Problem, Result};
use cofre_compute::{EncryptionMechanism, VirtualMachine};
use cofre_keyvault::read_blob_header;
use cofre_repo::point::KeyFile;
use zeroize::Zeroizing;

use crate::{
    captured::{self, CapturedKeys, CapturedSet},
    checks::NamedKeys,
    header::{Found, HeaderRecord},
    key_source::{KeyVaultName, ProofAnswer, ProofQuestion, ProofState},
    outputs::keys_back::{DEFAULT_ALGORITHM, TAG_ALGORITHM},
    points::OpenPoint,
    service::Recovery,
};

/// Captured keys, with the blobs they name.
pub(crate) struct Capture {
    pub(crate) keys: CapturedKeys,
    blobs: Vec<(String, Zeroizing<Vec<u8>>)>,
    named: Vec<NamedKeys>,
}

/// A disk of a snapshot, as a proof needs it.
pub(crate) struct ProofDisk<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    pub(crate) found: &'a Found,
}

/// Captures every pair once. Any failure fails the job: an encrypted point without its keys must never
/// be committed. `earlier` is the last point of the machine, if there is one.
pub(crate) fn capture(
    recovery: &Recovery,
    machine: &VirtualMachine,
    named: Vec<NamedKeys>,
    earlier: Option<&OpenPoint>,
) -> Result<Capture> {
    let mut sets: Vec<CapturedSet> = Vec::new();
    let mut blobs: Vec<(String, Zeroizing<Vec<u8>>)> = Vec::new();
    // a key may wrap the secrets of several disks: its blob is asked for once
    let mut keys: Vec<CapturedKey> = Vec::new();
    for keys_of in &named {
        let source = recovery.keys();
        let secret =
            source.secret((&keys_of.secret).into(), &keys_of.secret.name, &keys_of.secret_version)?;
        let key = match keys.iter().find(|k| k.is(keys_of)) {
            Some(known) => known.clone(),
            None => {
                let (key, blob) = capture_key(recovery, keys_of, earlier)?;
                blobs.push((key.file.clone(), blob));
                keys.push(key.clone());
                key
            }
        };
        sets.push(CapturedSet {
            disks: keys_of.disks.clone(),
            secret_url: keys_of.secret.to_string(),
            secret_vault_id: keys_of.secret_vault.clone(),
            secret_data: secret.value,
            secret_content_type: secret.content_type,
            secret_tags: secret.tags,
            key_url: keys_of.key.to_string(),
            key_vault_id: keys_of.key_vault.clone(),
            key_backup: key.file,
            key_backup_sha256: key.sha256,
            key_versions: key.versions,
        });
    }
    let mechanism = if sets.is_empty() { EncryptionMechanism::None } else { machine.encryption_mechanism() };
    Ok(Capture { keys: CapturedKeys { version: captured::VERSION, mechanism, sets }, blobs, named })
}

/// A key whose blob is at hand.
#[derive(Clone)]
struct CapturedKey {
    url: ObjectUrl,
    file: String,
    sha256: String,
    versions: Vec<String>,
}

impl CapturedKey {
    fn is(&self, named: &NamedKeys) -> bool {
        KeyVaultName::from(&self.url) == KeyVaultName::from(&named.key)
            && self.url.name.eq_ignore_ascii_case(&named.key.name)
    }
}

/// A key's blob: a fresh one, or, while the key's versions stay and it would be sealed under the same
/// blob key, the one of the earlier point, which then costs nothing more.
fn capture_key(
    recovery: &Recovery,
    named: &NamedKeys,
    earlier: Option<&OpenPoint>,
) -> Result<(CapturedKey, Zeroizing<Vec<u8>>)> {
    let (vault, name) = (KeyVaultName::from(&named.key), &named.key.name);
    // before the blob: one that is made in between is in the blob, and makes the next point take a fresh one
    let versions = recovery.keys().versions_of_key(vault, name)?;
    let fresh = recovery.keys().backup_key(vault, name)?;
    let sealed_by = |blob: &[u8]| read_blob_header(blob).map(|h| h.key_id);
    let same = earlier.and_then(|point| {
        let sets = point.keys.iter().flat_map(|k| &k.sets);
        let set =
            sets.filter(|s| s.key_vault_id == named.key_vault && s.key_versions == versions).find(|s| {
                s.key_url.parse().is_ok_and(|u: ObjectUrl| {
                    KeyVaultName::from(&u) == vault && u.name.eq_ignore_ascii_case(name)
                })
            })?;
        let blob = point.blobs.get(&set.key_backup)?;
        let whole = sha256_hex(blob) == set.key_backup_sha256;
        let same_seal = sealed_by(blob).is_some() && sealed_by(blob) == sealed_by(&fresh);
        (whole && same_seal).then(|| blob.clone())
    });
    let blob = same.unwrap_or(fresh);
    let sha256 = sha256_hex(&blob);
    let key =
        CapturedKey { url: named.key.clone(), file: format!("kek-{}.blob", &sha256[..16]), sha256, versions };
    Ok((key, blob))
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

impl Capture {
    /// Asks the key vaults to try the captured keys on the disks' headers.
    pub(crate) fn prove(
        &self,
        recovery: &Recovery,
        point: &str,
        disks: &[ProofDisk<'_>],
    ) -> Result<Vec<ProofAnswer>> {
        disks.iter().map(|disk| self.prove_disk(recovery, point, disk)).collect()
    }

    fn prove_disk(&self, recovery: &Recovery, point: &str, disk: &ProofDisk<'_>) -> Result<ProofAnswer> {
        let answer = |state| Ok(ProofAnswer { state, record: None });
        let sets =
            || self.named.iter().zip(&self.keys.sets).filter(|(n, _)| n.disks.iter().any(|d| d == disk.name));
        let has_keys = sets().next().is_some();
        let (record, bytes): (&HeaderRecord, &[u8]) = match (disk.found, has_keys) {
            (Found::Header { record, bytes }, true) => (record, bytes),
            (Found::Header { record, .. }, false) => {
                return answer(ProofState::Missing {
                    reason: format!(
                        "the disk has a {} header, but the machine names no keys for it",
                        record.format
                    ),
                });
            }
            (Found::Nothing, false) => return answer(ProofState::NotEncrypted),
            (Found::Unusable(what), false) => return answer(ProofState::Missing { reason: what.clone() }),
            (Found::Nothing, true) => {
                return answer(ProofState::Captured {
                    reason: "no encryption header was found at the start of the disk".to_owned(),
                });
            }
            (Found::Unusable(what), true) => return answer(ProofState::Captured { reason: what.clone() }),
        };
        let mut last = ProofAnswer { state: ProofState::DoesNotOpen, record: None };
        for (named, set) in sets() {
            let Some((_, blob)) = self.blobs.iter().find(|(file, _)| *file == set.key_backup) else {
                continue;
            };
            let question = ProofQuestion {
                vault: (&named.secret).into(),
                point,
                disk: disk.name,
                header: bytes,
                header_sha256: &record.header_sha256,
                disk_size: disk.size,
                secret: (&named.secret.name, &named.secret_version),
                algorithm: set.secret_tags.get(TAG_ALGORITHM).map_or(DEFAULT_ALGORITHM, String::as_str),
                secret_value: &set.secret_data,
                key: ((&named.key).into(), &named.key.name, &named.key_version),
                key_backup: blob,
            };
            last = match recovery.keys().prove(&question) {
                Ok(proven) if proven.state == ProofState::Proven => return Ok(proven),
                Ok(other) => other,
                // the rights to prove are more than those to back up: without them the keys are captured
                Err(e) if matches!(e.problem(), Problem::KeyVaultPermissions | Problem::Forbidden) => {
                    ProofAnswer { state: ProofState::Captured { reason: e.to_string() }, record: None }
                }
                Err(e) => return Err(e),
            };
        }
        Ok(last)
    }

    /// The files that go below `keys/` of the point.
    pub(crate) fn into_files(self, proofs: &[ProofAnswer]) -> Result<Vec<KeyFile>> {
        if self.keys.sets.is_empty() {
            return Ok(Vec::new());
        }
        let encode = |json: serde_json::Result<Vec<u8>>| {
            json.map(Zeroizing::new).map_err(|e| {
                cofre_arm::ApiError::new(
                    Problem::TransferFailed,
                    "the record of captured keys cannot be written",
                )
                .because(e)
            })
        };
        let mut files = vec![KeyFile {
            name: captured::FILE.to_owned(),
            bytes: encode(serde_json::to_vec_pretty(&self.keys))?,
        }];
        files.extend(self.blobs.into_iter().map(|(name, bytes)| KeyFile { name, bytes }));
        let records: Vec<_> = proofs.iter().filter_map(|p| p.record.as_ref()).collect();
        if !records.is_empty() {
            let bytes = encode(serde_json::to_vec_pretty(&records))?;
            files.push(KeyFile { name: captured::PROOFS.to_owned(), bytes });
        }
        Ok(files)
    }
}
