//! The house rules that no compiler checks. Each finding says where, and what to do.

mod floors;
mod lists;
mod manifests;
mod sources;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::house::House;

#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

/// A file of the repository; the text is empty where it is none.
#[derive(Debug, Default)]
struct File {
    path: String,
    text: String,
}

impl File {
    fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// `index` counts from 0, as `enumerate` does.
    fn finding(&self, index: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: index + 1, what: what.into() }
    }
}

pub(crate) fn check(house: &House) -> Result<()> {
    let files = files(house)?;
    let mut findings = floors::check(house, &files);
    findings.extend(files.iter().flat_map(sources::check));
    findings.extend(files.iter().flat_map(manifests::check));
    findings.extend(docs(house, &files));
    findings.extend(lists::listed("material/README.md", "", &files));
    tell(findings)
}

/// The part of it that the book needs.
pub(crate) fn check_docs(house: &House) -> Result<()> {
    tell(docs(house, &files(house)?))
}

fn docs(house: &House, files: &[File]) -> Vec<Finding> {
    let root = &house.0.workspace_root;
    let mut findings = lists::listed("docs/SUMMARY.md", ".md", files);
    findings.extend(files.iter().flat_map(|file| lists::links(file, |path| root.join(path).exists())));
    findings
}

fn tell(mut findings: Vec<Finding>) -> Result<()> {
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for Finding { path, line, what } in &findings {
        println!("{path}:{line}: {what}");
    }
    ensure!(findings.is_empty(), "{} untidy places, listed above", findings.len());
    Ok(())
}

/// Everything that is in the repository or could be added to it.
fn files(house: &House) -> Result<Vec<File>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = house.program("git", &list).output().context("git is missing: tidy has the list of files from it")?;
    ensure!(output.status.success(), "git lists no files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8: rename it")?;
    let root = &house.0.workspace_root;
    let files = names.split_terminator('\0').filter_map(|path| {
        // One that is deleted but not yet committed is still in the list.
        let bytes = fs::read(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() })
    });
    Ok(files.collect())
}
