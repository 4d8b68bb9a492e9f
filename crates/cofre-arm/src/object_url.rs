//! URLs of keys and secrets: `https://VAULT.SUFFIX/keys/NAME/VERSION`.
//!
//! A port is read over: clients and samples write `:443` and others, and a vault is known by its name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, Result};

/// What a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A key.
    Key,
    /// A secret.
    Secret,
}

impl ObjectKind {
    /// The first segment of the path.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Secret => "secrets",
        }
    }
}

/// A key or secret in a key vault, in one version or in none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectUrl {
    /// Name of the key vault: the first label of the host.
    pub vault: String,
    /// The rest of the host.
    pub suffix: String,
    /// Key or secret.
    pub kind: ObjectKind,
    /// Name of the object.
    pub name: String,
    /// Its version: 32 hex digits for our own.
    pub version: Option<String>,
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 127 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl ObjectUrl {
    /// The same object in another version.
    #[must_use]
    pub fn with_version(&self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self.clone() }
    }
}

impl FromStr for ObjectUrl {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            ApiError::invalid(format!(
                "{text:?} is no URL of a key or secret: https://VAULT.SUFFIX/keys/NAME/VERSION or …/secrets/…"
            ))
        };
        if text.len() > 1024 {
            return Err(ApiError::invalid("the URL of a key or secret has more than 1024 bytes"));
        }
        let rest = text
            .get(..8)
            .filter(|s| s.eq_ignore_ascii_case("https://"))
            .and(text.get(8..))
            .ok_or_else(bad)?;
        let (authority, path) = rest.split_once('/').ok_or_else(bad)?;
        let host = match authority.split_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            Some(_) => return Err(bad()),
            None => authority,
        };
        let (vault, suffix) = host.split_once('.').ok_or_else(bad)?;
        let segments: Vec<_> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        let (collection, name, version) = match segments[..] {
            [collection, name] => (collection, name, None),
            [collection, name, version] => (collection, name, Some(version)),
            _ => return Err(bad()),
        };
        let kind = [ObjectKind::Key, ObjectKind::Secret]
            .into_iter()
            .find(|k| k.collection().eq_ignore_ascii_case(collection))
            .ok_or_else(bad)?;
        if !is_label(vault)
            || !suffix.split('.').all(is_label)
            || !is_label(name)
            || !version.is_none_or(is_label)
        {
            return Err(bad());
        }
        Ok(Self {
            vault: vault.to_owned(),
            suffix: suffix.to_ascii_lowercase(),
            kind,
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}.{}/{}/{}", self.vault, self.suffix, self.kind.collection(), self.name)?;
        match &self.version {
            Some(version) => write!(f, "/{version}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for ObjectUrl {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ObjectUrl> for String {
    fn from(url: ObjectUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn with_and_without_port_and_version() {
        let plain = "https://demo.vault.localhost/secrets/bek/0123456789abcdef0123456789abcdef";
        let url: ObjectUrl = plain.parse().unwrap();
        assert_eq!(
            (url.vault.as_str(), url.suffix.as_str(), url.name.as_str()),
            ("demo", "vault.localhost", "bek")
        );
        assert_eq!(url.kind, ObjectKind::Secret);
        assert_eq!(url.to_string(), plain);
        let port: ObjectUrl = plain.replace("localhost/", "localhost:8443/").parse().unwrap();
        assert_eq!(port, url, "a port is read over");
        let key: ObjectUrl = "https://demo.vault.azure.net/keys/kek".parse().unwrap();
        assert_eq!((key.kind, key.version.clone()), (ObjectKind::Key, None));
        assert_eq!(key.with_version("7").to_string(), "https://demo.vault.azure.net/keys/kek/7");
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "",
            "http://demo.v.net/keys/k",
            "https://demo/keys/k",
            "https://demo.v.net/certificates/k/1",
            "https://demo.v.net/keys",
            "https://demo.v.net/keys/",
            "https://demo.v.net/keys/a/b/c",
            "https://demo.v.net:99999/keys/a",
            "https://demo.v.net:/keys/a",
            "https://user@demo.v.net/keys/a",
            "https://.v.net/keys/a",
            "https://demo.v.net/keys/a?x=1",
            "https://demo.v.net/keys/ü",
            "httpsé//demo.v.net/keys/a",
        ] {
            assert!(bad.parse::<ObjectUrl>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "(https://)?.{0,80}") {
            if let Ok(url) = text.parse::<ObjectUrl>() {
                prop_assert_eq!(url.to_string().parse::<ObjectUrl>().unwrap(), url);
            }
        }
    }
}
