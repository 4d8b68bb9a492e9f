//! The challenge of a key vault: where to log in, and for whom the token is. It comes from the server, which is not
//! believed beyond its own domain.

use crate::{
    error::{ClientError, ErrorKind, Result, tidy},
    transport::host_of,
};

/// Domains of Azure's key vaults, and where their clouds log in.
const KNOWN: &[(&str, &[&str])] = &[
    ("vault.azure.net", &["login.microsoftonline.com", "login.windows.net"]),
    ("vault.usgovcloudapi.net", &["login.microsoftonline.us"]),
    ("vault.azure.cn", &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"]),
];

/// Where to log in, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Challenge {
    /// `https://HOST[:PORT]/TENANT`.
    pub(crate) authority: String,
    /// Whom the token is for, without a slash at its end.
    pub(crate) resource: String,
}

/// The parameters of a header `WWW-Authenticate: Bearer a="b", c="d"`.
fn parameter<'a>(header: &'a str, names: &[&str]) -> Option<&'a str> {
    let header = header.trim();
    let scheme = header.get(..7)?;
    if !scheme.eq_ignore_ascii_case("bearer ") {
        return None;
    }
    header[7..].split([',', ' ']).filter(|part| !part.is_empty()).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"').trim_end_matches('/');
        names.iter().any(|known| known.eq_ignore_ascii_case(name.trim())).then_some(value)
    })
}

/// The authority that a challenge names, if the secret may be sent there.
pub(crate) fn authority_of(header: &str, host: &str, allowed: &[String]) -> Result<String> {
    let authority = parameter(header, &["authorization", "authorization_uri"])
        .ok_or_else(|| ClientError::answer(host, "its challenge does not say where to log in"))?;
    let login = host_of(authority);
    let known = KNOWN.iter().filter(|(domain, _)| is_below(host, domain)).flat_map(|(_, logins)| *logins);
    let named = allowed.iter().filter(|url| is_https(url)).map(|url| host_of(url));
    let trusted = known.copied().chain(named).any(|place| place.eq_ignore_ascii_case(login));
    if is_https(authority) && trusted && !login.contains('@') {
        return Ok(authority.to_owned());
    }
    Err(ClientError::new(
        ErrorKind::Challenge,
        format!(
            "{host} says to log in at {}, where the secret may not be sent: if that is right, name it as an authority",
            tidy(authority)
        ),
    ))
}

impl Challenge {
    /// Reads the challenge of a key vault at `host`.
    pub(crate) fn of_vault(header: &str, host: &str, allowed: &[String]) -> Result<Self> {
        let authority = authority_of(header, host, allowed)?;
        let resource = parameter(header, &["resource", "scope"])
            .map(|resource| resource.strip_suffix("/.default").unwrap_or(resource).trim_end_matches('/'))
            .ok_or_else(|| ClientError::answer(host, "its challenge does not say whom the token is for"))?;
        if !is_https(resource) || !is_below(host, host_of(resource)) {
            return Err(ClientError::new(
                ErrorKind::Challenge,
                format!(
                    "{host} asks for a token for {}, which is not its own domain: it gets none",
                    tidy(resource)
                ),
            ));
        }
        Ok(Self { authority, resource: resource.to_owned() })
    }
}

pub(crate) fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// Whether a host, with its port, is below a domain with the same port.
fn is_below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    domain.contains('.')
        && host.strip_suffix(&domain).is_some_and(|name| name.len() > 1 && name.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://localhost:8443";

    fn read(header: &str, host: &str) -> Result<Challenge> {
        Challenge::of_vault(header, host, &[OWN.to_owned()])
    }

    #[test]
    fn challenges_of_both_kinds() {
        let ours =
            r#"Bearer authorization="https://localhost:8443/adfs", resource="https://vault.other:8443""#;
        let challenge = read(ours, "kv1.vault.other:8443").unwrap();
        assert_eq!(challenge.authority, "https://localhost:8443/adfs");
        assert_eq!(challenge.resource, "https://vault.other:8443");
        let azure = r#"bearer authorization="https://login.windows.net/72f988bf", resource="https://vault.azure.net""#;
        assert_eq!(read(azure, "demo.vault.azure.net").unwrap().resource, "https://vault.azure.net");
        let scope = r#"Bearer authorization=https://login.microsoftonline.com/t, scope="https://vault.azure.net/.default""#;
        assert_eq!(read(scope, "demo.vault.azure.net").unwrap().resource, "https://vault.azure.net");
    }

    #[test]
    fn tokens_are_for_the_vaults_own_domain() {
        for (resource, host) in [
            ("https://vault.azure.net", "kv1.vault.other:8443"),
            ("https://vault.other", "kv1.vault.other:8443"),
            ("https://vault.other:8443", "kv1.vault.other:9443"),
            ("https://vault.other:8443", "kv1xvault.other:8443"),
            ("https://other:8443", "vault.other:8443"),
            ("http://vault.other:8443", "kv1.vault.other:8443"),
            ("https://management.azure.com", "kv1.vault.other:8443"),
        ] {
            let header = format!(r#"Bearer authorization="{OWN}/adfs", resource="{resource}""#);
            let error = read(&header, host).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Challenge, "{resource} for {host}");
        }
    }

    #[test]
    fn the_secret_goes_to_known_places_alone() {
        for authority in [
            "https://evil.example/adfs",
            "http://localhost:8443/adfs",
            "https://localhost:8444/adfs",
            "https://localhost:8443@evil.example/adfs",
            "https://evil.example:443/localhost:8443",
            // the login of Azure's clouds is for Azure's key vaults
            "https://login.microsoftonline.com/t",
        ] {
            let header =
                format!(r#"Bearer authorization="{authority}", resource="https://vault.other:8443""#);
            let error = read(&header, "kv1.vault.other:8443").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Challenge, "{authority}");
        }
        for bad in
            ["", "Bearer", "Basic realm=\"x\"", "Bearer resource=\"https://vault.other:8443\"", "Bearer é"]
        {
            assert_eq!(read(bad, "kv1.vault.other:8443").unwrap_err().kind(), ErrorKind::Answer, "{bad}");
        }
    }
}
