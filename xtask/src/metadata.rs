//! What cargo says of the workspace: its packages and who depends on whom.

use std::{error::Error, path::Path, process::Command};

use serde::Deserialize;

/// The part of `cargo metadata` that the checks need.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// All packages, those of others too.
    pub(crate) packages: Vec<Package>,
    /// Ids of our packages.
    pub(crate) workspace_members: Vec<String>,
    /// The resolved graph.
    pub(crate) resolve: Resolve,
}

/// A package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its id, unique.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
}

/// The resolved graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    /// One node a package.
    pub(crate) nodes: Vec<Node>,
}

/// A package and what it depends on.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    /// The package's id.
    pub(crate) id: String,
    /// Its dependencies.
    pub(crate) deps: Vec<Dependency>,
}

/// A dependency.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// Id of the package.
    pub(crate) pkg: String,
    /// In which ways it is depended on.
    pub(crate) dep_kinds: Vec<DependencyKind>,
}

/// One way of depending.
#[derive(Debug, Deserialize)]
pub(crate) struct DependencyKind {
    /// `null` (normal), `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Whether it is part of what is shipped or built, and not of tests alone.
    pub(crate) fn is_shipped(&self) -> bool {
        self.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"))
    }
}

/// Asks cargo. All features are on, so that nothing hides behind one.
pub(crate) fn read(root: &Path) -> Result<Metadata, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--all-features", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
