//! Capturing the keys of a point, and having them proven.
//!
//! The versions that the machine's settings name are captured, not the latest. Settings are read before
//! and after the snapshot; if they changed in between, both pairs are captured, since nobody can say
//! which one the disks were written under.

use cofre_arm::{Problem, Result};
use cofre_compute::{EncryptionMechanism, VirtualMachine};
use cofre_repo::point::KeyFile;
use zeroize::Zeroizing;

use crate::{
    captured::{self, CapturedKeys, CapturedSet},
    checks::NamedKeys,
    header::{Found, HeaderRecord},
    key_source::{ProofAnswer, ProofQuestion, ProofState},
    outputs::keys_back::{DEFAULT_ALGORITHM, TAG_ALGORITHM},
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
/// be committed.
pub(crate) fn capture(
    recovery: &Recovery,
    machine: &VirtualMachine,
    named: Vec<NamedKeys>,
) -> Result<Capture> {
    let mut sets: Vec<CapturedSet> = Vec::new();
    let mut blobs: Vec<(String, Zeroizing<Vec<u8>>)> = Vec::new();
    // a key may wrap the secrets of several disks: its blob is asked for once
    let mut keys: Vec<(String, String, String, String)> = Vec::new();
    for keys_of in &named {
        let source = recovery.keys();
        let secret = source.secret(&keys_of.secret.vault, &keys_of.secret.name, &keys_of.secret_version)?;
        let (vault, name) = (keys_of.key.vault.to_lowercase(), keys_of.key.name.to_lowercase());
        let known = keys
            .iter()
            .find(|(v, n, ..)| *v == vault && *n == name)
            .map(|(_, _, f, d)| (f.clone(), d.clone()));
        let (file, digest) = match known {
            Some(known) => known,
            None => {
                let blob = source.backup_key(&keys_of.key.vault, &keys_of.key.name)?;
                let digest = sha256_hex(&blob);
                let file = format!("kek-{}.blob", &digest[..16]);
                blobs.push((file.clone(), blob));
                keys.push((vault, name, file.clone(), digest.clone()));
                (file, digest)
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
            key_backup: file,
            key_backup_sha256: digest,
        });
    }
    let mechanism = if sets.is_empty() { EncryptionMechanism::None } else { machine.encryption_mechanism() };
    Ok(Capture { keys: CapturedKeys { version: captured::VERSION, mechanism, sets }, blobs, named })
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
                vault: &named.secret.vault,
                point,
                disk: disk.name,
                header: bytes,
                header_sha256: &record.header_sha256,
                disk_size: disk.size,
                secret: (&named.secret.name, &named.secret_version),
                algorithm: set.secret_tags.get(TAG_ALGORITHM).map_or(DEFAULT_ALGORITHM, String::as_str),
                secret_value: &set.secret_data,
                key: (&named.key.vault, &named.key.name, &named.key_version),
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
