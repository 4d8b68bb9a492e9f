//! Key vaults of other services, over HTTPS: the data plane of the Key Vault contract as far as backup and restore
//! need it, and what the resource endpoint says of a vault.
//!
//! [`Client`] logs in as a service principal. Where to log in and for whom a token is are taken from the challenge of
//! the vault, which is believed within limits: the client's secret goes to authorities that were named in
//! [`Settings::authorities`] alone, and a token is for the vault's own domain or it is not asked for.
//!
//! Calls block. A call that is refused for load is made again a few times, as the server says when.

mod challenge;
mod client;
mod error;
mod login;
mod proof;
mod resources;
mod settings;
mod transport;
mod vault;
mod wire;

pub use self::{
    client::{Client, VaultAddress},
    error::{ClientError, ErrorKind, Result},
    proof::{ObjectName, ProofQuestion, ProofReply, ProofWord},
    resources::VaultFacts,
    settings::{ClientSecret, Settings},
    vault::{KeyState, NewSecret, Right, Secret, Vault},
};
