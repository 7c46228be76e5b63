//! `cargo xtask bench NAME`: the benchmarks are the agent's, so that cargo builds the release binary they measure.

use std::path::PathBuf;

use anyhow::Result;
use cargo_metadata::TargetKind;

use crate::house::{self, House};
use crate::runtimes;

pub(crate) fn run(house: &House, name: &str, json: bool) -> Result<()> {
    house.expect_target("skein-agent", &TargetKind::Bench, name)?;
    let mut bench = house.cargo(&["bench", "--package", "skein-agent", "--bench", name]);
    if ["durable", "failover"].contains(&name) {
        match etcd(house) {
            Some(etcd) => drop(bench.env("ETCD", etcd)),
            None => eprintln!(
                "etcd is missing, so it is not measured beside: install Debian's etcd-server, or put etcd on the PATH"
            ),
        }
    }
    if name == "serving" {
        bench.envs(runtimes::installed(house)?.map(|folder| (runtimes::VARIABLE, folder)));
    }
    if json {
        bench.args(["--", "--json"]);
    }
    house::run(bench)
}

/// The etcd to compare with: the one on the path, or Debian's, unpacked into the target directory: installed, it would run as a
/// service.
fn etcd(house: &House) -> Option<PathBuf> {
    if house::works(house.program("etcd", &["--version"])) {
        return Some("etcd".into());
    }
    let directory = house.0.target_directory.as_std_path().join("etcd");
    let program = directory.join("usr/bin/etcd");
    if program.exists() {
        return Some(program);
    }
    std::fs::create_dir_all(&directory).ok()?;
    let mut fetch = house.program("apt-get", &["download", "-qq", "etcd-server"]);
    fetch.current_dir(&directory);
    let fetched = house::works(fetch);
    let package = std::fs::read_dir(&directory).ok()?.flatten().map(|entry| entry.path());
    let package = package.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).last();
    let package = package.filter(|_| fetched)?;
    let mut unpack = house.program("dpkg-deb", &["-x"]);
    unpack.arg(&package).arg(&directory);
    (house::works(unpack) && program.exists()).then_some(program)
}
