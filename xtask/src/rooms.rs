//! The rooms of the house: every crate, its floor, and what it may never depend on (ARCHITECTURE.md).

/// A crate of ours.
#[derive(Debug)]
pub(crate) struct Room {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its floor: it may depend on crates of lower floors only.
    pub(crate) floor: Floor,
    /// Kept fit to be published: it never depends on [`HEAVY`] crates, directly or through others.
    pub(crate) publishable: bool,
    /// The crates of ours it may depend on, where the floor alone does not say it.
    pub(crate) only: Option<&'static [&'static str]>,
}

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Part of the product.
    Number(u8),
    /// A developer's tool: depends on nothing of ours but for tests, and nothing depends on it.
    Tool,
}

const fn room(name: &'static str, floor: u8) -> Room {
    Room { name, floor: Floor::Number(floor), publishable: false, only: None }
}

const fn published(name: &'static str, floor: u8) -> Room {
    Room { publishable: true, ..room(name, floor) }
}

/// Every crate there is or will be. A crate that is not here is an error, so a new one is a decision.
pub(crate) const ROOMS: &[Room] = &[
    published("cofre-disk", 1),
    published("cofre-fde", 1),
    room("cofre-arm", 1),
    room("cofre-store", 1),
    Room { only: Some(&["cofre-disk"]), ..published("cofre-repo", 2) },
    room("cofre-keyvault", 2),
    room("cofre-keyvault-client", 2),
    room("cofre-compute", 2),
    room("cofre-notify", 2),
    room("cofre-recovery", 3),
    room("cofre-deploy", 3),
    room("cofre-server", 4),
    room("cofre", 5),
    Room { floor: Floor::Tool, ..room("xtask", 0) },
    Room { floor: Floor::Tool, ..room("e2e", 0) },
];

/// What a publishable crate must not pull in: databases, servers, HTTP clients, asynchronous runtimes.
pub(crate) const HEAVY: &[&str] = &["axum", "hyper", "object_store", "reqwest", "sqlx", "tokio"];
