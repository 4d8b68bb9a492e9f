//! The checks before a machine is protected, and again before each backup. They run in this order and
//! stop at the first that fails; each leaves everything as it was.

use cofre_arm::{ApiError, ObjectKind, ObjectUrl, Problem, ResourceId, Result, names};
use cofre_compute::{
    DeploymentModel, EncryptionClass, KeySet, PowerState, ProvisioningState, VirtualMachine,
    encryption::{KeyReference, SecretReference},
};

use crate::{
    key_source::{KeyVaultInfo, KeyVaultName, NEEDED, ObjectState},
    service::Recovery,
};

/// The objects that a pair of settings names, with versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedKeys {
    pub(crate) disks: Vec<String>,
    pub(crate) secret: ObjectUrl,
    pub(crate) secret_version: String,
    pub(crate) secret_vault: ResourceId,
    pub(crate) key: ObjectUrl,
    pub(crate) key_version: String,
    pub(crate) key_vault: ResourceId,
}

/// V3, V6 to V8: what the model of the machine alone shows.
pub(crate) fn check_model(recovery: &Recovery, machine: &VirtualMachine) -> Result<()> {
    let name = machine.name();
    let class = machine.encryption_class();
    let classic =
        machine.model == DeploymentModel::Classic || machine.id.is_kind(names::CLASSIC_VIRTUAL_MACHINE);
    if classic && class != EncryptionClass::None {
        let message = format!("{name} is an encrypted machine of the classic model");
        return Err(ApiError::new(Problem::ClassicEncryptedVm, message).about(&machine.id));
    }
    let most = recovery.settings().limits.data_disks;
    if machine.data_disks.len() > most {
        let message =
            format!("{name} has {} data disks, at most {most} are backed up", machine.data_disks.len());
        return Err(ApiError::new(Problem::UnsupportedDisk, message).about(&machine.id));
    }
    match machine.provisioning_state {
        ProvisioningState::Succeeded => {}
        state => {
            let problem = if state == ProvisioningState::Failed {
                Problem::ProvisioningStateFailed
            } else {
                Problem::VmState
            };
            let message = format!("the provisioning state of {name} is {state:?}");
            return Err(ApiError::new(problem, message).about(&machine.id));
        }
    }
    if !matches!(machine.power_state, PowerState::Running | PowerState::Stopped | PowerState::Deallocated) {
        let message = format!("{name} is {:?}", machine.power_state);
        return Err(ApiError::new(Problem::VmState, message).about(&machine.id));
    }
    if class == EncryptionClass::BekOnly {
        let message = format!("{name} is encrypted with a disk key that no key wraps (BEK only)");
        return Err(ApiError::new(Problem::BekOnly, message).about(&machine.id));
    }
    Ok(())
}

/// V9 to V12: the keys that the machine names are there and may be read. Returns them.
pub(crate) fn check_keys(recovery: &Recovery, machine: &VirtualMachine) -> Result<Vec<NamedKeys>> {
    let named =
        machine.key_sets().into_iter().map(|set| name_keys(machine, set)).collect::<Result<Vec<_>>>()?;
    let mut vaults: Vec<(KeyVaultName<'_>, &ResourceId)> = Vec::new();
    for keys in &named {
        for (url, id) in [(&keys.secret, &keys.secret_vault), (&keys.key, &keys.key_vault)] {
            let vault = KeyVaultName::from(url);
            if !vaults.iter().any(|(known, _)| *known == vault) {
                vaults.push((vault, id));
            }
        }
    }
    for (vault, id) in &vaults {
        match recovery.keys().vault(*vault)? {
            None => {
                let message = format!("{} names the key vault {vault}, which does not exist", machine.name());
                return Err(ApiError::new(Problem::KeyVaultUnreachable, message).about(id));
            }
            // where nobody says the id, what the machine says is believed
            Some(KeyVaultInfo { id: Some(found), .. }) if found != **id => {
                let message = format!(
                    "{} names the key vault {id}, but the key vault called {vault} is {}",
                    machine.name(),
                    found
                );
                return Err(ApiError::new(Problem::KeyVaultUnreachable, message).about(id));
            }
            Some(_) => {}
        }
    }
    check_permissions(recovery, &vaults)?;
    for keys in &named {
        check_version(recovery, &keys.secret, &keys.secret_version)?;
        check_version(recovery, &keys.key, &keys.key_version)?;
    }
    Ok(named)
}

fn check_permissions(recovery: &Recovery, vaults: &[(KeyVaultName<'_>, &ResourceId)]) -> Result<()> {
    let mut refused: Option<ApiError> = None;
    for (vault, id) in vaults {
        let missing = recovery.keys().missing_permissions(*vault)?;
        if missing.is_empty() {
            continue;
        }
        let message = format!(
            "the backup service lacks permissions on the key vault {vault}: {} (it needs {})",
            missing.join(", "),
            NEEDED.join(", ")
        );
        refused = Some(match refused {
            None => ApiError::new(Problem::KeyVaultPermissions, message).missing(id, missing),
            Some(error) => error.missing(id, missing),
        });
    }
    refused.map_or(Ok(()), Err)
}

fn check_version(recovery: &Recovery, url: &ObjectUrl, version: &str) -> Result<()> {
    let state = match url.kind {
        ObjectKind::Secret => recovery.keys().secret_state(url.into(), &url.name, version)?,
        ObjectKind::Key => recovery.keys().key_state(url.into(), &url.name, version)?,
    };
    let what = match state {
        ObjectState::Usable => return Ok(()),
        ObjectState::Disabled => "is disabled",
        ObjectState::Gone => "does not exist",
    };
    Err(ApiError::new(Problem::KeyVersionNotFound, format!("{url} {what}")).about(url))
}

/// V9: both URLs parse and have a version.
fn name_keys(machine: &VirtualMachine, set: KeySet) -> Result<NamedKeys> {
    let SecretReference { secret_url, source_vault: secret_vault } = set.settings.disk_encryption_key;
    let Some(KeyReference { key_url, source_vault: key_vault }) = set.settings.key_encryption_key else {
        let message = format!("{} is encrypted with a disk key that no key wraps (BEK only)", machine.name());
        return Err(ApiError::new(Problem::BekOnly, message).about(&machine.id));
    };
    let parse = |text: &str, kind: ObjectKind| -> Result<(ObjectUrl, String)> {
        let refused = |what: &str| {
            ApiError::new(
                Problem::KeyUrlNotVersioned,
                format!("{text:?}, which {} names, {what}", machine.name()),
            )
            .about(&machine.id)
        };
        let url: ObjectUrl = text.parse().map_err(|_| refused("is no URL of a key or secret"))?;
        if url.kind != kind {
            return Err(refused(&format!("is not one of {}", kind.collection())));
        }
        let version = url.version.clone().ok_or_else(|| refused("has no version"))?;
        Ok((url, version))
    };
    let (secret, secret_version) = parse(&secret_url, ObjectKind::Secret)?;
    let (key, key_version) = parse(&key_url, ObjectKind::Key)?;
    Ok(NamedKeys {
        disks: set.disks,
        secret,
        secret_version,
        secret_vault: secret_vault.id,
        key,
        key_version,
        key_vault: key_vault.id,
    })
}
