//! What happened that is to be told.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_notify::{Kind, Notification};
use cofre_store::{Change, ErrorKind};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    KEPT_HOURS,
    outbox::{Outgoing, new_outgoing},
};
use crate::{
    documents::unavailable,
    job::{Job, JobStatus, Operation},
    observation::Space,
    service::{AUDIT_WRITER, Recovery, new_guid},
};

/// Where it is kept how far the audit chain was read.
const PATH: &str = "/notification/cursor";

/// How far was read, and what is known already.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The first event that was not read.
    next: u64,
    /// The slots that were told of as missed, by item, while nobody has begun them.
    missed: BTreeMap<String, Timestamp>,
    /// Whether it was told that there is little room, and there still is.
    #[serde(default)]
    low: bool,
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::new(Problem::StateUnavailable, "a record of notifications cannot be written").because(error)
}

fn of_job(job: &Job) -> Option<Notification> {
    if job.operation != Operation::Backup {
        return None;
    }
    let name = &job.entity_friendly_name;
    let (kind, summary) = match job.status {
        JobStatus::Failed => (Kind::BackupFailed, format!("The backup of {name} failed.")),
        JobStatus::CompletedWithWarnings => {
            (Kind::BackupWarned, format!("The backup of {name} was made, and needs attention."))
        }
        _ => return None,
    };
    let mut text = String::new();
    for detail in &job.error_details {
        text.push_str(&format!("{}: {}\n", detail.code, detail.message));
        for advice in &detail.recommendations {
            text.push_str(&format!("  {advice}\n"));
        }
    }
    Some(Notification {
        id: job.id.clone(),
        kind,
        time: job.end_time.unwrap_or(job.start_time),
        summary,
        text,
        resource_id: job.item_id.as_ref().map(ToString::to_string),
        job_id: Some(job.id.clone()),
        code: job.error_details.first().map(|detail| detail.code.clone()),
    })
}

impl Recovery {
    /// Puts what happened since the last call, by whatever process, into the outbox for these receivers. The first call
    /// of a home notes where its history ends: what was before is not told. Returns how many messages that made.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn note_notifications(&self, receivers: &[&str], missed_after: SignedDuration) -> Result<usize> {
        let mut made = 0;
        loop {
            let stored = self.store().read(PATH).map_err(unavailable)?;
            let before: Option<Cursor> =
                stored.as_ref().map(|document| serde_json::from_slice(&document.body)).transpose().map_err(
                    |e| ApiError::new(Problem::StateUnavailable, format!("{PATH} cannot be read")).because(e),
                )?;
            let mut cursor = match before {
                Some(cursor) => cursor,
                None => {
                    let head = self.store().chain_head(AUDIT_WRITER).map_err(unavailable)?;
                    Cursor { next: head.length + 1, missed: BTreeMap::new(), low: false }
                }
            };
            let ended = self.ended_jobs(cursor.next)?;
            // who was not told for long is not told of all of it at once
            let since = self.now() - SignedDuration::from_hours(KEPT_HOURS);
            let mut messages: Vec<_> =
                ended.jobs.iter().filter_map(of_job).filter(|message| message.time >= since).collect();
            let missed = self.missed(&mut cursor.missed, missed_after)?;
            let space = self.space()?;
            let low = self.is_room_low(space);
            let room_changed = low != cursor.low;
            let quiet = messages.is_empty() && missed.is_none() && !room_changed;
            if stored.is_some() && quiet && !ended.more {
                return Ok(made);
            }
            if low && room_changed {
                messages.push(self.room_is_low(space)?);
            }
            cursor.low = low;
            messages.extend(missed.into_iter().flatten());
            cursor.next = ended.next;
            let mut batch = self.batch();
            let path = PATH.to_owned();
            let body = serde_json::to_vec(&cursor).map_err(unwritable)?;
            batch.changes.push(match stored {
                Some(document) => Change::Replace { path, revision: document.revision, body },
                None => Change::Create { path, kind: "notification-cursor".to_owned(), body },
            });
            let count = messages.len();
            for notification in messages {
                let outgoing = Outgoing::new(notification, receivers, self.now());
                batch.changes.push(new_outgoing(&outgoing)?);
            }
            match self.store().commit(&batch) {
                Ok(_) => made += count,
                // another worker was faster
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(unavailable(e)),
            }
            if !ended.more {
                return Ok(made);
            }
        }
    }

    /// The scheduled backups that nobody began in time and that were not told of; none where nothing changed.
    fn missed(
        &self,
        known: &mut BTreeMap<String, Timestamp>,
        after: SignedDuration,
    ) -> Result<Option<Vec<Notification>>> {
        let now = self.now();
        let late = self.not_begun(now)?.into_iter().filter(|due| now.duration_since(due.slot) >= after);
        let late: Vec<_> = late.collect();
        let (mut messages, mut still) = (Vec::new(), BTreeMap::new());
        for due in late {
            still.insert(due.item.key(), due.slot);
            if known.get(&due.item.key()) != Some(&due.slot) {
                messages.push(self.missed_one(&due.item, due.slot)?);
            }
        }
        if still == *known {
            return Ok(None);
        }
        *known = still;
        Ok(Some(messages))
    }

    fn room_is_low(&self, space: Space) -> Result<Notification> {
        let reserve = self.settings().storage.reserve(space.total);
        Ok(Notification {
            id: new_guid()?,
            kind: Kind::StorageLow,
            time: self.now(),
            summary: format!("There is little room left for backups: {} bytes.", space.free),
            text: format!(
                "With less than {reserve} bytes no backup begins. Add storage, delete points, or shorten the retention of \
                 policies."
            ),
            resource_id: None,
            job_id: None,
            code: None,
        })
    }

    fn missed_one(&self, item: &ResourceId, slot: Timestamp) -> Result<Notification> {
        let name = self.item(item).map_or_else(|_| item.name().to_owned(), |item| item.friendly_name);
        Ok(Notification {
            id: new_guid()?,
            kind: Kind::BackupMissed,
            time: self.now(),
            summary: format!("The backup of {name} that was due at {slot} has not begun."),
            text: "Is a worker running (`cofre serve`), and has it room for more jobs (`cofre job list`)?"
                .to_owned(),
            resource_id: Some(item.to_string()),
            job_id: None,
            code: None,
        })
    }
}
