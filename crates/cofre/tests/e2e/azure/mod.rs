//! The unmodified Azure CLI and Python SDKs against `cofre serve`: what they print, and what they are refused.

mod acceptance;
mod backup;
mod keys;
mod login;
mod machines;
mod roles;
mod sdk;
mod secrets;
mod service;
mod vaults;

pub(crate) use self::service::{Az, Service};

/// Asserts that a text has all these parts.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// The texts of a JSON list.
#[track_caller]
fn texts(list: &serde_json::Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
