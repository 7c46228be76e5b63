//! The workspace, and the programs called in it.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand, TargetKind};

#[derive(Debug)]
pub(crate) struct House(pub(crate) Metadata);

impl House {
    pub(crate) fn find() -> Result<Self> {
        Ok(Self(MetadataCommand::new().no_deps().exec().context("no workspace here: call this from inside the clone")?))
    }

    /// A program started at the root of the clone, with nothing on its standard input.
    pub(crate) fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(args).current_dir(&self.0.workspace_root).stdin(Stdio::null());
        // What a person has set for the own mesh must not reach the meshes of the tests. What cargo has set to start this
        // program would have `ring` and all that stands on it built anew, as its build looks at the package's variables.
        let strange = ["SKEIN_", "CARGO_PKG_", "CARGO_MANIFEST_"];
        let is_strange = |key: &str| strange.iter().any(|prefix| key.starts_with(prefix));
        for (key, _) in env::vars_os().filter(|(key, _)| is_strange(&key.to_string_lossy())) {
            command.env_remove(key);
        }
        command
    }

    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        self.program(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
    }

    /// Refuses a name that is no target of this kind, so that the names stand in one place, the package itself.
    pub(crate) fn expect_target(&self, package: &str, kind: &TargetKind, name: &str) -> Result<()> {
        let package = self.0.packages.iter().find(|found| found.name == package).context("a package is missing")?;
        let of_kind = package.targets.iter().filter(|target| target.kind.contains(kind));
        let names: Vec<_> = of_kind.map(|target| target.name.as_str()).collect();
        ensure!(names.contains(&name), "no {kind} of {} is called {name}, only: {}", package.name, names.join(", "));
        Ok(())
    }
}

/// What outlives a clone: tools that cost minutes to install.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache"))).context("no home directory for the cache")?;
    Ok(cache.join("skein"))
}

/// Runs to the end with its output visible.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = line(&command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Whether this can be called here, asked with a harmless argument such as `--version`.
pub(crate) fn works(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    command.get_args().fold(name, |line, arg| line + " " + &arg.to_string_lossy())
}
