//! What can be changed of a vault, and when.

use std::collections::BTreeMap;

use cofre_arm::Problem;
use cofre_recovery::vault::{Redundancy, SoftDelete, SoftDeleteState, VaultChange};

use crate::{policies::machine, world::World};

fn soft_delete(state: SoftDeleteState, retention_days: u32) -> VaultChange {
    VaultChange { soft_delete: Some(SoftDelete { state, retention_days }), ..VaultChange::default() }
}

#[test]
fn redundancy_changes_until_an_item_is_registered() {
    let (world, vault) = World::ready();
    let recovery = &world.recovery;
    let redundancy = |redundancy| VaultChange { redundancy: Some(redundancy), ..VaultChange::default() };
    let across = |flag| VaultChange { cross_region_restore: Some(flag), ..VaultChange::default() };
    assert!(recovery.update_vault(&vault, &across(true)).unwrap().cross_region_restore);
    let refused = recovery.update_vault(&vault, &redundancy(Redundancy::LocallyRedundant)).unwrap_err();
    assert_eq!(refused.problem(), Problem::InvalidParameter, "cross-region restore needs another region");
    let both = VaultChange { cross_region_restore: Some(false), ..redundancy(Redundancy::LocallyRedundant) };
    assert_eq!(recovery.update_vault(&vault, &both).unwrap().redundancy, Redundancy::LocallyRedundant);
    assert_eq!(
        recovery.update_vault(&vault, &across(true)).unwrap_err().problem(),
        Problem::InvalidParameter
    );
    assert!(!recovery.storage_locked(&vault).unwrap());

    world.protect(&vault, &machine(&world, "web"));
    assert!(recovery.storage_locked(&vault).unwrap());
    let refused = recovery.update_vault(&vault, &redundancy(Redundancy::ZoneRedundant)).unwrap_err();
    assert_eq!(refused.problem(), Problem::Conflict);
    recovery.update_vault(&vault, &redundancy(Redundancy::LocallyRedundant)).unwrap();
    let refused = recovery.delete_vault(&vault).unwrap_err();
    assert!(refused.to_string().contains("existing resources within the vault: web"), "{refused}");
}

#[test]
fn soft_delete_has_its_bounds_and_can_be_made_to_stay() {
    let (world, vault) = World::ready();
    let recovery = &world.recovery;
    let made = recovery.vault(&vault).unwrap();
    assert_eq!(made.soft_delete, SoftDelete { state: SoftDeleteState::Enabled, retention_days: 14 });
    for days in [0, 13, 181] {
        let refused =
            recovery.update_vault(&vault, &soft_delete(SoftDeleteState::Enabled, days)).unwrap_err();
        assert_eq!(refused.problem(), Problem::InvalidParameter, "{days}");
    }
    assert!(
        !recovery
            .update_vault(&vault, &soft_delete(SoftDeleteState::Disabled, 14))
            .unwrap()
            .soft_delete
            .is_on()
    );
    recovery.update_vault(&vault, &soft_delete(SoftDeleteState::AlwaysOn, 180)).unwrap();
    let refused = recovery.update_vault(&vault, &soft_delete(SoftDeleteState::Disabled, 14)).unwrap_err();
    assert_eq!(refused.problem(), Problem::Conflict);
    recovery.update_vault(&vault, &soft_delete(SoftDeleteState::AlwaysOn, 30)).unwrap();
    assert_eq!(recovery.vault(&vault).unwrap().soft_delete.retention_days, 30);
}

#[test]
fn a_vault_is_put_whether_it_is_there_or_not() {
    let (world, _) = World::ready();
    let recovery = &world.recovery;
    let tags = |value: &str| VaultChange {
        tags: Some(BTreeMap::from([("site".to_owned(), value.to_owned())])),
        ..VaultChange::default()
    };
    let (made, new) = recovery.put_vault("g", "v2", "local", &tags("a")).unwrap();
    assert!(new && made.redundancy == Redundancy::GeoRedundant);
    assert_eq!(recovery.policies(&made.id).unwrap().len(), 1, "with its policy");
    let (changed, new) = recovery.put_vault("g", "V2", "LOCAL", &tags("b")).unwrap();
    assert!(!new && changed.tags["site"] == "b" && changed.created == made.created);
    let moved = recovery.put_vault("g", "v2", "elsewhere", &VaultChange::default()).unwrap_err();
    assert_eq!(moved.problem(), Problem::Conflict);
    let long = recovery.put_vault("g", "v2", "local", &tags(&"x".repeat(257))).unwrap_err();
    assert_eq!(long.problem(), Problem::InvalidParameter);
    assert_eq!(recovery.vault(&made.id).unwrap(), changed);
}

#[test]
fn records_of_older_vaults_are_read_with_the_defaults() {
    let record = r#"{"id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v",
        "location":"local","redundancy":"GeoRedundant","created":"2026-01-01T00:00:00Z"}"#;
    let vault: cofre_recovery::vault::RecoveryVault = serde_json::from_str(record).unwrap();
    assert_eq!(vault.soft_delete, SoftDelete { state: SoftDeleteState::Enabled, retention_days: 14 });
    assert!(!vault.cross_region_restore && vault.tags.is_empty());
}
