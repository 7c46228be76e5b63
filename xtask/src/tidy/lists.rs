//! Links that lead somewhere, and lists that leave nothing out.

use super::{File, Finding};

/// Every file beside the index whose name ends so must be named in it, by its path from there.
pub(super) fn listed(index: &str, end: &str, files: &[File]) -> Vec<Finding> {
    let folder = &index[..=index.rfind('/').unwrap_or_default()];
    let missing = File { path: index.to_owned(), ..File::default() };
    let list = files.iter().find(|file| file.path == index).unwrap_or(&missing);
    let inside = files.iter().filter_map(|file| file.path.strip_prefix(folder)).filter(|path| path.ends_with(end));
    let left_out = inside.filter(|path| folder.to_owned() + path != index && !list.text.contains(*path));
    left_out.map(|path| list.finding(0, format!("{path} is not listed here: add it, or remove the file"))).collect()
}

/// Every link of a Markdown file to another file, resolved from where it stands.
pub(super) fn links(file: &File, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.extension() != "md" {
        return findings;
    }
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
        for target in targets.filter(|target| !fenced && !target.is_empty() && !target.contains(':')) {
            if !exists(&beside(&file.path, target)) {
                findings.push(file.finding(index, format!("the link to {target} leads nowhere")));
            }
        }
    }
    findings
}

fn beside(path: &str, target: &str) -> String {
    format!("{}{target}", path.rfind('/').map_or("", |slash| &path[..=slash]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_that_no_list_names_is_found() {
        let mut files =
            vec![file("docs/SUMMARY.md", "- [One](one.md)"), file("docs/one.md", ""), file("docs/book.toml", "")];
        assert!(listed("docs/SUMMARY.md", ".md", &files).is_empty());
        files.push(file("docs/deep/two.md", ""));
        assert!(listed("docs/SUMMARY.md", ".md", &files)[0].what.starts_with("deep/two.md"));
        assert_eq!(listed("material/README.md", "", &[file("material/x.onnx", "")]).len(), 1);
    }

    #[test]
    fn a_link_is_followed_from_its_file() {
        let text =
            "[a](one.md#part) [b](https://x.org/y) [c](#here)\n```\n[d](no.md)\n```\n![e](../two.png) and [f](none.md)";
        let findings = links(&file("docs/page.md", text), |path| ["docs/one.md", "docs/../two.png"].contains(&path));
        assert_eq!(findings, [file("docs/page.md", "").finding(4, "the link to none.md leads nowhere")]);
    }
}
