//! Which floor may stand on which. Arrows go down, never up or sideways.

use super::{File, Finding};
use crate::house::House;

const FLOORS: [(&str, &[&str]); 7] = [
    ("skein-core", &[]),
    ("skein-raft", &["skein-core"]),
    ("skein-sim", &["skein-core"]),
    ("skein-targets", &[]),
    ("skein-agent", &["skein-core", "skein-raft", "skein-targets"]),
    ("skein-hil-tests", &[]),
    ("xtask", &["skein-sim"]),
];

pub(super) fn check(house: &House, files: &[File]) -> Vec<Finding> {
    let ours: Vec<_> = house.0.packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &house.0.packages {
        let path = package.manifest_path.strip_prefix(&house.0.workspace_root).unwrap_or(&package.manifest_path);
        let Some(manifest) = files.iter().find(|file| file.path == path.as_str()) else {
            continue;
        };
        // Of every kind: what only the tests or the build see is an arrow too.
        let down = package.dependencies.iter().map(|dependency| dependency.name.as_str());
        for to in down.filter(|name| ours.contains(name)).chain([""]) {
            if let Some(what) = forbidden(&package.name, to) {
                let line = manifest.text.lines().position(|line| line.trim_start().starts_with(to)).unwrap_or_default();
                findings.push(manifest.finding(line, what));
            }
        }
    }
    findings
}

/// What is wrong with this arrow; the empty name asks about the floor itself.
fn forbidden(from: &str, to: &str) -> Option<String> {
    let Some((_, below)) = FLOORS.iter().find(|(floor, _)| *floor == from) else {
        return Some(format!(
            "{from} has no floor: give it one in xtask/src/tidy/floors.rs and in docs/architecture.md"
        ));
    };
    let wrong = !to.is_empty() && !below.contains(&to);
    wrong.then(|| format!("{from} must not depend on {to}: let both meet in a type of a floor below them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_go_down_only() {
        assert_eq!(forbidden("skein-agent", "skein-targets"), None);
        assert_eq!(forbidden("skein-core", ""), None);
        for (from, to) in
            [("skein-core", "skein-targets"), ("skein-hil-tests", "skein-agent"), ("skein-sim", "skein-raft")]
        {
            assert!(forbidden(from, to).unwrap().contains("must not depend"));
        }
        assert!(forbidden("skein-cloud", "").unwrap().contains("has no floor"));
    }
}
