//! What the resource endpoint says of a key vault: its resource id, and whether disks may be encrypted with it.

use serde::Deserialize;

use crate::{
    challenge::is_https,
    client::{Client, VaultAddress, parse},
    error::{ClientError, ErrorKind, Result},
    transport::{Ask, host_of},
    wire::{self, Page},
};

/// Most pages of a list that are read.
const MOST_PAGES: usize = 50;

/// What the resource endpoint says of a key vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultFacts {
    /// Its resource id.
    pub id: String,
    /// Whether the platform may hand its secrets to booting machines.
    pub enabled_for_disk_encryption: bool,
}

#[derive(Deserialize)]
struct Metadata {
    authentication: Authentication,
}

#[derive(Deserialize)]
struct Authentication {
    audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    subscription_id: String,
}

#[derive(Deserialize)]
struct Resource {
    id: String,
}

#[derive(Deserialize)]
struct VaultResource {
    id: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    vault_uri: String,
    #[serde(default)]
    enabled_for_disk_encryption: Option<bool>,
}

fn is_id(text: &str) -> bool {
    text.starts_with("/subscriptions/")
        && text.len() <= 1024
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'(' | b')'))
}

impl Client {
    /// What a resource endpoint, `https://HOST[:PORT]`, says of a key vault; `None` when it shows none to this
    /// principal, be it that there is none or that it may not see it.
    ///
    /// # Errors
    /// [`ErrorKind::Challenge`], [`ErrorKind::Login`], [`ErrorKind::Answer`] and those of the way there.
    pub fn vault_facts(&self, endpoint: &str, address: &VaultAddress) -> Result<Option<VaultFacts>> {
        let endpoint = endpoint.trim_end_matches('/');
        if !is_https(endpoint) || endpoint["https://".len()..].contains(['/', '?', '#', '@']) {
            return Err(ClientError::new(
                ErrorKind::Setting,
                format!("{endpoint:?} is no resource endpoint of the form https://HOST[:PORT]"),
            ));
        }
        let audience = self.audience(endpoint)?;
        let subscriptions: Vec<Subscription> =
            self.list(endpoint, &audience, &format!("{endpoint}/subscriptions?api-version=2022-12-01"))?;
        for subscription in subscriptions {
            let id = &subscription.subscription_id;
            if !is_id(&format!("/subscriptions/{id}")) || id.contains('/') {
                return Err(ClientError::answer(host_of(endpoint), "the id of a subscription is none"));
            }
            // The name holds nothing that a query would have to escape.
            let url = format!(
                "{endpoint}/subscriptions/{id}/resources?api-version=2021-04-01&\
                 $filter=resourceType%20eq%20'Microsoft.KeyVault/vaults'%20and%20name%20eq%20'{}'",
                address.name()
            );
            let found: Vec<Resource> = self.list(endpoint, &audience, &url)?;
            for resource in found {
                if let Some(facts) = self.facts(endpoint, &audience, &resource.id, address)? {
                    return Ok(Some(facts));
                }
            }
        }
        Ok(None)
    }

    fn facts(
        &self,
        endpoint: &str,
        audience: &str,
        id: &str,
        address: &VaultAddress,
    ) -> Result<Option<VaultFacts>> {
        let host = host_of(endpoint);
        if !is_id(id) {
            return Err(ClientError::answer(host, "the id of a key vault is none"));
        }
        let url = format!("{endpoint}{id}?api-version=2023-07-01");
        let reply = self.ask_resources(Ask::get(&url), audience)?;
        if matches!(reply.status, 403 | 404) {
            return Ok(None);
        }
        if reply.status != 200 {
            return Err(wire::refusal(&reply, host, false));
        }
        let vault: VaultResource = parse(&reply, host)?;
        // A vault of this name elsewhere is another one. The port is how the server is reached, no part of its name.
        let name = |host: &str| host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name(host_of(&vault.properties.vault_uri)) != name(address.host()) {
            return Ok(None);
        }
        let enabled_for_disk_encryption = vault.properties.enabled_for_disk_encryption.unwrap_or(false);
        Ok(Some(VaultFacts { id: vault.id, enabled_for_disk_encryption }))
    }

    /// Whom tokens for the endpoint are for, as it says itself. What it says must be a resource endpoint: a token for
    /// anything else is not got on its word.
    fn audience(&self, endpoint: &str) -> Result<String> {
        let host = host_of(endpoint);
        let url = format!("{endpoint}/metadata/endpoints?api-version=2022-09-01");
        let reply = self.ask_anybody(Ask::get(&url))?;
        if reply.status != 200 {
            return Err(wire::refusal(&reply, host, false));
        }
        let metadata: Metadata = parse(&reply, host)?;
        let is_one = |audience: &&String| {
            let of = host_of(audience).to_ascii_lowercase();
            is_https(audience) && (of.starts_with("management.") || of == host.to_ascii_lowercase())
        };
        metadata.authentication.audiences.iter().find(is_one).cloned().ok_or_else(|| {
            ClientError::new(
                ErrorKind::Challenge,
                format!("{host} asks for tokens that are for no resource endpoint: it gets none"),
            )
        })
    }

    fn list<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &str,
        audience: &str,
        url: &str,
    ) -> Result<Vec<T>> {
        let host = host_of(endpoint);
        let (mut url, mut all) = (url.to_owned(), Vec::new());
        for _ in 0..MOST_PAGES {
            let reply = self.ask_resources(Ask::get(&url), audience)?;
            if reply.status == 403 {
                return Ok(all);
            }
            if reply.status != 200 {
                return Err(wire::refusal(&reply, host, false));
            }
            let page: Page<T> = parse(&reply, host)?;
            all.extend(page.value);
            match page.next_link.filter(|link| !link.is_empty()) {
                None => return Ok(all),
                Some(next) if next.starts_with(&format!("{endpoint}/")) => url = next,
                Some(_) => return Err(ClientError::answer(host, "the next page is on another server")),
            }
        }
        Err(ClientError::answer(host, "a list does not end"))
    }
}
