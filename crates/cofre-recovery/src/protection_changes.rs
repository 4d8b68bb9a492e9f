//! Changes to machines that are protected: another policy, stopped, going on, a deletion taken back. Each is a job of one
//! transaction, and a refusal leaves no job.

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_repo::{Cancel, failpoint};
use cofre_store::Batch;

use crate::{
    documents,
    item::{ProtectedItem, ProtectionState},
    job::{Finished, JobRun, NewJob, Operation},
    service::Recovery,
};

impl Recovery {
    /// Does what one transaction can do, as a job.
    pub(crate) fn at_once(
        &self,
        item: &ProtectedItem,
        operation: Operation,
        work: impl Fn() -> Result<(Batch, ProtectedItem)>,
    ) -> Result<Finished<ProtectedItem>> {
        let new = NewJob {
            vault: &item.vault_id,
            item: Some(&item.id),
            operation,
            name: &item.friendly_name,
            tasks: &[],
            request: None,
            user_triggered: true,
        };
        let run = JobRun::begin(self, new, &Cancel::new())?;
        failpoint::reached("protection.begun");
        let made = std::cell::RefCell::new(None);
        let done = run.complete(|| {
            let (batch, item) = work()?;
            made.replace(Some(item));
            Ok(batch)
        });
        let result = done.and_then(|job| {
            let lost = || ApiError::new(Problem::StateUnavailable, "the item was not changed");
            made.take().ok_or_else(lost).map(|item| (job, item))
        });
        match result {
            Ok((job, item)) => Ok(Finished { job, result: Ok(item) }),
            Err(e) => Ok(Finished { job: run.fail(&e, || Ok(self.batch())), result: Err(e) }),
        }
    }

    /// Changes an item as a job, after `change` has agreed to what is there before the job and within it.
    fn reconfigure(
        &self,
        item: &ResourceId,
        operation: Operation,
        event: &str,
        change: impl Fn(&mut ProtectedItem) -> Result<()>,
    ) -> Result<Finished<ProtectedItem>> {
        let mut now = documents::load::<ProtectedItem>(self.store(), item)?.value;
        // a refusal leaves no job
        change(&mut now)?;
        self.at_once(&now, operation, || {
            let mut item = documents::load::<ProtectedItem>(self.store(), item)?;
            change(&mut item.value)?;
            let mut batch = self.batch();
            batch.changes.push(documents::replace(&item)?);
            let policy = item.value.policy_id.name();
            batch.events.push(self.event(event, &item.value.id, Some(policy.into()))?);
            Ok((batch, item.value))
        })
    }

    /// Stops the protection of a machine: no more backups, and what is there is kept for ever. A job `DisableBackup`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is stopped already or its data are to go; `OperationInProgress`.
    pub fn stop_protection(&self, item: &ResourceId) -> Result<Finished<ProtectedItem>> {
        self.reconfigure(item, Operation::DisableBackup, "protection.stop", |item| {
            item.refuse_deleted()?;
            if item.protection_state == ProtectionState::ProtectionStopped {
                let message = format!("the protection of {} is stopped already", item.friendly_name);
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Resume it, or delete its backup data.")
                    .about(&item.id));
            }
            item.protection_state = ProtectionState::ProtectionStopped;
            item.recover();
            Ok(())
        })
    }

    /// Goes on with the protection of a machine under a policy of its vault, not necessarily the one before. A job
    /// `ConfigureBackup`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is not stopped or its data are to go; `PolicyItemLimit`; `OperationInProgress`.
    pub fn resume_protection(&self, item: &ResourceId, policy: &str) -> Result<Finished<ProtectedItem>> {
        self.reconfigure(item, Operation::ConfigureBackup, "protection.resume", |item| {
            item.refuse_deleted()?;
            if item.protection_state != ProtectionState::ProtectionStopped {
                let message = format!("the protection of {} is not stopped", item.friendly_name);
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Change its policy: `cofre protection set-policy`.")
                    .about(&item.id));
            }
            item.policy_id = self.policy_for(item, policy)?;
            let any = self.recovery_points_visible(&item.id)?;
            item.protection_state = if any { ProtectionState::Protected } else { ProtectionState::IRPending };
            // what was due while it was stopped is not made up for
            item.last_slot = Some(self.now());
            Ok(())
        })
        .inspect(|finished| self.follow_policy(finished))
    }

    /// Gives a protected machine another policy of its vault. A job `ConfigureBackup`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where its protection is stopped or its data are to go; `PolicyItemLimit`;
    /// `OperationInProgress`.
    pub fn change_policy(&self, item: &ResourceId, policy: &str) -> Result<Finished<ProtectedItem>> {
        self.reconfigure(item, Operation::ConfigureBackup, "protection.policy", |item| {
            item.refuse_deleted()?;
            if item.protection_state == ProtectionState::ProtectionStopped {
                let message = format!("the protection of {} is stopped", item.friendly_name);
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Resume it with that policy: `cofre protection resume`.")
                    .about(&item.id));
            }
            let policy = self.policy_for(item, policy)?;
            if item.policy_id != policy {
                // its schedule begins now
                item.last_slot = Some(self.now());
            }
            item.policy_id = policy;
            Ok(())
        })
        .inspect(|finished| self.follow_policy(finished))
    }

    /// Moves the dates of the points to where the item's policy has them now.
    fn follow_policy(&self, finished: &Finished<ProtectedItem>) {
        if let Ok(item) = &finished.result {
            // the next clean-up does it before it deletes anything, should this fail
            let _ = self.redate(&item.id);
        }
    }

    /// Takes the deletion of an item's backup data back; its protection stays stopped. A job `Undelete`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where nothing was deleted, or it goes already; `OperationInProgress`.
    pub fn undelete(&self, item: &ResourceId) -> Result<Finished<ProtectedItem>> {
        self.reconfigure(item, Operation::Undelete, "protection.undelete", |item| match &item.deletion {
            None => {
                let message = format!("the backup data of {} are not deleted", item.friendly_name);
                Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Nothing needs to be done.")
                    .about(&item.id))
            }
            Some(deletion) if deletion.removing => item.refuse_deleted(),
            Some(_) => {
                item.deletion = None;
                item.protection_state = ProtectionState::ProtectionStopped;
                Ok(())
            }
        })
    }

    /// The id of a policy of an item's vault, if the item may have it.
    fn policy_for(&self, item: &ProtectedItem, policy: &str) -> Result<ResourceId> {
        let policy = self.policy(&item.vault_id, policy)?;
        self.check_policy_users(&item.vault_id, &policy, Some(&item.id))?;
        Ok(policy.id)
    }
}
