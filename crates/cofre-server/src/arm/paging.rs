//! Lists in parts: `$top` and `$skiptoken` of the query, `nextLink` in the answer.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_arm::{ApiError, Result};
use serde_json::{Value, json};

use crate::http::{Answer, Call};

/// The position after which a list goes on, from the query.
pub(crate) fn position(call: &Call) -> Result<Option<String>> {
    let Some(token) = call.target.query.get("$skiptoken").filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let bytes = Base64UrlUnpadded::decode_vec(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|position| position.len() <= 1024 && !position.chars().any(char::is_control))
        .map(Some)
        .ok_or_else(|| ApiError::invalid("the $skiptoken is none that a list of this service gave"))
}

/// A part of a list, with the link to the next.
pub(crate) fn page(call: &Call, items: Vec<Value>, next: Option<&str>) -> Answer {
    let next = next.map(|position| {
        let mut link = format!("{}/{}?", call.origin(), call.target.segments.join("/"));
        for name in ["api-version", "maxresults", "$top", "$filter"] {
            if let Some(value) = call.target.query.get(name) {
                link.push_str(&format!("{name}={}&", escaped(value)));
            }
        }
        link.push_str(&format!("$skiptoken={}", Base64UrlUnpadded::encode_string(position.as_bytes())));
        link
    });
    Answer::ok(&json!({"value": items, "nextLink": next}))
}

/// A value as it may stand in a query.
fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
