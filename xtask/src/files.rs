//! Files: how long they may be, what modules may not be called, and whether documents' links lead somewhere.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use crate::{Findings, links};

/// Lines a Rust file may have without giving a reason.
const LONGEST: usize = 800;
/// How a longer one begins the comment that gives its reason, within its first lines.
const REASON: &str = "// Long because ";
const TOP: usize = 20;
/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["common", "helpers", "manager", "utils"];
/// Directories that hold nothing of ours.
const SKIPPED: &[&str] = &["target", "corpus", "artifacts", "proptest-regressions"];

/// Every file below `directory`, sorted, but for hidden and built ones. `.ci` and `.cargo` hold no
/// Rust and no documents.
fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&&*name) {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// What is wrong with the length of a Rust file.
fn check_length(text: &str) -> Option<String> {
    let lines = text.lines().count();
    let excused = text.lines().take(TOP).any(|line| line.trim_start().starts_with(REASON));
    (lines > LONGEST && !excused)
        .then(|| format!("has {lines} lines, more than {LONGEST}: split it, or begin it with `{REASON}…`"))
}

/// What is wrong with the name of a Rust file, or of the directory that makes it a module.
fn check_name(path: &Path) -> Option<String> {
    let is_empty = |name: &str| EMPTY_NAMES.contains(&name);
    let stem = path.file_stem().and_then(|s| s.to_str()).filter(|name| is_empty(name));
    let parent =
        path.parent().and_then(Path::file_name).and_then(|s| s.to_str()).filter(|name| is_empty(name));
    stem.or(parent).map(|name| format!("a module called `{name}` says nothing: name what is in it"))
}

/// Modules that are declared in a file, `mod utils {…}` included.
fn check_declarations(text: &str) -> Option<String> {
    let mut declared = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
        let name = line.strip_prefix("mod ")?;
        EMPTY_NAMES
            .iter()
            .find(|empty| name.strip_prefix(**empty).is_some_and(|rest| rest.starts_with([';', ' '])))
    });
    declared.next().map(|name| format!("declares a module called `{name}`: name what is in it"))
}

/// Everything below `root` that breaks the rules.
pub(crate) fn check(root: &Path) -> Result<Findings, Box<dyn Error>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    let mut findings = Findings::new();
    for path in paths {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let mut add = |what: String| findings.push(format!("{shown}: {what}"));
        match path.extension().and_then(|e| e.to_str()) {
            Some("rs") => {
                let text = fs::read_to_string(&path)?;
                check_length(&text).into_iter().for_each(&mut add);
                check_name(&path).into_iter().for_each(&mut add);
                check_declarations(&text).into_iter().for_each(&mut add);
            }
            Some("md") => links::check(root, &path)?.into_iter().for_each(&mut add),
            _ => {}
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_need_a_reason_at_their_top() {
        let long = "x\n".repeat(LONGEST + 1);
        assert!(check_length(&long).is_some());
        assert!(check_length(&long[2..]).is_none());
        assert!(check_length(&format!("//! Doc.\n\n// Long because it is one table.\n{long}")).is_none());
        assert!(check_length(&format!("{long}// Long because nobody looks here.\n")).is_some());
    }

    #[test]
    fn names_that_say_nothing() {
        for bad in ["src/utils.rs", "src/common/mod.rs", "src/helpers/hex.rs", "src/lock/manager.rs"] {
            assert!(check_name(Path::new(bad)).is_some(), "{bad}");
        }
        for good in ["src/hex.rs", "src/manager_lease.rs", "tests/support/mod.rs"] {
            assert!(check_name(Path::new(good)).is_none(), "{good}");
        }
        assert!(check_declarations("mod utils;\n").is_some());
        assert!(check_declarations("    pub(crate) mod helpers {\n").is_some());
        assert!(check_declarations("mod utils_of_zstd;\n// mod utils;\n").is_none());
    }

    #[test]
    fn the_walk_passes_over_what_is_built() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["src", "target", ".git"] {
            fs::create_dir(root.path().join(directory)).unwrap();
            fs::write(root.path().join(directory).join("utils.rs"), "").unwrap();
        }
        let findings = check(root.path()).unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("src/utils.rs: "), "{findings:?}");
    }
}
