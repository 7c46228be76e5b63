//! `cargo xtask docs`: the book, or where mdBook is missing at least the check that its links lead somewhere.

use anyhow::Result;

use crate::house::{self, House};
use crate::tidy;

pub(crate) fn build(house: &House) -> Result<()> {
    if house::works(house.program("mdbook", &["--version"])) {
        return house::run(house.program("mdbook", &["build", "docs"]));
    }
    println!("mdbook is missing (`cargo install mdbook --locked`): the links are checked, nothing is built");
    tidy::check_docs(house)
}
