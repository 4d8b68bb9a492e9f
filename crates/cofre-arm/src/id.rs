//! Resource ids: `/subscriptions/S/resourceGroups/G/providers/N/type/name/…`.
//!
//! Ids are compared without regard to letter case and shown as they were written first. Clients write
//! them with double slashes and trailing slashes too; parsing takes those away.

use std::{fmt, hash::Hash, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, Result};

/// Longest id, in bytes.
const MAX_LENGTH: usize = 2048;
/// Longest name in an id, in bytes.
const MAX_NAME: usize = 260;

/// A resource id.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId {
    /// `/a/b/c`: no slash at the end, none doubled.
    text: String,
}

fn is_name(segment: &str) -> bool {
    let allowed = |c: char| !c.is_control() && !matches!(c, '<' | '>' | '%' | '&' | '\\' | '?' | '#' | '"');
    segment.len() <= MAX_NAME && segment.chars().all(allowed) && segment != "." && segment != ".."
}

impl ResourceId {
    /// The id of a resource group.
    ///
    /// # Errors
    /// A name that no id can hold.
    pub fn group(subscription: &str, group: &str) -> Result<Self> {
        format!("/subscriptions/{subscription}/resourceGroups/{group}").parse()
    }

    /// The id of a top-level resource, of a type such as `Microsoft.KeyVault/vaults`.
    ///
    /// # Errors
    /// A name that no id can hold.
    pub fn resource(subscription: &str, group: &str, kind: &str, name: &str) -> Result<Self> {
        if name.is_empty() || name.contains('/') {
            return Err(ApiError::invalid(format!("{name:?} is no name of a resource")));
        }
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}").parse()
    }

    /// The id of a child, of a type such as `backupPolicies`.
    ///
    /// # Errors
    /// A name that no id can hold.
    pub fn child(&self, kind: &str, name: &str) -> Result<Self> {
        if name.is_empty() || name.contains('/') {
            return Err(ApiError::invalid(format!("{name:?} is no name of a resource")));
        }
        format!("{}/{kind}/{name}", self.text).parse()
    }

    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id in lower case: what it is compared and stored by.
    #[must_use]
    pub fn key(&self) -> String {
        self.text.to_lowercase()
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.trim_start_matches('/').split('/')
    }

    /// What follows `name/` in the id, whatever its letter case.
    fn after(&self, name: &str) -> Option<&str> {
        self.segments().skip_while(|s| !s.eq_ignore_ascii_case(name)).nth(1)
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        self.after("subscriptions").unwrap_or_default()
    }

    /// The resource group.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        self.after("resourceGroups")
    }

    /// The last name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or_default()
    }

    /// The type: `Microsoft.RecoveryServices/vaults/backupPolicies`; empty for what is no resource.
    #[must_use]
    pub fn kind(&self) -> String {
        let mut parts = self.segments().skip_while(|s| !s.eq_ignore_ascii_case("providers")).skip(1);
        let mut kind = parts.next().unwrap_or_default().to_owned();
        while let (Some(part), Some(_name)) = (parts.next(), parts.next()) {
            kind.push('/');
            kind.push_str(part);
        }
        kind
    }

    /// Whether the type is `kind`, whatever its letter case.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind)
    }
}

impl FromStr for ResourceId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| ApiError::invalid(format!("{text:?} is no resource id: {why}"));
        if text.len() > MAX_LENGTH {
            return Err(ApiError::invalid(format!("a resource id has more than {MAX_LENGTH} bytes")));
        }
        let segments: Vec<_> = text.split('/').filter(|s| !s.is_empty()).collect();
        if !text.starts_with('/')
            || !segments.first().is_some_and(|s| s.eq_ignore_ascii_case("subscriptions"))
        {
            return Err(bad("it begins with /subscriptions/"));
        }
        if segments.len() < 2 || segments.iter().any(|s| !is_name(s)) {
            return Err(bad("a name in it is empty, too long, or has characters that names cannot have"));
        }
        // /subscriptions/S, then pairs; `providers/NAMESPACE` is a pair too
        if !segments.len().is_multiple_of(2) {
            return Err(bad("its last part has no name"));
        }
        Ok(Self { text: format!("/{}", segments.join("/")) })
    }
}

impl TryFrom<String> for ResourceId {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.text
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: &str =
        "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/P";

    #[test]
    fn parts() {
        let id: ResourceId = POLICY.parse().unwrap();
        assert_eq!((id.subscription(), id.resource_group(), id.name()), ("s1", Some("rg"), "P"));
        assert_eq!(id.kind(), "Microsoft.RecoveryServices/vaults/backupPolicies");
        assert!(id.is_kind("microsoft.recoveryservices/VAULTS/backuppolicies"));
        let group = ResourceId::group("s1", "rg").unwrap();
        assert_eq!((group.name(), group.kind().as_str()), ("rg", ""));
        let vault = ResourceId::resource("s1", "rg", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        assert_eq!(vault.child("backupPolicies", "p").unwrap(), id, "letter case does not count");
    }

    #[test]
    fn spellings_of_one_id() {
        let id: ResourceId = POLICY.parse().unwrap();
        let other: ResourceId =
            format!("{}//", POLICY.to_uppercase().replace("/VAULTS", "//VAULTS")).parse().unwrap();
        assert_eq!(id, other);
        assert_eq!(id.key(), other.key());
        assert_eq!(id.to_string(), POLICY, "shown as it was written");
    }

    #[test]
    fn what_is_no_id() {
        let long = format!("/subscriptions/{}", "x".repeat(5000));
        for bad in [
            "",
            "/",
            "subscriptions/s",
            "/subscriptions",
            "/resourceGroups/a",
            "/subscriptions/s/x",
            "/subscriptions/s/../x",
            "/subscriptions/a%2fb",
            &long,
        ] {
            assert!(bad.parse::<ResourceId>().is_err(), "{bad:?}");
        }
        assert!(ResourceId::resource("s", "g", "A/b", "x/y/z").is_err());
        assert!(ResourceId::resource("s", "g", "A/b", "").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            if let Ok(id) = text.parse::<ResourceId>() {
                let again: ResourceId = id.to_string().parse().unwrap();
                prop_assert_eq!(again, id);
            }
        }
    }
}
