//! Proofs that were made lately. The key derivation behind a header costs a second or more and a gigabyte; while header,
//! secret and key stay what they are, the answer does too. Only *proven* is kept: what did not open, or could not be
//! tried, is tried again each time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{KeyVaults, prove::Material};
use crate::{
    crypto::{fill_random, sha256},
    encoding::{Fields, hex, to_json},
    envelope::{self, NamedKey, PROOF},
    error::{KeyVaultError, Result},
    proof::{ObjectReference, Origin, ProofRequest},
    ring::Ring,
    rsa_key::WrapAlgorithm,
    state::{Change, Record},
};

const PREFIX: &str = "proofs/";
const VERSION: u32 = 1;
/// An older trial is no answer: every proof rests on one that is at most this old.
const FRESH: SignedDuration = SignedDuration::from_hours(7 * 24);
/// An older entry is deleted by whoever comes by.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How many entries are looked at with each that is added. One of them is what comes in, so that those that are too old
/// stay a small part of all.
const LOOKED_AT: usize = 8;

/// A trial that opened the header.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Trial {
    version: u32,
    pub(super) tried: Timestamp,
    pub(super) keyslot: u32,
    pub(super) fingerprint: String,
}

impl Trial {
    pub(super) fn new(tried: Timestamp, keyslot: u32, fingerprint: String) -> Self {
        Self { version: VERSION, tried, keyslot, fingerprint }
    }
}

/// Where the trial of a question is kept, and what was found there.
pub(super) struct Entry {
    path: String,
    key: NamedKey,
    revision: Option<u64>,
    /// The trial, while it counts.
    pub(super) trial: Option<Trial>,
}

fn sealing_key(blob_key: &NamedKey) -> Result<NamedKey> {
    Ok(NamedKey { id: blob_key.id.clone(), key: blob_key.key.derive("cofre-keyvault proof cache")? })
}

/// What a trial depends on, so that nothing of it can change and the answer stay. Secrets go in under a key: the path
/// can be read by whoever can read the storage.
fn path(blob_key: &NamedKey, request: &ProofRequest<'_>, material: &Material) -> Result<String> {
    let key = blob_key.key.derive("cofre-keyvault proof cache path")?;
    let reference = |of: &ObjectReference| {
        let fields = Fields::default().field(&of.vault).field(&of.name).field(&of.version);
        fields.bytes().to_vec()
    };
    let origin = match material.origin {
        Origin::Stored => "stored",
        Origin::Captured => "captured",
    };
    let algorithm = material.key.is_some().then_some(request.algorithm).map(WrapAlgorithm::as_str);
    let fields = Fields::default()
        .field("cofre-keyvault proof cache path")
        .field(sha256(request.header))
        .field(request.data_size.to_be_bytes())
        .field(origin)
        .optional(algorithm)
        .field(reference(&material.secret))
        .field(key.authenticate(material.value.expose()))
        .optional(material.key.as_ref().map(reference))
        .optional(material.pkcs8.as_ref().map(|pkcs8| key.authenticate(pkcs8.expose())))
        .optional(material.key_blob_sha256.as_ref());
    Ok(format!("{PREFIX}{}", hex(&key.authenticate(fields.bytes()))))
}

fn context(path: &str) -> Fields {
    Fields::default().field("proof").field(path)
}

fn open(key: &NamedKey, record: &Record) -> Result<Option<Trial>> {
    let json = envelope::open(PROOF, key, &context(&record.path), &record.body)?;
    let trial = json.and_then(|json| serde_json::from_slice::<Trial>(&json).ok());
    Ok(trial.filter(|trial| trial.version == VERSION))
}

impl KeyVaults {
    /// The entry of a question.
    pub(super) fn proof_entry(
        &self,
        blob_key: &NamedKey,
        request: &ProofRequest<'_>,
        material: &Material,
    ) -> Result<Entry> {
        let (path, key) = (path(blob_key, request, material)?, sealing_key(blob_key)?);
        let Some(record) = self.read(&path)? else {
            return Ok(Entry { path, key, revision: None, trial: None });
        };
        // What does not open is no answer, and no fault: it is tried again and replaced.
        let trial = open(&key, &record)?;
        let age = |trial: &Trial| self.clock.now().duration_since(trial.tried);
        let trial = trial.filter(|trial| (SignedDuration::ZERO..=FRESH).contains(&age(trial)));
        Ok(Entry { path, key, revision: Some(record.revision), trial })
    }

    /// Keeps a trial, and deletes a few entries that are too old. This is no part of the answer's own batch: a conflict
    /// with somebody who keeps the same trial must not let the answer be sought once more.
    pub(super) fn keep_trial(&self, ring: &Ring, entry: &Entry, trial: &Trial) -> Result<()> {
        let body = envelope::seal(PROOF, &entry.key, &context(&entry.path), &to_json(trial)?)?;
        let path = entry.path.clone();
        let mut changes = vec![match entry.revision {
            Some(revision) => Change::Replace { path, revision, body },
            None => Change::Create { path, body },
        }];
        changes.extend(self.too_old(ring, &entry.path)?);
        match self.state.commit(&changes, &[]) {
            Ok(()) => Ok(()),
            // Somebody else kept the same trial, or cleaned up the same entries.
            Err(crate::state::StateError::Conflict { .. }) => Ok(()),
            Err(error) => Err(KeyVaultError::state("keep a proof", error)),
        }
    }

    /// Deletions of entries that are too old or that nothing opens, among a few from a random one on.
    fn too_old(&self, ring: &Ring, but: &str) -> Result<Vec<Change>> {
        let mut start = [0; 4];
        fill_random(&mut start)?;
        let mut records = self.list(PREFIX, Some(&format!("{PREFIX}{}", hex(&start))), LOOKED_AT)?;
        if records.len() < LOOKED_AT {
            records.extend(self.list(PREFIX, None, LOOKED_AT - records.len())?);
        }
        records.sort_by(|a, b| a.path.cmp(&b.path));
        records.dedup_by(|a, b| a.path == b.path);
        let mut changes = Vec::new();
        for record in records.into_iter().filter(|record| record.path != but) {
            if self.is_too_old(ring, &record)? {
                changes.push(Change::Delete { path: record.path, revision: record.revision });
            }
        }
        Ok(changes)
    }

    fn is_too_old(&self, ring: &Ring, record: &Record) -> Result<bool> {
        let Some(id) = envelope::key_id(PROOF, &record.body) else { return Ok(true) };
        let Some(blob_key) = ring.blob_key(&id, &self.place)? else {
            // One of another place in the same storage is for others to judge.
            return Ok(!ring.has_key(&id));
        };
        let trial = open(&sealing_key(&blob_key)?, record)?;
        Ok(trial.is_none_or(|trial| self.clock.now().duration_since(trial.tried) > KEPT))
    }
}
