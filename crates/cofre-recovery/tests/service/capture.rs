//! Which keys a point gets.

use std::fs;

use cofre_arm::Problem;
use cofre_compute::{DataDisk, EncryptionMechanism};
use cofre_keyvault::{KeySpec, PageRequest, SecretUpdate};
use cofre_recovery::{
    LocalKeyVaults, Recovery,
    job::JobStatus,
    key_source::ProofState,
    keys_back::{Destination, Outcome},
    restore::{ENCRYPTION_FILE, RecoveryType},
    storage_account::StorageAccount,
};
use cofre_repo::{Cancel, progress::Silent};
use zeroize::Zeroizing;

use crate::world::World;

#[test]
fn disks_with_secrets_of_their_own_in_two_key_vaults() {
    let (world, vault) = World::ready();
    world.key_vault("kv2");
    let os = World::disk("os", &world.image("os.raw", "one"), Some(world.wrap("kv1", "os", "one")));
    let data = World::disk("data", &world.image("data.raw", "two"), Some(world.wrap("kv2", "data", "two")));
    let plain = World::disk(
        "swap",
        &{
            let path = world.folder.path().join("vm").canonicalize().unwrap().join("swap.raw");
            fs::write(&path, vec![0; 1 << 20]).unwrap();
            path
        },
        None,
    );
    let disks = vec![DataDisk { lun: 0, disk: data }, DataDisk { lun: 4, disk: plain }];
    let machine = world.machine("web", os, disks);
    let item = world.protect(&vault, &machine);
    let done = world.backup(&item);
    assert_eq!(done.job.status, JobStatus::Completed, "{:?}", done.job);
    let point = done.result.unwrap().point;
    assert_eq!(point.encryption_mechanism, EncryptionMechanism::SinglePass);
    let states: Vec<_> = point.disks.iter().map(|d| d.keys.clone()).collect();
    assert_eq!(states, [ProofState::Proven, ProofState::Proven, ProofState::NotEncrypted]);

    // everything goes, and both pairs come back into one vault
    for name in ["kv1", "kv2"] {
        world.vaults.delete_vault(&world.operator, name).unwrap();
        world.vaults.purge_vault(&world.operator, name).unwrap();
    }
    let folder = world.folder.path().join("out");
    fs::create_dir(&folder).unwrap();
    let account = StorageAccount { name: "out".into(), folder };
    let recovery = &world.recovery;
    let kind = RecoveryType::RestoreDisks;
    let restored = recovery.restore_disks(&item, "latest", &account, kind, &Silent, &Cancel::new()).unwrap();
    assert_eq!(restored.job.status, JobStatus::CompletedWithWarnings);
    let codes: Vec<_> = restored.job.error_details.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(codes, ["UserErrorKeyVaultNotFound"; 2], "one for each vault");
    let container = restored.result.unwrap().container;
    let file = Zeroizing::new(fs::read(container.join(ENCRYPTION_FILE)).unwrap());
    let file = Recovery::read_encryption_file(&file).unwrap();
    let target =
        LocalKeyVaults::new(world.vaults.clone(), world.operator.clone(), std::sync::Arc::new(Never));
    let new = Destination::Vault("new".into());
    let put = |to: &Destination| recovery.put_keys_back(&file, "web", machine.os_type, to, &target);
    assert_eq!(put(&new).unwrap_err().problem(), Problem::KeyVaultNotFound);
    world.key_vault("new");
    // both keys are called kek, and so is the one that is there: none of them is overwritten
    assert_eq!(put(&new).unwrap_err().problem(), Problem::KeyVaultNameConflict);
    for name in ["kv1", "kv2"] {
        world.key_vault(name);
        world.vaults.delete_key(&world.operator, name, "kek").unwrap();
    }
    // a deleted key keeps its name: nothing is put in its place
    let error = put(&Destination::Original).unwrap_err();
    assert_eq!(error.problem(), Problem::KeyVaultNameConflict);
    assert!(error.recommendation().contains("purge"), "{}", error.recommendation());
    for name in ["kv1", "kv2"] {
        world.vaults.purge_key(&world.operator, name, "kek").unwrap();
    }
    let back = put(&Destination::Original).unwrap();
    assert_eq!(back.len(), 2);
    assert!(back.iter().all(|b| b.key == Outcome::Restored && b.secret == Outcome::Restored));
    let moved = cofre_recovery::keys_back::rewritten(&machine, &back).unwrap();
    recovery
        .update_machine(&machine.id, |m| {
            *m = moved;
            Ok(())
        })
        .unwrap();
    let done = world.backup(&item);
    assert_eq!(done.result.unwrap().point.disks[1].keys, ProofState::Proven, "with the keys that came back");
}

struct Never;

impl cofre_keyvault::proof::HeaderProver for Never {
    fn try_open(&self, _: &[u8], _: u64, _: &[u8]) -> cofre_keyvault::proof::ProverAnswer {
        cofre_keyvault::proof::ProverAnswer::Failed("nobody asks".into())
    }
}

#[test]
fn a_rotation_during_the_snapshot_loses_neither_pair() {
    let (world, vault) = World::ready();
    let image = world.image("os.raw", "one");
    let mut machine = world.machine("web", World::disk("os", &image, None), Vec::new());
    machine.encryption_settings = Some(world.wrap("kv1", "os", "one"));
    let item = world.protect(&vault, &machine);
    world.vaults.create_key(&world.operator, "kv1", "kek", &KeySpec::default()).unwrap();
    let rotated = world.wrap("kv1", "os", "one");
    let (recovery, id) = (world.recovery.clone(), machine.id.clone());
    *world.driver.during.lock().unwrap() = Some(Box::new(move || {
        recovery
            .update_machine(&id, |m| {
                m.encryption_settings = Some(rotated);
                Ok(())
            })
            .unwrap();
    }));
    let done = world.backup(&item);
    assert_eq!(done.job.status, JobStatus::Completed, "{:?}", done.job);
    let folder = world.folder.path().join("out");
    fs::create_dir(&folder).unwrap();
    let account = StorageAccount { name: "out".into(), folder };
    let kind = RecoveryType::RestoreDisks;
    let restored =
        world.recovery.restore_disks(&item, "latest", &account, kind, &Silent, &Cancel::new()).unwrap();
    let file = fs::read(restored.result.unwrap().container.join(ENCRYPTION_FILE)).unwrap();
    let file = Recovery::read_encryption_file(&Zeroizing::new(file)).unwrap();
    assert_eq!(file.secrets().len(), 2, "both are kept");
    assert_eq!(file.keys().len(), 1, "of one key, with both versions");
}

#[test]
fn points_share_the_blob_of_a_key_until_it_or_its_seal_changes() {
    let (world, vault) = World::ready();
    let image = world.image("os.raw", "one");
    let mut machine = world.machine("web", World::disk("os", &image, None), Vec::new());
    machine.encryption_settings = Some(world.wrap("kv1", "os", "one"));
    let item = world.protect(&vault, &machine);
    let folder = world.folder.path().join("out");
    fs::create_dir(&folder).unwrap();
    let account = StorageAccount { name: "out".into(), folder };
    let blob = || {
        let done = world.backup(&item);
        assert_eq!(done.result.unwrap().point.disks[0].keys, ProofState::Proven);
        let kind = RecoveryType::RestoreDisks;
        let restored =
            world.recovery.restore_disks(&item, "latest", &account, kind, &Silent, &Cancel::new()).unwrap();
        let file = fs::read(restored.result.unwrap().container.join(ENCRYPTION_FILE)).unwrap();
        let file = Recovery::read_encryption_file(&Zeroizing::new(file)).unwrap();
        file.entries[0].key_backup.sha256()
    };
    let first = blob();
    assert_eq!(blob(), first);
    world.vaults.rotate_blob_key(&world.operator).unwrap();
    let resealed = blob();
    assert_ne!(resealed, first, "a new seal");
    world.vaults.create_key(&world.operator, "kv1", "kek", &KeySpec::default()).unwrap();
    let grown = blob();
    assert_ne!(grown, resealed, "a new version");
    assert_eq!(blob(), grown);
}

#[test]
fn what_the_settings_name_is_captured_not_the_latest() {
    let (world, vault) = World::ready();
    let image = world.image("os.raw", "one");
    let mut machine = world.machine("web", World::disk("os", &image, None), Vec::new());
    machine.encryption_settings = Some(world.wrap("kv1", "os", "one"));
    let item = world.protect(&vault, &machine);
    // a newer version of the secret that opens nothing
    world.wrap("kv1", "os", "another");
    let done = world.backup(&item);
    assert_eq!(done.result.unwrap().point.disks[0].keys, ProofState::Proven);

    // the named version is disabled: the job fails with what to do, and no point is made
    let versions =
        world.vaults.list_secret_versions(&world.operator, "kv1", "os", PageRequest::default()).unwrap();
    for version in versions.items {
        let mut change = SecretUpdate::default();
        change.attributes.enabled = Some(false);
        world.vaults.update_secret(&world.operator, "kv1", "os", Some(&version.version), &change).unwrap();
    }
    let done = world.backup(&item);
    assert_eq!(done.job.status, JobStatus::Failed);
    assert_eq!(done.result.unwrap_err().problem(), Problem::KeyVersionNotFound);
    assert_eq!(world.recovery.recovery_points(&item).unwrap().len(), 1);
}

#[test]
fn encryption_that_came_after_protection_needs_access_and_nothing_else() {
    let (world, vault) = World::ready();
    let image = world.image("os.raw", "one");
    let machine = world.machine("web", World::disk("os", &image, None), Vec::new());
    let item = world.protect(&vault, &machine);
    let principal = cofre_keyvault::Principal::from(&world.backup);
    world.vaults.remove_access_policy(&world.operator, "kv1", &principal).unwrap();
    let before = world.backup(&item);
    assert_eq!(before.job.status, JobStatus::CompletedWithWarnings, "a header that nobody named keys for");
    let settings = world.wrap("kv1", "os", "one");
    let bek_only = cofre_compute::EncryptionSettings { key_encryption_key: None, ..settings.clone() };
    let set = |s: &cofre_compute::EncryptionSettings| {
        world
            .recovery
            .update_machine(&machine.id, |m| {
                m.encryption_settings = Some(s.clone());
                Ok(())
            })
            .unwrap();
    };
    set(&bek_only);
    assert_eq!(world.backup(&item).result.unwrap_err().problem(), Problem::BekOnly);
    set(&settings);
    assert_eq!(world.backup(&item).result.unwrap_err().problem(), Problem::KeyVaultPermissions);
    let policy = cofre_keyvault::AccessTemplate::AzureBackup.policy(principal);
    world.vaults.set_access_policy(&world.operator, "kv1", &policy).unwrap();
    assert_eq!(world.backup(&item).result.unwrap().point.disks[0].keys, ProofState::Proven);
    let encrypted: Vec<_> =
        world.recovery.recovery_points(&item).unwrap().iter().map(|p| p.is_encrypted()).collect();
    assert_eq!(encrypted, [true, false], "each point says how it was");
}
