//! Under which names the service is reached.

/// Host names and port of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The host of the resource endpoint, `localhost` where nothing else is set.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What follows the name of a key vault in its host, without a port: `vault.localhost`.
    pub key_vault_suffix: String,
}

/// Whom tokens for the resource endpoint are for.
pub const MANAGEMENT_AUDIENCE: &str = "https://management.cofre.local/";

impl Addresses {
    fn authority(&self, host: &str) -> String {
        if self.port == 443 { host.to_owned() } else { format!("{host}:{}", self.port) }
    }

    /// `https://host:port`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("https://{}", self.authority(&self.host))
    }

    /// The suffix of key vaults with the port.
    #[must_use]
    pub fn key_vault_dns(&self) -> String {
        self.authority(&self.key_vault_suffix)
    }

    /// Whom tokens for key vaults are for.
    #[must_use]
    pub fn key_vault_audience(&self) -> String {
        format!("https://{}", self.key_vault_dns())
    }

    /// Whom tokens for the directory are for.
    #[must_use]
    pub fn graph_audience(&self) -> String {
        format!("{}/msgraph/", self.base())
    }

    /// Where a key vault is.
    #[must_use]
    pub fn key_vault_uri(&self, name: &str) -> String {
        format!("https://{name}.{}/", self.key_vault_dns())
    }

    /// Whether a host, with a port or without, is the resource endpoint by one of its names: the one that was set, or
    /// that of loopback.
    #[must_use]
    pub fn is_own(&self, host: &str) -> bool {
        let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
        let name = &host[..end.unwrap_or(host.len())];
        name == self.host || matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// The key vault that a host names; `None` when it is not below the suffix.
    #[must_use]
    pub fn key_vault_of<'a>(&self, host: &'a str) -> Option<&'a str> {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        name.strip_suffix(&self.key_vault_suffix)?.strip_suffix('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let addresses =
            Addresses { host: "localhost".into(), port: 8443, key_vault_suffix: "vault.localhost".into() };
        assert_eq!(addresses.base(), "https://localhost:8443");
        assert_eq!(addresses.key_vault_uri("kv1"), "https://kv1.vault.localhost:8443/");
        assert_eq!(addresses.key_vault_of("kv1.vault.localhost:9"), Some("kv1"));
        assert_eq!(addresses.key_vault_of("a.b.vault.localhost"), Some("a.b"));
        for other in ["vault.localhost", "xvault.localhost", "localhost:8443", "kv1.vault.localhost.evil"] {
            assert_eq!(addresses.key_vault_of(other), None, "{other}");
        }
        for own in ["localhost", "localhost:9", "127.0.0.1:8443", "[::1]", "[::1]:8443"] {
            assert!(addresses.is_own(own), "{own}");
        }
        for other in ["", "kv1.vault.localhost:8443", "localhost.evil", "[::1", "[::2]:8443", "[localhost]"] {
            assert!(!addresses.is_own(other), "{other}");
        }
        let plain = Addresses { port: 443, ..addresses };
        assert_eq!(plain.key_vault_audience(), "https://vault.localhost");
    }
}
