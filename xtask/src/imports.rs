//! Who may import whom: arrows between crates go down only.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    Findings,
    metadata::{Metadata, Node},
    rooms::{Floor, HEAVY, ROOMS, Room},
};

fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// Why `from` may not depend on `to`, both crates of ours; `None` where it may. Dependencies of tests
/// (`shipped` false) keep to the floors too, but not to a room's own list.
pub(crate) fn objection(from: &Room, to: &Room, shipped: bool) -> Option<String> {
    let (from_name, to_name) = (from.name, to.name);
    match (from.floor, to.floor) {
        (_, Floor::Tool) => Some(format!("{from_name} depends on {to_name}, a developer's tool")),
        (Floor::Tool, Floor::Number(_)) if shipped => {
            Some(format!("{from_name} is a developer's tool and depends on {to_name}"))
        }
        (Floor::Tool, Floor::Number(_)) => None,
        (Floor::Number(a), Floor::Number(b)) if a == b => {
            Some(format!("{from_name} depends on {to_name}, a room of the same floor ({a}): pass a trait"))
        }
        (Floor::Number(a), Floor::Number(b)) if a < b => {
            Some(format!("{from_name} (floor {a}) depends on {to_name} (floor {b}): arrows go down only"))
        }
        (Floor::Number(_), Floor::Number(_)) => match from.only {
            Some(list) if shipped && !list.contains(&to_name) => {
                Some(format!("{from_name} depends on {to_name}, which its list in rooms.rs does not have"))
            }
            _ => None,
        },
    }
}

/// Every crate that a shipped build of `id` contains.
fn closure<'a>(nodes: &HashMap<&'a str, &'a Node>, id: &'a str) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        if let Some(node) = nodes.get(id).filter(|_| seen.insert(id)) {
            open.extend(node.deps.iter().filter(|d| d.is_shipped()).map(|d| d.pkg.as_str()));
        }
    }
    seen
}

/// Everything in the workspace that breaks the rules.
pub(crate) fn check(metadata: &Metadata) -> Findings {
    let names: HashMap<_, _> = metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let nodes: HashMap<_, _> = metadata.resolve.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let ours: BTreeSet<_> = metadata.workspace_members.iter().map(String::as_str).collect();
    let mut findings = Findings::new();
    for &id in &ours {
        let name = names.get(id).copied().unwrap_or(id);
        let Some(room) = find(name) else {
            findings.push(format!("{name} has no floor: add it to xtask/src/rooms.rs and ARCHITECTURE.md"));
            continue;
        };
        let dependencies = nodes.get(id).map_or(&[][..], |node| &node.deps);
        for dependency in dependencies.iter().filter(|d| ours.contains(d.pkg.as_str()) && d.pkg != id) {
            let to = names.get(dependency.pkg.as_str()).and_then(|name| find(name));
            findings.extend(to.and_then(|to| objection(room, to, dependency.is_shipped())));
        }
        if room.publishable {
            let shipped: BTreeSet<_> =
                closure(&nodes, id).into_iter().filter_map(|id| names.get(id)).collect();
            let heavy = HEAVY.iter().filter(|heavy| shipped.contains(heavy));
            findings.extend(heavy.map(|heavy| format!("{name} is to be published and pulls in {heavy}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str, shipped: bool) -> Option<String> {
        objection(find(from).unwrap(), find(to).unwrap(), shipped)
    }

    #[test]
    fn arrows_go_down_only() {
        for (from, to) in [
            ("cofre-repo", "cofre-disk"),
            ("cofre-keyvault", "cofre-fde"),
            ("cofre-recovery", "cofre-repo"),
            ("cofre-recovery", "cofre-store"),
            ("cofre", "cofre-server"),
            ("cofre", "cofre-disk"),
        ] {
            assert_eq!(between(from, to, true), None, "{from} → {to}");
        }
        for (from, to, why) in [
            ("cofre-disk", "cofre-repo", "arrows go down only"),
            ("cofre-server", "cofre", "arrows go down only"),
            ("cofre-fde", "cofre-disk", "same floor"),
            ("cofre-keyvault", "cofre-repo", "same floor"),
            ("cofre-deploy", "cofre-recovery", "same floor"),
            ("cofre-repo", "cofre-fde", "list"),
            ("cofre-repo", "cofre-store", "list"),
            ("cofre", "xtask", "tool"),
            ("xtask", "cofre-repo", "tool"),
        ] {
            let objection = between(from, to, true);
            assert!(objection.as_ref().is_some_and(|o| o.contains(why)), "{from} → {to}: {objection:?}");
        }
    }

    #[test]
    fn tests_keep_to_the_floors_but_not_to_lists() {
        assert_eq!(between("cofre-repo", "cofre-fde", false), None);
        assert_eq!(between("xtask", "cofre-repo", false), None);
        assert!(between("cofre-disk", "cofre-repo", false).is_some());
        assert!(between("cofre-disk", "xtask", false).is_some());
    }

    /// A workspace of crates and arrows; an arrow `dev` is one of tests.
    fn workspace(ours: &[&str], theirs: &[&str], arrows: &[(&str, &str, &str)]) -> Metadata {
        let all: Vec<_> = ours.iter().chain(theirs).collect();
        let nodes: Vec<_> = all
            .iter()
            .map(|name| {
                let deps: Vec<_> = arrows
                    .iter()
                    .filter(|(from, ..)| *from == **name)
                    .map(|(_, to, kind)| {
                        let kind = (*kind == "dev").then_some("dev");
                        serde_json::json!({"pkg": to, "dep_kinds": [{"kind": kind}]})
                    })
                    .collect();
                serde_json::json!({"id": name, "deps": deps})
            })
            .collect();
        let packages: Vec<_> = all.iter().map(|name| serde_json::json!({"id": name, "name": name})).collect();
        serde_json::from_value(serde_json::json!({
            "packages": packages, "workspace_members": ours, "resolve": {"nodes": nodes},
        }))
        .unwrap()
    }

    #[test]
    fn a_crate_without_a_floor_is_an_error() {
        let findings = check(&workspace(&["cofre-disk", "cofre-new"], &[], &[]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("cofre-new has no floor"), "{findings:?}");
    }

    #[test]
    fn heavy_crates_are_found_through_others_but_not_in_tests() {
        let theirs = ["client", "reqwest", "hyper"];
        let shipped = [("cofre-disk", "client", ""), ("client", "reqwest", ""), ("reqwest", "hyper", "")];
        assert_eq!(check(&workspace(&["cofre-disk"], &theirs, &shipped)).len(), 2);
        let tests = [("cofre-disk", "client", "dev"), ("client", "reqwest", "")];
        assert!(check(&workspace(&["cofre-disk"], &theirs, &tests)).is_empty());
        let floor5 = [("cofre", "client", ""), ("client", "reqwest", "")];
        assert!(check(&workspace(&["cofre"], &theirs, &floor5)).is_empty());
    }

    #[test]
    fn forbidden_arrows_are_reported_once() {
        let arrows = [("cofre-disk", "cofre-repo", ""), ("cofre-repo", "serde", "")];
        let findings = check(&workspace(&["cofre-disk", "cofre-repo"], &["serde"], &arrows));
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
