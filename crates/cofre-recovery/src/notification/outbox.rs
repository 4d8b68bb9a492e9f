//! Messages on their way.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, Result};
use cofre_notify::{Channel, Notification};
use cofre_store::{Change, Document, ErrorKind};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::KEPT_HOURS;
use crate::{documents::unavailable, service::Recovery};

/// Where they are.
const FOLDER: &str = "/notification/outbox";
/// Their kind.
const KIND: &str = "notification";
/// Messages that are looked at in one round.
const ROUND: usize = 100;
/// Seconds before a message is tried again; each later time twice as long.
const PAUSE: i64 = 30;
/// The longest of these pauses, in seconds.
const LONGEST_PAUSE: i64 = 3600;

/// A message, and who has not taken it yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outgoing {
    notification: Notification,
    made: Timestamp,
    pending: BTreeMap<String, Pending>,
}

/// How it stands with one receiver.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pending {
    attempts: u32,
    next: Timestamp,
}

/// What a round of sending came to.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Messages that a receiver took.
    pub sent: usize,
    /// What was not taken, or is given up.
    pub failures: Vec<ApiError>,
}

impl Outgoing {
    pub(super) fn new(notification: Notification, receivers: &[&str], now: Timestamp) -> Self {
        let pending =
            receivers.iter().map(|name| ((*name).to_owned(), Pending { attempts: 0, next: now })).collect();
        Self { notification, made: now, pending }
    }

    fn path(&self) -> String {
        format!("{FOLDER}/{}", self.notification.id)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a message cannot be written").because(e))
    }
}

/// The change that puts a message into the outbox. The same one once more changes nothing.
pub(super) fn new_outgoing(outgoing: &Outgoing) -> Result<Change> {
    Ok(Change::Put { path: outgoing.path(), kind: KIND.to_owned(), body: outgoing.encode()? })
}

impl Recovery {
    /// Sends what waits and whose time has come, to the receivers that are given. What is for a receiver that is not
    /// among them any more, or is older than [`KEPT_HOURS`], is dropped.
    ///
    /// # Errors
    /// `StateUnavailable`; what a receiver did not take is in the result.
    pub fn deliver_notifications(&self, channels: &[Box<dyn Channel>]) -> Result<Delivery> {
        let mut delivery = Delivery::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.store().list_kind(KIND, FOLDER, after.as_deref(), ROUND).map_err(unavailable)?;
            for document in &page {
                self.deliver(document, channels, &mut delivery)?;
            }
            match page.last() {
                Some(last) if page.len() == ROUND => after = Some(last.path.clone()),
                _ => return Ok(delivery),
            }
        }
    }

    fn deliver(
        &self,
        document: &Document,
        channels: &[Box<dyn Channel>],
        delivery: &mut Delivery,
    ) -> Result<()> {
        let path = &document.path;
        let mut outgoing: Outgoing = serde_json::from_slice(&document.body).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, format!("{path} cannot be read")).because(e)
        })?;
        let now = self.now();
        let due: Vec<_> = channels
            .iter()
            .filter(|channel| outgoing.pending.get(channel.name()).is_some_and(|p| p.next <= now))
            .collect();
        let known = outgoing.pending.len();
        outgoing.pending.retain(|name, _| channels.iter().any(|channel| channel.name() == name));
        if due.is_empty() && known == outgoing.pending.len() {
            return Ok(());
        }
        if outgoing.made + SignedDuration::from_hours(KEPT_HOURS) < now {
            let message = format!("a message was given up: {}", outgoing.notification.summary);
            delivery.failures.push(ApiError::new(Problem::StateUnavailable, message));
            outgoing.pending.clear();
        }
        // Noted before it is sent: of several workers one sends.
        for channel in &due {
            if let Some(pending) = outgoing.pending.get_mut(channel.name()) {
                let pause = (PAUSE << pending.attempts.min(10)).min(LONGEST_PAUSE);
                pending.attempts += 1;
                pending.next = now + SignedDuration::from_secs(pause);
            }
        }
        let Some(revision) = self.keep(&outgoing, document.revision)? else { return Ok(()) };
        let mut taken = 0;
        for channel in due {
            if !outgoing.pending.contains_key(channel.name()) {
                continue;
            }
            match channel.send(&outgoing.notification) {
                Ok(()) => {
                    outgoing.pending.remove(channel.name());
                    taken += 1;
                }
                Err(e) => delivery.failures.push(e),
            }
        }
        if taken > 0 {
            delivery.sent += taken;
            self.keep(&outgoing, revision)?;
        }
        Ok(())
    }

    /// Writes a message that was read, or deletes it when nobody waits for it. None where somebody else changed it.
    fn keep(&self, outgoing: &Outgoing, revision: u64) -> Result<Option<u64>> {
        let path = outgoing.path();
        let mut batch = self.batch();
        batch.changes.push(if outgoing.pending.is_empty() {
            Change::Delete { path, revision: Some(revision) }
        } else {
            Change::Replace { path, revision, body: outgoing.encode()? }
        });
        match self.store().commit(&batch) {
            Ok(committed) => Ok(Some(committed.revision)),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(None),
            Err(e) => Err(unavailable(e)),
        }
    }
}
