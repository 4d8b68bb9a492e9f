//! Who is calling: tokens that this service issues and accepts, and the logins that give them.

mod assertion;
mod discovery;
mod login;
mod tokens;

pub use self::tokens::{Identity, TokenKey, Tokens};
pub(crate) use self::tokens::{check_current, is_current};
pub(crate) use self::{
    discovery::{endpoints, key_set, openid_configuration},
    login::token,
};
