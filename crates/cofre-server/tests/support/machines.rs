//! The recovery service of the tests: real repositories and images below a folder of the test's own.

use std::{fs, path::Path, sync::Arc};

use cofre_compute::ImageDriver;
use cofre_keyvault::{Caller, KeyVaults};
use cofre_recovery::{
    LocalKeyVaults, Parts, Recovery,
    settings::Settings,
    trust::{RecoveryPublicKey, ServiceKey, kit},
};
use cofre_store::Store;

use super::{NoProver, SUBSCRIPTION, TENANT, TestClock};

/// The object id of the backup service.
pub(crate) const BACKUP_SERVICE: &str = "55555555-5555-4555-8555-555555555555";

/// A public key whose other half nobody has: making one takes longer than most tests.
const RECOVERY_KEY: &str = include_str!("recovery.pub.pem");

/// The service, with images below `vm` and repositories below `repositories` of a folder.
pub(crate) fn recovery(
    folder: &Path,
    store: &Arc<Store>,
    key_vaults: &Arc<KeyVaults>,
    prover: &Arc<NoProver>,
    clock: &Arc<TestClock>,
) -> Recovery {
    let images = folder.join("vm");
    fs::create_dir(&images).unwrap();
    let backup = Caller {
        object_id: BACKUP_SERVICE.into(),
        tenant: TENANT.into(),
        name: "Backup Management Service".into(),
        ..Caller::default()
    };
    Recovery::new(Parts {
        place: kit::Place {
            tenant_id: TENANT.into(),
            subscription_id: SUBSCRIPTION.into(),
            location: "local".into(),
            geography: "eu".into(),
        },
        settings: Settings::default(),
        store: store.clone(),
        service_key: ServiceKey::create_file(&folder.join("service.key")).unwrap(),
        recovery_key: RecoveryPublicKey::from_pem(RECOVERY_KEY).unwrap(),
        repositories: folder.join("repositories"),
        driver: Arc::new(ImageDriver::new(vec![images.canonicalize().unwrap()])),
        keys: Arc::new(LocalKeyVaults::new(key_vaults.clone(), backup, prover.clone())),
        clock: clock.clone(),
        software: "test".into(),
    })
}
