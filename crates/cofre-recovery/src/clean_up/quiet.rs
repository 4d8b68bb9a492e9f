//! Of which items nothing can have expired: a round passes over them, without a look at their points or repositories.
//!
//! A clean-up notes until when there is nothing to do, and of which revisions of the item and its policy that is true.
//! Every backup writes its item, and a change of a policy writes the policy, so that either makes the note void.

use std::collections::HashMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, unavailable},
    item::{ProtectedItem, ProtectionState},
    points::RecoveryPoint,
    policy::Policy,
    service::Recovery,
    settings::DaylightSaving,
};

const KIND: &str = "quiet";
/// What the paths of notes begin with; the item's own follows.
const PREFIX: &str = "/quiet";
/// Notes that are read at once.
const PAGE: usize = 500;

/// When there is nothing to clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quiet {
    /// The item's revision.
    item: u64,
    /// The policy's revision; none where it was gone.
    policy: Option<u64>,
    /// The setting that dates depend on, too.
    daylight_saving: DaylightSaving,
    /// From this instant on there is something to do; never where there is none.
    until: Option<Timestamp>,
}

/// The path of an item's note.
pub(crate) fn path(item: &ResourceId) -> String {
    format!("{PREFIX}{}", item.key())
}

impl Recovery {
    /// Notes that nothing is to be done for an item before the first of the points `left` expires. One whose date has
    /// passed is the last, and stays until the item is backed up.
    pub(super) fn note_quiet<'a>(
        &self,
        item: &ResourceId,
        revision: u64,
        policy: Option<u64>,
        left: impl Iterator<Item = &'a RecoveryPoint>,
    ) -> Result<()> {
        let now = self.now();
        let quiet = Quiet {
            item: revision,
            policy,
            daylight_saving: self.settings().schedule.daylight_saving,
            until: left.map(|point| point.expiry).filter(|expiry| *expiry > now).min(),
        };
        let body = serde_json::to_vec(&quiet)
            .map_err(|e| ApiError::new(Problem::StateUnavailable, "a record cannot be written").because(e))?;
        let path = path(item);
        if self.store().read(&path).map_err(unavailable)?.is_some_and(|there| there.body == body) {
            return Ok(());
        }
        let mut batch = self.batch();
        batch.changes.push(Change::Put { path, kind: KIND.to_owned(), body });
        self.commit(&batch)
    }

    /// The items that may have something to clean up: all that were not found quiet, in whatever vault.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn items_to_clean_up(&self) -> Result<Vec<ProtectedItem>> {
        let quiet = self.quiet()?;
        let mut policies: HashMap<ResourceId, Option<u64>> = HashMap::new();
        let mut items = Vec::new();
        let now = self.now();
        let daylight_saving = self.settings().schedule.daylight_saving;
        for loaded in documents::list_loaded::<ProtectedItem>(self.store(), "")? {
            let item = loaded.value;
            if item.protection_state == ProtectionState::ProtectionStopped || item.repository.is_none() {
                continue;
            }
            let policy = match policies.get(&item.policy_id) {
                Some(revision) => *revision,
                None => {
                    let found = documents::find::<Policy>(self.store(), &item.policy_id)?;
                    let revision = found.map(|policy| policy.revision);
                    policies.insert(item.policy_id.clone(), revision);
                    revision
                }
            };
            let is_quiet = quiet.get(&path(&item.id)).is_some_and(|quiet| {
                quiet.item == loaded.revision
                    && quiet.policy == policy
                    && quiet.daylight_saving == daylight_saving
                    && quiet.until.is_none_or(|until| now < until)
            });
            if !is_quiet {
                items.push(item);
            }
        }
        Ok(items)
    }

    /// All notes, by their paths. One that cannot be read is none.
    fn quiet(&self) -> Result<HashMap<String, Quiet>> {
        let mut all = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store().list_kind(KIND, PREFIX, after.as_deref(), PAGE).map_err(unavailable)?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|last| last.path.clone());
            for document in page {
                if let Ok(quiet) = serde_json::from_slice(&document.body) {
                    all.insert(document.path, quiet);
                }
            }
            if is_last {
                return Ok(all);
            }
        }
    }
}
