//! Whether the recovery kit still opens everything.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cofre_arm::{ResourceId, Result};

use crate::{
    service::Recovery,
    trust::{Envelope, Kit},
};

/// What came of one repository.
#[derive(Debug)]
pub struct EnvelopeCheck {
    /// The item whose repository it is.
    pub item: ResourceId,
    /// The repository.
    pub repository: String,
    /// Whether the kit opens its envelope and finds the secret that the service key opens.
    pub outcome: Result<()>,
}

impl Recovery {
    /// Opens the envelope of every repository with the kit and compares the secret with the one that
    /// the service key opens.
    ///
    /// # Errors
    /// `InvalidParameter` when the kit holds no key, `StateUnavailable`.
    pub fn check_kit(&self, kit: &Kit) -> Result<Vec<EnvelopeCheck>> {
        let key = kit.recovery_key()?;
        let mut checks = Vec::new();
        for item in self.items(None)? {
            let Some(repository) = item.repository else { continue };
            let compare = || -> Result<()> {
                let envelope = Envelope::read(&self.repository_folder(&repository.id))?;
                let from_kit = key.open(&envelope)?;
                let online = self.parts().service_key.open(&repository.id, &repository.sealed_secret)?;
                verify_slices_are_equal(&from_kit, &online).map_err(|_| {
                    cofre_arm::ApiError::new(
                        cofre_arm::Problem::StateUnavailable,
                        format!("the envelope of repository {} holds another secret", repository.id),
                    )
                })
            };
            let outcome = compare();
            checks.push(EnvelopeCheck { item: item.id, repository: repository.id.clone(), outcome });
        }
        Ok(checks)
    }
}
