//! Limits and states, as configured.

use cofre_arm::Problem;
use cofre_compute::{DataDisk, DeploymentModel, PowerState, ProvisioningState};
use cofre_recovery::{
    settings::{Limits, Settings},
    vault::Redundancy,
};

use crate::world::World;

#[test]
fn more_than_is_allowed_is_refused() {
    let limits = Limits {
        vaults: 2,
        machines_per_vault: 1,
        machines_per_policy: 1,
        data_disks: 1,
        disk_bytes: 17 << 20,
        ..Limits::default()
    };
    let world = World::new(Settings { limits, ..Settings::default() });
    world.key_vault("kv1");
    let create = |name: &str| world.recovery.create_vault("g", name, "local", Redundancy::GeoRedundant);
    let vault = create("v1").unwrap().id;
    assert_eq!(create("V1").unwrap_err().problem(), Problem::Conflict, "names are compared without case");
    create("v2").unwrap();
    assert_eq!(create("v3").unwrap_err().problem(), Problem::VaultLimit);

    let image = world.image("os.raw", "one");
    let disk = |name: &str| World::disk(name, &image, None);
    let data = |lun| DataDisk { lun, disk: disk(&format!("d{lun}")) };
    let enable = |machine: &cofre_compute::VirtualMachine| {
        world.recovery.register_machine(machine).unwrap();
        world.recovery.enable_protection(&vault, &machine.id, "DefaultPolicy").map(|f| f.job.status)
    };
    let many = world.machine("many", disk("os"), vec![data(0), data(1)]);
    assert_eq!(enable(&many).unwrap_err().problem(), Problem::UnsupportedDisk);
    let large = world.folder.path().join("vm").canonicalize().unwrap().join("large.raw");
    std::fs::File::create(&large).unwrap().set_len((17 << 20) + 1).unwrap();
    let large = world.machine("large", World::disk("os", &large, None), Vec::new());
    assert_eq!(enable(&large).unwrap_err().problem(), Problem::UnsupportedDisk);

    let mut failed = world.machine("failed", disk("os"), Vec::new());
    failed.provisioning_state = ProvisioningState::Failed;
    assert_eq!(enable(&failed).unwrap_err().problem(), Problem::ProvisioningStateFailed);
    let mut starting = world.machine("starting", disk("os"), Vec::new());
    starting.power_state = PowerState::Starting;
    assert_eq!(enable(&starting).unwrap_err().problem(), Problem::VmState);
    let mut classic = world.machine("classic", disk("os"), Vec::new());
    classic.model = DeploymentModel::Classic;
    classic.encryption_settings = Some(world.wrap("kv1", "os", "one"));
    assert_eq!(enable(&classic).unwrap_err().problem(), Problem::ClassicEncryptedVm);

    enable(&world.machine("one", disk("os"), Vec::new())).unwrap();
    let second = world.machine("two", disk("os"), Vec::new());
    assert_eq!(enable(&second).unwrap_err().problem(), Problem::VaultLimit);
    assert_eq!(world.recovery.jobs(None, 100).unwrap().len(), 1, "only the one that was done");
}

#[test]
fn the_policy_has_a_limit_of_its_own() {
    let limits = Limits { machines_per_policy: 1, ..Limits::default() };
    let world = World::new(Settings { limits, ..Settings::default() });
    let vault = world.recovery.create_vault("g", "v1", "local", Redundancy::GeoRedundant).unwrap().id;
    let image = world.image("os.raw", "one");
    let machine = |name: &str| world.machine(name, World::disk("os", &image, None), Vec::new());
    world.protect(&vault, &machine("one"));
    let second = machine("two");
    world.recovery.register_machine(&second).unwrap();
    let refused = world.recovery.enable_protection(&vault, &second.id, "DefaultPolicy").unwrap_err();
    assert_eq!(refused.problem(), Problem::PolicyItemLimit);
}
