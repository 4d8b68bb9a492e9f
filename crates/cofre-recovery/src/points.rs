//! Recovery points: what the service writes into `point.json`, and the rows that lists are made from.
//!
//! Everything a row says stands in the point itself, so rows can be made anew from the repository; the date
//! until which it is kept follows anew from its item's policy.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_compute::{EncryptionClass, EncryptionMechanism, EncryptionSettings, VirtualMachine};
use cofre_repo::{
    Repository,
    point::{Consistency, PointDocument},
    repository::Point,
};
use cofre_store::{PointFilter, PointRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    captured::{self, CapturedKeys},
    documents::unavailable,
    item::ProtectedItem,
    item_repository::transfer_failed,
    job::{mark, place},
    key_source::ProofState,
    retention::PointRetention,
    service::Recovery,
};

/// Version of [`MachineRecord`].
pub const VERSION: u32 = 1;
/// State of a row whose point is there.
pub const VISIBLE: &str = "visible";
/// State of a row whose point is gone from the repository.
pub const LOST: &str = "lost";
/// State of a row whose point expired and is being deleted.
pub const EXPIRED: &str = "expired";

/// `machine` of `point.json`: the machine at the snapshot and what the service knows of the point.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Number of the point: unique in the item, grows with time.
    pub recovery_point: String,
    /// The vault.
    pub vault_id: ResourceId,
    /// The item.
    pub item_id: ResourceId,
    /// The job that made it.
    pub job_id: String,
    /// The machine as it was.
    pub virtual_machine: VirtualMachine,
    /// How it was encrypted.
    pub encryption_class: EncryptionClass,
    /// Where it kept its encryption settings.
    pub encryption_mechanism: EncryptionMechanism,
    /// Until when the point was to be kept when it was made.
    pub expiry: Timestamp,
    /// What that follows from.
    #[serde(default)]
    pub retention: PointRetention,
    /// What is known of the keys of each disk.
    pub disks: Vec<DiskKeys>,
    /// Where the audit chains of the database ended: a database that does not hold these is an older
    /// one than this point.
    #[serde(default)]
    pub audit: Vec<AuditAnchor>,
}

/// An event of an audit chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnchor {
    /// Whose chain.
    pub writer: String,
    /// The event's number.
    pub sequence: u64,
    /// Its hash, hex digits.
    pub hash: String,
}

/// What is known of the keys of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskKeys {
    /// Name of the disk.
    pub name: String,
    /// What is known.
    #[serde(flatten)]
    pub keys: ProofState,
}

/// A recovery point, as lists show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPoint {
    /// Its number.
    pub name: String,
    /// Its id in the repository.
    pub point: String,
    /// Instant of the snapshot.
    pub time: Timestamp,
    /// `CrashConsistent`, `FileSystemConsistent` or `AppConsistent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is there.
    pub state: String,
    /// How the machine was encrypted.
    pub encryption_class: EncryptionClass,
    /// Where it kept its encryption settings.
    pub encryption_mechanism: EncryptionMechanism,
    /// Until when it is to be kept.
    pub expiry: Timestamp,
    /// What that follows from.
    #[serde(default)]
    pub retention: PointRetention,
    /// Its disks.
    pub disks: Vec<RecoveryPointDisk>,
    /// URLs of the secrets and keys that it holds copies of.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// A page of recovery points, the newest first.
#[derive(Clone, Debug)]
pub struct PointPage {
    /// The points.
    pub points: Vec<RecoveryPoint>,
    /// What the next page is asked for with; none at the end.
    pub next: Option<String>,
}

/// A disk of a recovery point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecoveryPointDisk {
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What is known of its keys.
    pub keys: ProofState,
}

/// The published names of consistency.
fn kind(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::CrashConsistent => "CrashConsistent",
        Consistency::FileSystemConsistent => "FileSystemConsistent",
        Consistency::ApplicationConsistent => "AppConsistent",
    }
}

impl MachineRecord {
    /// What `point.json` says of the machine; none for points that the service did not make.
    pub(crate) fn of(document: &PointDocument) -> Result<Option<Self>> {
        let Some(value) = &document.machine else { return Ok(None) };
        let bad = |what: String| {
            ApiError::new(Problem::TransferFailed, format!("point {}: {what}", document.id.short()))
        };
        if value.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION.into()) {
            return Err(bad(
                "its record of the machine is of a version that this program does not know".to_owned()
            ));
        }
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|e| bad("its record of the machine cannot be read".to_owned()).because(e))
    }
}

impl RecoveryPoint {
    /// The point as lists show it.
    pub(crate) fn of(document: &PointDocument, record: &MachineRecord) -> Self {
        let disks = document.disks.iter().map(|disk| RecoveryPointDisk {
            name: disk.name.clone(),
            size: disk.size,
            keys: record
                .disks
                .iter()
                .find(|d| d.name == disk.name)
                .map_or(ProofState::NotEncrypted, |d| d.keys.clone()),
        });
        Self {
            name: record.recovery_point.clone(),
            point: document.id.to_hex(),
            time: document.time,
            kind: kind(document.consistency).to_owned(),
            state: VISIBLE.to_owned(),
            encryption_class: record.encryption_class,
            encryption_mechanism: record.encryption_mechanism,
            expiry: record.expiry,
            retention: record.retention.clone(),
            disks: disks.collect(),
            keys: record.virtual_machine.key_sets().into_iter().flat_map(|s| urls(s.settings)).collect(),
        }
    }

    /// Its row.
    pub(crate) fn row(&self, item: &ResourceId) -> Result<PointRow> {
        let body = serde_json::to_vec(self)
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(e))?;
        Ok(PointRow {
            item: item.key(),
            id: self.name.clone(),
            point: self.point.clone(),
            time: self.time,
            state: self.state.clone(),
            body,
        })
    }

    pub(crate) fn from_row(row: &PointRow) -> Result<Self> {
        let point: Self = serde_json::from_slice(&row.body).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, format!("the record of point {} cannot be read", row.id))
                .because(e)
        })?;
        Ok(Self { state: row.state.clone(), ..point })
    }

    /// Whether the machine was encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encryption_class != EncryptionClass::None
    }
}

fn urls(settings: EncryptionSettings) -> impl Iterator<Item = String> {
    let key = settings.key_encryption_key.map(|k| k.key_url);
    std::iter::once(settings.disk_encryption_key.secret_url).chain(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Recovery {
    /// Where the audit chains end now.
    pub(crate) fn audit_anchors(&self) -> Result<Vec<AuditAnchor>> {
        let mut anchors = Vec::new();
        for writer in self.store().writers().map_err(unavailable)? {
            let head = self.store().chain_head(&writer).map_err(unavailable)?;
            anchors.push(AuditAnchor { writer, sequence: head.length, hash: hex(&head.hash) });
        }
        Ok(anchors)
    }

    /// Whether the database holds the events that a point was anchored to.
    pub(crate) fn holds(&self, anchors: &[AuditAnchor]) -> Result<bool> {
        for anchor in anchors {
            let event = self.store().events(&anchor.writer, anchor.sequence, 1).map_err(unavailable)?;
            if !event.first().is_some_and(|e| e.sequence == anchor.sequence && hex(&e.hash) == anchor.hash) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A point, opened in its repository.
pub(crate) struct OpenPoint {
    pub(crate) repository: Repository,
    pub(crate) point: Point,
    pub(crate) record: MachineRecord,
    /// What was captured; none when the machine was not encrypted.
    pub(crate) keys: Option<CapturedKeys>,
    /// The blobs that the captured keys name.
    pub(crate) blobs: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Recovery {
    /// The recovery points of an item, newest first.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn recovery_points(&self, item: &ResourceId) -> Result<Vec<RecoveryPoint>> {
        const PAGE: usize = 500;
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store()
                .points(&item.key(), &PointFilter::default(), after.as_ref(), PAGE)
                .map_err(unavailable)?;
            for row in &page {
                all.push(RecoveryPoint::from_row(row)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.position()),
                _ => return Ok(all),
            }
        }
    }

    /// Whether an item has a recovery point that is there.
    pub(crate) fn recovery_points_visible(&self, item: &ResourceId) -> Result<bool> {
        let filter = PointFilter { state: Some(VISIBLE.to_owned()), ..PointFilter::default() };
        Ok(!self.store().points(&item.key(), &filter, None, 1).map_err(unavailable)?.is_empty())
    }

    /// A page of the recovery points of an item that are there, the newest first, at most `limit`: of a time from
    /// `from` on and before `to`, with this consistency (`AppConsistent`…), after the mark of the page before.
    ///
    /// # Errors
    /// `InvalidParameter` for a mark that is none, `StateUnavailable`.
    pub fn points_page(
        &self,
        item: &ResourceId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        consistency: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<PointPage> {
        const PAGE: usize = 500;
        let filter = PointFilter { state: Some(VISIBLE.to_owned()), from, to };
        let mut after = after.map(place).transpose()?;
        let mut page = PointPage { points: Vec::new(), next: None };
        loop {
            let rows = self
                .store()
                .points(&item.key(), &filter, after.as_ref(), PAGE.min(limit.saturating_add(1)))
                .map_err(unavailable)?;
            let Some(last) = rows.last() else { return Ok(page) };
            after = Some(last.position());
            for row in &rows {
                let point = RecoveryPoint::from_row(row)?;
                if consistency.is_some_and(|wanted| !point.kind.eq_ignore_ascii_case(wanted)) {
                    continue;
                }
                if page.points.len() == limit {
                    page.next = page.points.last().map(|last: &RecoveryPoint| {
                        mark(&cofre_store::Position { time: last.time, id: last.name.clone() })
                    });
                    return Ok(page);
                }
                page.points.push(point);
            }
        }
    }

    /// A recovery point of an item by its number, or the newest that is there: `latest`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn recovery_point(&self, item: &ResourceId, name: &str) -> Result<RecoveryPoint> {
        let missing = || {
            ApiError::new(Problem::NotFound, format!("there is no recovery point {name}"))
                .recommend("`cofre recoverypoint list` shows what there is.")
                .about(item)
        };
        if name.eq_ignore_ascii_case("latest") {
            let filter = PointFilter { state: Some(VISIBLE.to_owned()), ..PointFilter::default() };
            let row = self.store().points(&item.key(), &filter, None, 1).map_err(unavailable)?;
            return row.first().map(RecoveryPoint::from_row).ok_or_else(missing)?;
        }
        let row = self.store().point(&item.key(), name).map_err(unavailable)?;
        row.filter(|r| r.state != EXPIRED).as_ref().map(RecoveryPoint::from_row).ok_or_else(missing)?
    }

    /// Opens a point in its item's repository.
    pub(crate) fn open_point(&self, item: &ProtectedItem, point: &RecoveryPoint) -> Result<OpenPoint> {
        let repository = self.open_repository(item)?;
        let index = repository.load_index().map_err(transfer_failed)?;
        let (points, unreadable) = repository.points(&index).map_err(transfer_failed)?;
        let found = points.into_iter().find(|p| p.document.id.to_hex() == point.point);
        let Some(found) = found else {
            let message = format!("recovery point {} is not in its repository", point.name);
            let error = ApiError::new(Problem::TransferFailed, message)
                .recommend("Check the repository (`cofre repo check`), and take another recovery point.");
            let why = unreadable.into_iter().find(|u| u.point.is_some_and(|p| p.to_hex() == point.point));
            return Err(match why {
                Some(unreadable) => error.because(unreadable.error),
                None => error,
            });
        };
        let record = MachineRecord::of(&found.document)?.ok_or_else(|| {
            ApiError::new(
                Problem::TransferFailed,
                format!("recovery point {} does not describe its machine", point.name),
            )
        })?;
        let mut blobs = BTreeMap::new();
        let mut keys = None;
        for file in repository.key_files(&index, &found).map_err(transfer_failed)? {
            if file.name == captured::FILE {
                keys = Some(CapturedKeys::parse(&file.bytes)?);
            } else if file.name != captured::PROOFS {
                blobs.insert(file.name, file.bytes);
            }
        }
        Ok(OpenPoint { repository, point: found, record, keys, blobs })
    }
}
