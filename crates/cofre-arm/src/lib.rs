//! The vocabulary of the resource contract, with no input or output: resource ids ([`id`]), names of
//! containers and items ([`names`]), URLs of key vault objects ([`object_url`]), roles ([`roles`]), and errors that come
//! from one catalogue ([`catalogue`], [`error`]; [`absent`] has what cannot arise here).

pub mod absent;
pub mod catalogue;
pub mod error;
pub mod id;
pub mod names;
pub mod object_url;
pub mod roles;

pub use catalogue::Problem;
pub use error::{ApiError, Detail, Result};
pub use id::ResourceId;
pub use object_url::{ObjectKind, ObjectUrl};
pub use roles::RoleDefinition;
