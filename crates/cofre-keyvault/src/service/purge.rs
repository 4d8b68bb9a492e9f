//! Purging: how what is deleted goes for good, in batches of bounded size.
//!
//! What lies below a head goes first, the head last; so the head says what is still to be done, and holds
//! the name until all of it is. Where one batch does not do, the first one marks the head: from then on
//! there is no way back, and whoever meets it goes on. The event is part of the batch that decides.

use super::{ATTEMPTS, Done, KeyVaults, OpenVault, objects::unseal, seal_record, vaults::VAULTS};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    caller::Caller,
    deletion::DeletionMark,
    error::{ErrorKind, KeyVaultError, Result},
    objects::{Head, Kind, Stored},
    state::{Change, Record, StateError},
};

/// Most records that one batch deletes.
const BATCH: usize = 250;

/// One batch of a purge: the answer is whether it is the last.
type Step = Done<bool>;

impl KeyVaults {
    /// Purges whatever is deleted and has reached its scheduled date, vaults and what is in them; returns how
    /// many vaults, keys and secrets these were. Until then such things only behave as if they were gone.
    ///
    /// # Errors
    /// The first error that was met, after everything else was done.
    pub fn purge_due(&self, caller: &Caller) -> Result<usize> {
        let (mut purged, mut failed) = (0, None);
        let mut after: Option<String> = None;
        loop {
            let records = self.list(VAULTS, after.as_deref(), BATCH)?;
            let ended = records.len() < BATCH;
            after = records.last().map(|record| record.path.clone());
            for record in records {
                let result = self.purge_due_below(caller, record, &mut purged);
                failed = failed.or(result.err());
            }
            if ended {
                break;
            }
        }
        failed.map_or(Ok(purged), Err)
    }

    fn purge_due_below(&self, caller: &Caller, record: Record, purged: &mut usize) -> Result<()> {
        let Some(open) = self.unseal_vault(record)? else { return Ok(()) };
        let name = &open.vault.name;
        let now = self.clock.now();
        if open.deletion.is_some_and(|mark| mark.is_over(now)) {
            let event = AuditEvent::begin(caller, Operation::PurgeVault, Scope::Vault, name, "", None);
            self.finish_vault_purge(name, &event)?;
            *purged += 1;
            return Ok(());
        }
        for (kind, scope) in [(Kind::Key, Scope::Keys), (Kind::Secret, Scope::Secrets)] {
            let prefix = kind.heads(&open.key.id);
            let mut after: Option<String> = None;
            loop {
                let records = self.list(&prefix, after.as_deref(), BATCH)?;
                let ended = records.len() < BATCH;
                after = records.last().map(|record| record.path.clone());
                for record in records {
                    let head = unseal::<Head>(&open, record)?.body;
                    if head.deletion.is_some_and(|mark| mark.is_over(now)) {
                        let event =
                            AuditEvent::begin(caller, Operation::Purge, scope, name, &head.name, None);
                        self.finish_object_purge(&open, kind, &head.name, &event)?;
                        *purged += 1;
                    }
                }
                if ended {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Purges a key or secret that is over, or what is left of it.
    pub(super) fn finish_object_purge(
        &self,
        vault: &OpenVault,
        kind: Kind,
        name: &str,
        event: &AuditEvent,
    ) -> Result<()> {
        self.finish(event.due(Operation::Purge, Some(name)), || {
            let Some(head) = self.head(vault, kind, name)? else { return Ok(None) };
            let over = head.body.deletion.filter(|mark| mark.is_over(self.clock.now()));
            over.map(|mark| Ok((mark, self.purge_object_step(vault, kind, &head)?))).transpose()
        })
    }

    /// Purges a vault that is over, or what is left of it.
    pub(super) fn finish_vault_purge(&self, name: &str, event: &AuditEvent) -> Result<()> {
        self.finish(event.due(Operation::PurgeVault, None), || {
            let open = match self.find_vault(name) {
                Err(error) if error.kind() == ErrorKind::VaultNotFound => return Ok(None),
                found => found?,
            };
            let over = open.deletion.filter(|mark| mark.is_over(self.clock.now()));
            over.map(|mark| Ok((mark, self.purge_vault_step(&open)?))).transpose()
        })
    }

    /// Goes on until there is no step left. Others may do the same at the same time.
    fn finish(
        &self,
        mut event: AuditEvent,
        step: impl Fn() -> Result<Option<(DeletionMark, Step)>>,
    ) -> Result<()> {
        let mut attempts = 0;
        while let Some((mark, Done { answer: is_complete, changes })) = step()? {
            event.allowed(self.clock.now());
            // The batch that marked the head has brought its event along.
            let events = if mark.purging { &[][..] } else { std::slice::from_ref(&event) };
            match self.state.commit(&changes, events) {
                Ok(()) if is_complete => break,
                Ok(()) => attempts = 0,
                Err(StateError::Conflict { .. }) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::yield_now();
                }
                Err(error) => return Err(KeyVaultError::state("remove what is purged", error)),
            }
        }
        Ok(())
    }

    /// The next batch of the purge of a deleted key or secret.
    pub(super) fn purge_object_step(
        &self,
        vault: &OpenVault,
        kind: Kind,
        head: &Stored<Head>,
    ) -> Result<Step> {
        let below = self.some_below(&[kind.versions(&vault.key.id, &head.body.name)])?;
        let (path, revision) = (head.path.clone(), head.revision);
        step(below, head.body.deletion, Change::Delete { path, revision }, |mark| {
            let marked = Head { deletion: Some(mark), ..head.body.clone() };
            let body = seal_record(&vault.key, &head.path, &marked)?;
            Ok(Change::Replace { path: head.path.clone(), revision: head.revision, body })
        })
    }

    /// The next batch of the purge of a deleted vault.
    pub(super) fn purge_vault_step(&self, open: &OpenVault) -> Result<Step> {
        let kinds = [Kind::Key, Kind::Secret];
        let prefixes = kinds.map(|kind| [kind.all_versions(&open.key.id), kind.heads(&open.key.id)]);
        let below = self.some_below(prefixes.as_flattened())?;
        let (path, revision) = (open.path.clone(), open.revision);
        step(below, open.deletion, Change::Delete { path, revision }, |mark| {
            self.mark_vault(open, Some(mark))
        })
    }

    /// Records below the prefixes, up to one more than a batch deletes.
    fn some_below(&self, prefixes: &[String]) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for prefix in prefixes {
            records.extend(self.list(prefix, None, BATCH + 1 - records.len())?);
            if records.len() > BATCH {
                break;
            }
        }
        Ok(records)
    }
}

/// What the next batch does, given what lies below a head.
fn step(
    mut below: Vec<Record>,
    mark: Option<DeletionMark>,
    end: Change,
    replace: impl FnOnce(DeletionMark) -> Result<Change>,
) -> Result<Step> {
    let is_complete = below.len() <= BATCH;
    below.truncate(BATCH);
    let delete = |Record { path, revision, .. }| Change::Delete { path, revision };
    let mut changes: Vec<_> = below.into_iter().map(delete).collect();
    match mark.filter(|mark| !mark.purging) {
        _ if is_complete => changes.push(end),
        Some(mark) => changes.push(replace(DeletionMark { purging: true, ..mark })?),
        None => {}
    }
    Ok(Done { answer: is_complete, changes })
}
