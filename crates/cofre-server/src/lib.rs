//! The HTTP face of cofre: identity, the resource contract, and the data plane of key vaults.

pub mod addresses;
pub mod directory;
pub mod http;
pub mod identity;
pub mod limits;
pub mod tls;
