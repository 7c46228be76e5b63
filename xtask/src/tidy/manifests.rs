//! One table of versions, a word in it on what each is for, and no version anywhere else.

use super::{File, Finding};

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.path != "Cargo.toml" && !file.path.ends_with("/Cargo.toml") {
        return findings;
    }
    let mut section = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((name, value)) = entry(line) {
            findings.extend(wrong(section, name, value).map(|what| file.finding(index, what)));
        }
    }
    findings
}

/// `name = value`; the further lines of a list are none.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    plain.then_some((name, value))
}

fn wrong(section: &str, name: &str, value: &str) -> Option<String> {
    let ours = value.contains("path =") && !value.contains("version =");
    if section == "workspace.dependencies" {
        return (!ours && !value.contains('#')).then(|| format!("say what {name} is for, in a comment on this line"));
    }
    let apart = section.contains("dependencies.") && ["version", "git"].contains(&name);
    let shared = name.ends_with(".workspace") || value.contains("workspace = true");
    let inline = section.ends_with("dependencies") && !shared && !ours;
    (apart || inline)
        .then(|| format!("{name}: its version belongs into the workspace's table; say `workspace = true` here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&File { path: path.to_owned(), text: text.to_owned() }).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_line_of_the_table_says_what_it_is_for() {
        let text = "[workspace.dependencies]\n# runtime\ntokio = \"1\" # the runtime\nskein-core = { path = \"core\" }\n\
            thiserror = \"2\"\n\n[profile.dev]\ndebug = false";
        assert_eq!(lines("Cargo.toml", text), [5]);
    }

    #[test]
    fn members_name_no_versions() {
        let text = "[package]\nversion = \"1\"\n[dependencies]\nserde.workspace = true\ntokio = { workspace = true, features = [\n \
            \"rt\",\n] }\nlog = \"0.4\"\n[target.'cfg(unix)'.dependencies]\nnix = { version = \"1\" }\n\
            [dev-dependencies.rand]\nversion = \"0.9\"\n[lib]\npath = \"x.rs\"";
        assert_eq!(lines("agent/Cargo.toml", text), [8, 10, 12]);
        assert!(lines("agent/other.toml", text).is_empty());
    }
}
