//! Tokens: the client credentials grant, and what was got by it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    challenge::Challenge,
    error::{ClientError, ErrorKind, Result, tidy},
    settings::Settings,
    transport::{Again, Ask, Transport, host_of},
};

/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(300);
/// The longest that a token is believed to last.
const LONGEST: u64 = 24 * 3600;

/// A token, wiped when dropped.
type Token = Zeroizing<String>;

struct Held {
    token: Token,
    until: Instant,
}

/// The tokens at hand, by authority and resource.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<Challenge, Held>>);

#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    #[serde(default)]
    expires_in: Lifetime,
}

/// Seconds, as a number or, of older servers, as a text.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Lifetime {
    Number(u64),
    Text(String),
    #[default]
    None,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_codes: Vec<u64>,
}

impl Logins {
    /// A token for a challenge: the one at hand, or a new one.
    pub(crate) fn token(
        &self,
        transport: &Transport,
        settings: &Settings,
        challenge: &Challenge,
    ) -> Result<Token> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get(challenge).filter(|held| held.until > Instant::now()) {
            return Ok(held.token.clone());
        }
        drop(held);
        let begun = Instant::now();
        let granted = log_in(transport, settings, challenge)?;
        let seconds = match granted.expires_in {
            Lifetime::Number(seconds) => seconds,
            Lifetime::Text(text) => text.parse().unwrap_or_default(),
            Lifetime::None => 0,
        };
        // One that lasts less than the margin is good for the call it was got for.
        let lasts = Duration::from_secs(seconds.min(LONGEST)).saturating_sub(MARGIN);
        let token = granted.access_token;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(challenge.clone(), Held { token: token.clone(), until: begun + lasts });
        Ok(token)
    }

    /// Forgets a token that the server does not take.
    pub(crate) fn forget(&self, challenge: &Challenge) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(challenge);
    }
}

fn log_in(transport: &Transport, settings: &Settings, challenge: &Challenge) -> Result<Granted> {
    let Challenge { authority, resource } = challenge;
    let is_adfs = authority.rsplit('/').next().is_some_and(|tenant| tenant.eq_ignore_ascii_case("adfs"));
    let url =
        if is_adfs { format!("{authority}/oauth2/token") } else { format!("{authority}/oauth2/v2.0/token") };
    // Room for all of it from the start: growing would leave copies of the secret behind.
    let room = 3 * (settings.client_id.len() + settings.secret.expose().len() + resource.len()) + 128;
    let mut form = Zeroizing::new(String::with_capacity(room));
    form.push_str("grant_type=client_credentials&client_id=");
    encode(&mut form, &settings.client_id);
    form.push_str("&scope=");
    encode(&mut form, resource);
    form.push_str("%2F.default&client_secret=");
    encode(&mut form, settings.secret.expose());
    let reply = transport.ask(
        Ask {
            method: "POST",
            content_type: "application/x-www-form-urlencoded",
            body: form.as_bytes(),
            again: Again::Always,
            ..Ask::get(&url)
        },
        None,
    )?;
    let host = host_of(&url);
    if reply.status != 200 {
        let refused: Refused = serde_json::from_slice(&reply.body).unwrap_or_default();
        let (kind, what) = match reply.status {
            429 | 503 => (ErrorKind::Busy, "had too much to do".to_owned()),
            500.. => (ErrorKind::Failed, "failed".to_owned()),
            _ => (ErrorKind::Login, "was refused: check client id and secret".to_owned()),
        };
        let numbers: Vec<_> = refused.error_codes.iter().map(u64::to_string).collect();
        let code = tidy(&refused.error);
        return Err(ClientError::new(
            kind,
            format!(
                "the login of {} at {host} {what} ({} {code} {})",
                settings.client_id,
                reply.status,
                numbers.join(", ")
            ),
        )
        .with_code(code));
    }
    let granted: Granted = serde_json::from_slice(&reply.body)
        .map_err(|_| ClientError::new(ErrorKind::Answer, format!("{host} gave no token, but said it did")))?;
    Ok(granted)
}

/// Percent-encodes a field of a form.
fn encode(form: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            form.push(char::from(byte));
        } else {
            form.push('%');
            form.push(char::from(HEX[usize::from(byte >> 4)]));
            form.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_hold_any_secret() {
        let mut form = String::new();
        encode(&mut form, "a+b/c=~ é&");
        assert_eq!(form, "a%2Bb%2Fc%3D~%20%C3%A9%26");
    }

    #[test]
    fn lifetimes_as_they_are_found() {
        let read = |json: &str| serde_json::from_str::<Granted>(json).unwrap().expires_in;
        assert!(matches!(read(r#"{"access_token": "t", "expires_in": 3599}"#), Lifetime::Number(3599)));
        assert!(matches!(read(r#"{"access_token": "t", "expires_in": "3599"}"#), Lifetime::Text(_)));
        assert!(matches!(read(r#"{"access_token": "t"}"#), Lifetime::None));
    }
}
