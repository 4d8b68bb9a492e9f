//! What can be changed of a vault.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, Result};

use super::{RecoveryVault, Redundancy, SOFT_DELETE_DAYS, SoftDelete, SoftDeleteState};

/// What to change of a vault; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultChange {
    /// How its storage is replicated: not while an item is registered.
    pub redundancy: Option<Redundancy>,
    /// Whether points may be restored in the other region.
    pub cross_region_restore: Option<bool>,
    /// What becomes of items whose data are deleted.
    pub soft_delete: Option<SoftDelete>,
    /// All of its tags.
    pub tags: Option<BTreeMap<String, String>>,
}

impl VaultChange {
    /// Applies it to a vault. `locked` says that an item is registered.
    pub(super) fn apply(&self, vault: &mut RecoveryVault, locked: bool) -> Result<()> {
        if let Some(redundancy) = self.redundancy.filter(|r| *r != vault.redundancy) {
            if locked {
                let message = format!(
                    "the storage redundancy of the vault {} is locked: an item is registered in it",
                    vault.id.name()
                );
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend(
                        "Use a new vault with the redundancy you want, and protect the machines there.",
                    )
                    .about(&vault.id));
            }
            vault.redundancy = redundancy;
        }
        vault.cross_region_restore = self.cross_region_restore.unwrap_or(vault.cross_region_restore);
        if vault.cross_region_restore && vault.redundancy != Redundancy::GeoRedundant {
            let message = "crossRegionRestore: it needs storage that is replicated to another region";
            return Err(ApiError::invalid(message)
                .recommend("Set the redundancy to GeoRedundant, or cross-region restore to off.")
                .about(&vault.id));
        }
        if let Some(soft_delete) = self.soft_delete {
            check_soft_delete(vault, soft_delete)?;
            vault.soft_delete = soft_delete;
        }
        if let Some(tags) = &self.tags {
            check_tags(tags)?;
            vault.tags.clone_from(tags);
        }
        Ok(())
    }
}

fn check_soft_delete(vault: &RecoveryVault, new: SoftDelete) -> Result<()> {
    if vault.soft_delete.state == SoftDeleteState::AlwaysOn && new.state != SoftDeleteState::AlwaysOn {
        let message =
            format!("soft delete of the vault {} is always on: that cannot be undone", vault.id.name());
        return Err(ApiError::new(Problem::Conflict, message)
            .recommend("Leave it on; where it must be off, use another vault.")
            .about(&vault.id));
    }
    if !SOFT_DELETE_DAYS.contains(&new.retention_days) {
        return Err(ApiError::invalid(format!(
            "softDeleteRetentionPeriodInDays: {} is not from {} to {}",
            new.retention_days,
            SOFT_DELETE_DAYS.start(),
            SOFT_DELETE_DAYS.end()
        ))
        .recommend("Give a number of days in these bounds.")
        .about(&vault.id));
    }
    Ok(())
}

/// The published bounds of tags.
fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    let fits = |(name, value): (&String, &String)| {
        !name.is_empty()
            && name.chars().count() <= 512
            && value.chars().count() <= 256
            && !name.contains(['<', '>', '%', '&', '\\', '?', '/'])
    };
    if tags.len() <= 50 && tags.iter().all(fits) {
        return Ok(());
    }
    Err(ApiError::invalid("tags: there are too many, or one is too long or has an unusual name").recommend(
        "Give at most 50 tags, with names of at most 512 characters, none of them <>%&\\?/, and values of at most 256.",
    ))
}
