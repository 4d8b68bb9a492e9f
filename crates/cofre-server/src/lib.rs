//! The HTTP face of cofre: identity, the resource contract, and the data plane of key vaults.

pub mod addresses;
mod app;
mod arm;
pub mod directory;
pub mod http;
pub mod identity;
mod keyvault;
pub mod limits;
mod metrics;
mod server;
pub mod tls;
mod tunnel;

pub use app::{App, Parts};
pub use metrics::MetricsSource;
pub use server::{Answered, Observer, Server, bind};
