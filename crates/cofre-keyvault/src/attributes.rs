//! What keys and secrets have beside their material: attributes and tags.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, KeyVaultError, Result};

/// Most tags of one version.
pub const MOST_TAGS: usize = 15;
/// Longest name of a tag, in characters; the shortest has one.
pub const LONGEST_TAG_NAME: usize = 256;
/// Most tags of a vault, as of every resource of Azure.
pub const MOST_VAULT_TAGS: usize = 50;
/// Longest name of a vault's tag, in characters.
pub const LONGEST_VAULT_TAG_NAME: usize = 512;
/// Longest value of a tag, in characters.
pub const LONGEST_TAG_VALUE: usize = 256;

/// Tags: names and values.
pub type Tags = BTreeMap<String, String>;

/// Whether and when a version may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    /// Disabled versions cannot be used, and the value of a disabled secret cannot be read.
    pub enabled: bool,
    /// From when on a key may be used to encrypt.
    pub not_before: Option<Timestamp>,
    /// From when on a key may no longer be used to encrypt.
    pub expires: Option<Timestamp>,
    /// When the version was made.
    pub created: Timestamp,
    /// When its attributes last changed.
    pub updated: Timestamp,
}

/// Attributes as wished; what is `None` stays, or takes the default of a new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttributesChange {
    /// See [`Attributes::enabled`]; new versions are enabled.
    pub enabled: Option<bool>,
    /// See [`Attributes::not_before`].
    pub not_before: Option<Timestamp>,
    /// See [`Attributes::expires`].
    pub expires: Option<Timestamp>,
}

impl Attributes {
    pub(crate) fn new(change: AttributesChange, now: Timestamp) -> Result<Self> {
        let fresh = Self { enabled: true, not_before: None, expires: None, created: now, updated: now };
        fresh.changed(change, now)
    }

    pub(crate) fn changed(mut self, change: AttributesChange, now: Timestamp) -> Result<Self> {
        self.enabled = change.enabled.unwrap_or(self.enabled);
        self.not_before = change.not_before.or(self.not_before);
        self.expires = change.expires.or(self.expires);
        self.updated = now;
        match (self.not_before, self.expires) {
            (Some(from), Some(to)) if from >= to => {
                Err(KeyVaultError::invalid("the version would expire before it becomes valid"))
            }
            _ => Ok(self),
        }
    }

    pub(crate) fn check_enabled(&self, what: &str) -> Result<()> {
        if self.enabled {
            return Ok(());
        }
        Err(KeyVaultError::new(ErrorKind::Disabled, format!("{what} is disabled")))
    }

    /// Refuses outside the time a key is meant for. Opening what was sealed is not bound to that time:
    /// what a key once encrypted stays readable.
    pub(crate) fn check_period(&self, what: &str, now: Timestamp) -> Result<()> {
        if let Some(from) = self.not_before.filter(|from| now < *from) {
            return Err(KeyVaultError::new(
                ErrorKind::NotYetValid,
                format!("{what} is valid from {from} on"),
            ));
        }
        if let Some(to) = self.expires.filter(|to| now >= *to) {
            return Err(KeyVaultError::new(ErrorKind::Expired, format!("{what} expired at {to}")));
        }
        Ok(())
    }
}

/// Tags of keys and secrets.
pub(crate) fn check_tags(tags: &Tags) -> Result<()> {
    check(tags, MOST_TAGS, LONGEST_TAG_NAME)
}

/// Tags of vaults.
pub(crate) fn check_vault_tags(tags: &Tags) -> Result<()> {
    check(tags, MOST_VAULT_TAGS, LONGEST_VAULT_TAG_NAME)
}

fn check(tags: &Tags, most: usize, longest_name: usize) -> Result<()> {
    if tags.len() > most {
        return Err(KeyVaultError::invalid(format!("there are more than {most} tags")));
    }
    let fits = |text: &str, least: usize, most: usize| {
        let length = text.chars().take(most + 1).count();
        (least..=most).contains(&length) && !text.chars().any(char::is_control)
    };
    if !tags.iter().all(|(name, value)| fits(name, 1, longest_name) && fits(value, 0, LONGEST_TAG_VALUE)) {
        return Err(KeyVaultError::invalid(format!(
            "the name of a tag has 1 to {longest_name} characters, its value at most {LONGEST_TAG_VALUE}, \
             none of them control characters"
        )));
    }
    Ok(())
}
