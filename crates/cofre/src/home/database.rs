//! The database of a home: a file in it, or one on a PostgreSQL server.

use cofre_arm::{ApiError, Problem};
use cofre_store::Store;

use super::Layout;
use crate::report::Result;

/// Opens the database of a home.
pub(super) fn open(layout: &Layout, url: Option<&str>) -> Result<Store> {
    match url {
        None => Ok(Store::open(&layout.database())?),
        Some(url) => {
            check(url)?;
            Ok(Store::connect(url)?)
        }
    }
}

/// Opens a database that no home has used yet.
pub(super) fn open_new(layout: &Layout, url: Option<&str>) -> Result<Store> {
    let store = open(layout, url)?;
    if store.version()? == 0 {
        return Ok(store);
    }
    Err(ApiError::new(Problem::Conflict, "the database holds the records of a home already")
        .recommend(
            "Make another database for this home. If this one is what an interrupted `cofre init` left, drop its schema: \
             `DROP SCHEMA cofre CASCADE`.",
        )
        .into())
}

/// Refuses a URL with a password: it would be read from the configuration and from the process list.
pub(super) fn check(url: &str) -> Result<()> {
    let refused = |what: &str, advice: &str| {
        Err(ApiError::invalid(format!("the URL of the database {what}")).recommend(advice).into())
    };
    let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
        return refused("is none of PostgreSQL", "It looks like postgres://USER@HOST:PORT/DATABASE.");
    };
    let (location, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = location.split('/').next().unwrap_or_default();
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let names = parameters.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    // A name may be percent-encoded.
    let in_parameters =
        names.into_iter().any(|name| name.eq_ignore_ascii_case("password") || name.contains('%'));
    if in_authority || in_parameters {
        return refused(
            "has a password, which others could read",
            "Put the password into a file that its owner alone may read, ~/.pgpass or the one that PGPASSFILE names.",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_stand_in_the_url() {
        for good in [
            "postgres://cofre@db.example:5432/cofre?sslmode=verify-full",
            "postgresql://localhost/cofre?host=/run/postgresql",
            "postgres:///cofre",
        ] {
            check(good).unwrap();
        }
        for bad in [
            "postgres://cofre:hunter2@db/cofre",
            "postgres://cofre:@db/cofre",
            "postgres://db/cofre?sslmode=require&password=hunter2",
            "postgres://db/cofre?pass%77ord=hunter2",
            "mysql://db/cofre",
            "/run/postgresql",
        ] {
            let error = format!("{:?}", check(bad).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
