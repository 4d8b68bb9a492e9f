//! The client: requests with a token that fits the server.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::de::DeserializeOwned;
use ureq::http::header;
use zeroize::Zeroizing;

use crate::{
    challenge::{Challenge, authority_of, is_https},
    error::{ClientError, ErrorKind, Result},
    login::Logins,
    settings::Settings,
    transport::{Again, Ask, Reply, Transport, host_of},
    vault::Vault,
    wire,
};

/// A client of key vaults, as one service principal. Logins are kept and shared by all calls.
pub struct Client {
    settings: Settings,
    transport: Transport,
    logins: Logins,
    /// What servers asked for last, by host.
    challenges: Mutex<HashMap<String, Challenge>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Where a key vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultAddress {
    name: String,
    host: String,
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 127 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Checks what becomes part of a path.
pub(crate) fn check_label<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    if is_label(text) {
        return Ok(text);
    }
    Err(ClientError::new(ErrorKind::Setting, format!("{text:?} cannot be the {what} of a key or secret")))
}

impl VaultAddress {
    /// The vault `name` below a suffix, which may have a port: `vault.example:8443`.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`] when they are no name and no suffix.
    pub fn new(name: &str, suffix: &str) -> Result<Self> {
        let (domain, port) =
            suffix.split_once(':').map_or((suffix, None), |(domain, port)| (domain, Some(port)));
        let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        if !is_label(name) || !domain.split('.').all(is_label) || !domain.contains('.') || !port_is_one {
            return Err(ClientError::new(
                ErrorKind::Setting,
                format!(
                    "{name:?} below {suffix:?} is no key vault: a name, and a domain with or without a port"
                ),
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(Self { host: format!("{name}.{}", suffix.to_ascii_lowercase()), name })
    }

    /// The name of the vault.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its host, with the port where there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Client {
    /// A client with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`] for a CA file or a proxy that is none.
    pub fn new(settings: Settings) -> Result<Self> {
        if let Some(bad) =
            settings.authorities.iter().find(|url| !is_https(url) || host_of(url).contains('@'))
        {
            return Err(ClientError::new(
                ErrorKind::Setting,
                format!("{bad:?} cannot be an authority: it begins with https:// and names a host"),
            ));
        }
        let transport = Transport::new(&settings)?;
        Ok(Self { settings, transport, logins: Logins::default(), challenges: Mutex::default() })
    }

    /// A key vault, as this client sees it.
    #[must_use]
    pub fn vault(&self, address: VaultAddress) -> Vault<'_> {
        Vault::new(self, address)
    }

    /// Makes a request to a key vault.
    pub(crate) fn ask_vault(&self, ask: Ask<'_>) -> Result<Reply> {
        self.with_token(ask, |header, host| Challenge::of_vault(header, host, &self.settings.authorities))
    }

    /// Makes a request to a resource endpoint, with a token for `audience`.
    pub(crate) fn ask_resources(&self, ask: Ask<'_>, audience: &str) -> Result<Reply> {
        self.with_token(ask, |header, host| {
            let authority = authority_of(header, host, &self.settings.authorities)?;
            // The audience keeps its own slash: scopes of resource endpoints have two.
            Ok(Challenge { authority, resource: audience.to_owned() })
        })
    }

    /// Makes a request without a token.
    pub(crate) fn ask_anybody(&self, ask: Ask<'_>) -> Result<Reply> {
        self.transport.ask(ask, None)
    }

    /// The challenge comes first, from a request without token and body; a token that is not taken is got anew, once.
    fn with_token(&self, ask: Ask<'_>, read: impl Fn(&str, &str) -> Result<Challenge>) -> Result<Reply> {
        let host = host_of(ask.url).to_ascii_lowercase();
        for attempt in 0..2 {
            let known = self.challenges.lock().unwrap_or_else(PoisonError::into_inner).get(&host).cloned();
            let challenge = match known {
                Some(challenge) => challenge,
                None => {
                    let challenge = self.challenge(ask, &host, &read)?;
                    let mut all = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(host.clone(), challenge.clone());
                    challenge
                }
            };
            let token = self.logins.token(&self.transport, &self.settings, &challenge)?;
            let reply = self.transport.ask(ask, Some(&token))?;
            if reply.status != 401 {
                return Ok(reply);
            }
            self.logins.forget(&challenge);
            self.challenges.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
            if attempt == 1 {
                break;
            }
        }
        Err(ClientError::new(
            ErrorKind::Login,
            format!("{host} does not take the token that {} logged in for", self.settings.client_id),
        ))
    }

    fn challenge(
        &self,
        ask: Ask<'_>,
        host: &str,
        read: &impl Fn(&str, &str) -> Result<Challenge>,
    ) -> Result<Challenge> {
        let reply = self.transport.ask(Ask { body: &[], again: Again::Always, ..ask }, None)?;
        if reply.status != 401 {
            return Err(match wire::refusal(&reply, host, true) {
                error if reply.status >= 400 => error,
                _ => ClientError::answer(host, "it answers those who have no token"),
            });
        }
        let header = reply.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        read(header.unwrap_or_default(), host)
    }
}

/// A body as JSON, wiped when dropped.
pub(crate) fn json<T: serde::Serialize>(body: &T, room: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *bytes, body).map_err(|error| {
        ClientError::new(ErrorKind::Setting, "a request cannot be encoded").with_source(error)
    })?;
    Ok(bytes)
}

/// The JSON of an answer. What serde says of a wrong value may repeat it: it is not told.
pub(crate) fn parse<T: DeserializeOwned>(reply: &Reply, host: &str) -> Result<T> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        ClientError::answer(
            host,
            &format!(
                "it does not have the shape expected, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = VaultAddress::new("KV1", "Vault.Other:8443").unwrap();
        assert_eq!((address.name(), address.host()), ("kv1", "kv1.vault.other:8443"));
        for (name, suffix) in [
            ("", "vault.other"),
            ("a.b", "vault.other"),
            ("a/b", "vault.other"),
            ("kv1", ""),
            ("kv1", "localhost"),
            ("kv1", "vault.other:"),
            ("kv1", "vault.other:0"),
            ("kv1", "vault.other:8443/x"),
            ("kv1", "vault.other@evil.example"),
            ("kv1", "vault..other"),
        ] {
            assert!(VaultAddress::new(name, suffix).is_err(), "{name} {suffix}");
        }
        assert!(check_label("name", "bek-1").is_ok() && check_label("name", "../x").is_err());
    }
}
