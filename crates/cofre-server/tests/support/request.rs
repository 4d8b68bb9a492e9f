//! Calls without sockets, and what came back.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use cofre_server::{
    App,
    http::{Answer, Call, Method, Refusal, Target},
};
use serde_json::Value;

/// A request on its way.
pub(crate) struct Request<'a> {
    app: &'a App,
    method: Method,
    host: String,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `Null` when there is no body.
    pub(crate) json: Value,
    pub(crate) challenge: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) operation: Option<String>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(app: &'a App, method: &str, host: &str, target: &str) -> Self {
        let method: axum::http::Method = method.parse().unwrap();
        Self {
            app,
            method: Method::of(&method).unwrap(),
            host: host.to_owned(),
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            peer: "127.0.0.1".to_owned(),
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub(crate) fn peer(mut self, peer: &str) -> Self {
        self.peer = peer.to_owned();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", escaped(value));
        self.body(fields.iter().map(pair).collect::<Vec<_>>().join("&"))
    }

    /// Calls the service. Whatever was asked, it must not have failed through its own fault, the body is JSON, and a
    /// refusal has a code and a message in the shape of its plane.
    pub(crate) fn send(self) -> Reply {
        let answer = self.answer();
        let body = answer.body();
        let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() };
        let header = |name| answer.header(name).map(str::to_owned);
        let reply = Reply {
            status: answer.status(),
            json,
            challenge: header("www-authenticate"),
            retry_after: header("retry-after"),
            etag: header("etag"),
            location: header("location"),
            operation: header("azure-asyncoperation"),
        };
        assert!(reply.status < 500, "{reply:?}");
        if reply.status >= 400 {
            assert!(!reply.code().is_empty() && !reply.message().is_empty(), "{reply:?}");
        }
        reply
    }

    /// Calls the service for what is no JSON: its type, and the text.
    pub(crate) fn text(self) -> (Option<String>, String) {
        let answer = self.answer();
        assert_eq!(answer.status(), 200, "{answer:?}");
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.header("content-type").map(str::to_owned), text)
    }

    fn answer(self) -> Answer {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        match Target::parse(path, query) {
            Ok(target) => self.app.answer(&Call {
                id: "00000000-0000-4000-8000-000000000000".into(),
                method: self.method,
                target,
                host: self.host,
                headers: self.headers,
                body: Bytes::from(self.body),
                peer: self.peer,
            }),
            Err(error) => Refusal::from(error).into_answer(),
        }
    }
}

impl Reply {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> &str {
        let error = &self.json["error"];
        error.as_str().or(error["code"].as_str()).unwrap_or_default()
    }

    /// The code inside that of key vaults.
    pub(crate) fn inner(&self) -> &str {
        self.json["error"]["innererror"]["code"].as_str().unwrap_or_default()
    }

    /// The message of a refusal.
    pub(crate) fn message(&self) -> &str {
        let message = self.json["error"]["message"].as_str();
        message.or(self.json["error_description"].as_str()).unwrap_or_default()
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json
    }

    /// Refuses to go on unless this is a refusal with that status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        self
    }
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    value.bytes().map(byte).collect()
}
