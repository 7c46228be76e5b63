//! Names, sizes and words in the files themselves.

use super::{File, Finding};

/// Names that say nothing: code under them belongs to what it works for.
const NAMES_EMPTY: [&str; 5] = ["common", "helpers", "misc", "util", "utils"];
/// Past this a file has become two; the few that are longer for a reason stand in `LONG`, with the reason.
const LINES_MAX: usize = 500;
const LONG: [(&str, &str); 0] = [];
// Written in halves, so that this file passes its own checks.
const MARKERS: [&str; 5] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("dbg", "!"), concat!("todo", "!")];
/// Where a developer's machine keeps things.
const HOMES: [&str; 4] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(what) = name(&file.path) {
        findings.push(file.finding(0, what));
    }
    let lines = file.text.lines().count();
    if is_rust(file) && lines > LINES_MAX && !LONG.iter().any(|(path, _)| *path == file.path) {
        findings.push(
            file.finding(LINES_MAX, format!("{lines} lines: split it, or argue in LONG of xtask/src/tidy/sources.rs")),
        );
    }
    if file.path == "coordinator/core/src/lib.rs" && !file.text.lines().any(|line| line == "#![no_std]") {
        findings.push(file.finding(0, "say #![no_std]: it keeps clocks, files, sockets and threads out of the core"));
    }
    for (index, line) in file.text.lines().enumerate() {
        findings.extend(wrong(file, line).into_iter().map(|what| file.finding(index, what)));
    }
    findings
}

fn wrong(file: &File, line: &str) -> Vec<String> {
    let mut found = Vec::new();
    if is_code(file) {
        let markers = MARKERS.iter().filter(|marker| has_word(line, marker));
        found.extend(markers.map(|marker| format!("{marker}: do it now, or file an issue and say there what is open")));
    }
    if is_rust(file) {
        let named = NAMES_EMPTY.iter().filter(|name| line.trim_start().contains(&format!("mod {name} {{")));
        found.extend(named.map(|name| format!("`mod {name}` says nothing: name it after what it works for")));
        if file.path.starts_with("coordinator/core/src/") && has_word(line, "extern crate std") {
            found.push("the core is no_std: take from alloc, or move this up a floor".to_owned());
        }
        if file.path.split('/').any(|part| part == "tests") && has_word(line, "sleep(") {
            found.push("no sleeps in tests: wait for the event itself, with a deadline, or pass time in".to_owned());
        }
    }
    let homes = HOMES.iter().filter(|home| has_path(line, home));
    found.extend(
        homes.map(|home| format!("{home} is a path of one machine: take it from the environment or an argument")),
    );
    found
}

fn name(path: &str) -> Option<String> {
    let mut parts = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    if let Some(empty) = parts.find(|part| NAMES_EMPTY.contains(&part.trim_start_matches("skein-"))) {
        return Some(format!("`{empty}` says nothing: name it after what it works for"));
    }
    path.ends_with("/mod.rs").then(|| "foo.rs beside foo/, not foo/mod.rs".to_owned())
}

fn is_rust(file: &File) -> bool {
    file.extension() == "rs"
}

fn is_code(file: &File) -> bool {
    file.path.starts_with(".ci/") || ["rs", "toml", "py", "sh", "js"].contains(&file.extension())
}

/// Whether it stands there as a word of its own, not as part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        let longer = line[..at].ends_with(part) || word.ends_with(part) && after.starts_with(part);
        !longer
    })
}

/// Whether a path starts so here; the middle of a longer path or of an address does not count.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || ".-_~}*".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[test]
    fn empty_names_are_found_in_files_folders_and_crates() {
        for path in ["agent/src/utils.rs", "skein-common/src/lib.rs", "agent/src/helpers/x.rs", "agent/src/link/mod.rs"]
        {
            assert_eq!(found(path, "").len(), 1, "{path}");
        }
        assert_eq!(found("agent/src/link.rs", &format!("pub mod {} {{}}", NAMES_EMPTY[2]))[0].0, 1);
        assert!(found("agent/src/utility.rs", "").is_empty());
    }

    #[test]
    fn markers_count_as_words_in_code_only() {
        for marker in MARKERS {
            assert_eq!(found("agent/src/main.rs", &format!("a\n// {marker}(x)"))[0].0, 2, "{marker}");
            assert!(found("agent/src/main.rs", &format!("a{marker}")).is_empty());
            assert!(found("docs/notes.md", marker).is_empty());
        }
    }

    #[test]
    fn sleeps_are_found_in_tests_only() {
        for text in ["thread::sleep(D)", "tokio::time::sleep(D).await", "sleep(D)"] {
            assert_eq!(found("hil-tests/tests/mesh.rs", text).len(), 1, "{text}");
            assert!(found("hil-tests/src/bed.rs", text).is_empty());
        }
        assert!(found("hil-tests/tests/mesh.rs", "let nosleep = no_sleep(D);").is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found_wherever_they_start() {
        for home in HOMES {
            assert_eq!(found("docs/x.md", &format!("see {home}skein")).len(), 1);
            assert!(found("docs/x.md", &format!("see docs{home}skein and ${{BASE}}{home}x")).is_empty());
        }
    }

    #[test]
    fn long_files_and_a_core_with_std_are_found() {
        assert!(found("agent/src/main.rs", &"x\n".repeat(LINES_MAX)).is_empty());
        assert_eq!(found("agent/src/main.rs", &"x\n".repeat(LINES_MAX + 1))[0].0, LINES_MAX + 1);
        assert!(found("coordinator/core/src/lib.rs", "//! Pure.\n#![no_std]\nextern crate alloc;").is_empty());
        assert_eq!(found("coordinator/core/src/lib.rs", "#![cfg_attr(not(test), no_std)]").len(), 1);
        assert_eq!(found("coordinator/core/src/time.rs", "extern crate std;").len(), 1);
    }
}
