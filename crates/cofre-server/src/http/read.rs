//! From what came over a connection to a [`Call`].

use std::{net::IpAddr, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Request, header},
};
use cofre_arm::{ApiError, Problem};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{Call, LARGEST_BODY, Method, Refusal, Target};

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a request to its end.
///
/// # Errors
/// A typed refusal for everything that is no request of the contract.
pub(crate) async fn read(id: String, peer: IpAddr, request: Request<Body>) -> Result<Call, Refusal> {
    let (head, body) = request.into_parts();
    let method =
        Method::of(&head.method).ok_or_else(|| Refusal::method("GET, HEAD, PUT, POST, PATCH, DELETE"))?;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let host = host
        .filter(|host| !host.is_empty() && host.len() <= 300 && is_host(host))
        .ok_or_else(|| ApiError::invalid("the request names no host, or more than one"))?
        .to_ascii_lowercase();
    let target = Target::parse(head.uri.path(), head.uri.query().unwrap_or_default())?;
    let body = body_of(body).await?;
    let call = Call { id, method, target, host, headers: head.headers, body, peer: peer.to_string() };
    for name in ["authorization", "content-type", "if-match"] {
        call.header(name)?;
    }
    Ok(call)
}

fn is_host(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_' | b'[' | b']'))
}

async fn body_of(body: Body) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body of the request has more than {LARGEST_BODY} bytes");
        Refusal::from(ApiError::new(Problem::RequestTooLarge, message)).with("connection", "close")
    };
    match tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::invalid("the body of the request ended early").into()),
        Err(_) => Err(Refusal::new(
            408,
            ApiError::invalid(format!(
                "the body of the request took more than {} seconds",
                PATIENCE.as_secs()
            ))
            .body(),
        )
        .with("connection", "close")),
    }
}
