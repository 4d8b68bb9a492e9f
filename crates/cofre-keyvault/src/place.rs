//! Where a key vault service is: what its blobs are bound to.

use serde::{Deserialize, Serialize};

use crate::error::{KeyVaultError, Result};

/// Longest part of a place, in bytes.
const LONGEST_PART: usize = 128;

/// Tenant, subscription and geography. A backup blob opens in the subscription and geography it was
/// made in. Compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The directory.
    pub tenant: String,
    /// The subscription.
    pub subscription: String,
    /// The geography, such as `europe`.
    pub geography: String,
}

impl Place {
    /// The same place in lower case, if it can be one.
    pub(crate) fn checked(&self) -> Result<Self> {
        for part in [&self.tenant, &self.subscription, &self.geography] {
            if part.is_empty() || part.len() > LONGEST_PART || part.chars().any(char::is_control) {
                return Err(KeyVaultError::invalid(format!(
                    "tenant, subscription and geography have 1 to {LONGEST_PART} bytes and no control \
                     characters"
                )));
            }
        }
        Ok(Self {
            tenant: self.tenant.to_lowercase(),
            subscription: self.subscription.to_lowercase(),
            geography: self.geography.to_lowercase(),
        })
    }

    /// Whether this is the same subscription and geography: the same vaults, and blobs that open here.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.subscription == other.subscription && self.geography == other.geography
    }
}
