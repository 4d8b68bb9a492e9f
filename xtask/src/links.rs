//! Links in Markdown: relative ones lead to a file, and to a heading where they name one.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use crate::Findings;

/// The lines of a document that are prose: code blocks are left out.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The targets of all links `[text](target)`; code spans are left out.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for part in without_code.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                targets.push(target.split_whitespace().next().unwrap_or_default().to_owned());
            }
        }
    }
    targets
}

/// The anchors of a document's headings, as the usual hosts make them: lower case, spaces to hyphens,
/// punctuation gone, a number behind repeated ones.
fn anchors(text: &str) -> Vec<String> {
    let mut times: HashMap<String, u32> = HashMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim();
            let anchor: String = title
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let before = times.entry(anchor.clone()).or_insert(0);
            *before += 1;
            if *before == 1 { anchor } else { format!("{anchor}-{}", *before - 1) }
        })
        .collect()
}

fn is_foreign(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// What is wrong with the links of one document below `root`.
pub(crate) fn check(root: &Path, document: &Path) -> Result<Findings, Box<dyn Error>> {
    let text = fs::read_to_string(document)?;
    let mut findings = Findings::new();
    for target in targets(&text).into_iter().filter(|target| !is_foreign(target)) {
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file: PathBuf = match path {
            "" => document.to_owned(),
            _ => document.parent().unwrap_or(root).join(path),
        };
        let inside = file.canonicalize().is_ok_and(|f| root.canonicalize().is_ok_and(|r| f.starts_with(r)));
        if !inside {
            findings.push(format!("the link to {target} leads nowhere"));
        } else if !anchor.is_empty() && file.extension().is_some_and(|e| e == "md") {
            let there = if path.is_empty() { text.clone() } else { fs::read_to_string(&file)? };
            if !anchors(&there).iter().any(|a| a == anchor) {
                findings.push(format!("the link to {target} names a heading that is not there"));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "[a](x.md), [b](y.md#z \"title\") and `[c](no.md)`\n```\n[d](no.md)\n```\n![e](z.png)\n";
        assert_eq!(targets(text), ["x.md", "y.md#z", "z.png"]);
    }

    #[test]
    fn anchors_as_hosts_make_them() {
        let text = "# 3. Sealing, and `more`\n## Über-Trees\n```\n# no\n```\n## Über-Trees\n";
        assert_eq!(anchors(text), ["3-sealing-and-more", "über-trees", "über-trees-1"]);
    }

    #[test]
    fn dead_links_are_reported() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        write("b.md", "# There\n");
        write("a.md", "[1](b.md) [2](b.md#there) [3](https://example.com/no) [4](#here)\n# Here\n");
        let check = || super::check(root.path(), &root.path().join("a.md")).unwrap();
        assert!(check().is_empty());
        write("a.md", "[1](c.md) [2](b.md#gone) [3](../../../etc/passwd) [4](#gone)\n");
        assert_eq!(check().len(), 4, "{:?}", check());
    }
}
