//! `cargo xtask bench NAME`: the benchmarks are the agent's, so that cargo builds the release binary they measure.

use anyhow::Result;
use cargo_metadata::TargetKind;

use crate::house::{self, House};

pub(crate) fn run(house: &House, name: &str, json: bool) -> Result<()> {
    house.expect_target("skein-agent", &TargetKind::Bench, name)?;
    let mut bench = house.cargo(&["bench", "--package", "skein-agent", "--bench", name]);
    if json {
        bench.args(["--", "--json"]);
    }
    house::run(bench)
}
