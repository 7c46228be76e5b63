//! Programs that run models for this node, by their operator's word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use skein_core::capability::DeviceKind;

/// The longest name of a program, and of a target with it, is far below what a text may have.
const NAME_BYTES_MAX: usize = 32;
/// More than a node has accelerators of different makers.
const PROGRAMS_MAX: usize = 8;

/// A program that speaks the worker protocol. In the settings file, a table `[process.NAME]`; the target is then `process:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// The program and what it is called with.
    pub command: Vec<String>,
    /// Kinds of device that it drives, beside the processor.
    #[serde(default)]
    pub drives: BTreeSet<Driven>,
}

/// A kind of device that a program may drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driven {
    /// GPUs.
    Gpu,
    /// Movidius sticks.
    Movidius,
}

impl Driven {
    /// In the coordinator's words.
    pub fn kind(self) -> DeviceKind {
        match self {
            Self::Gpu => DeviceKind::Gpu,
            Self::Movidius => DeviceKind::Movidius,
        }
    }
}

/// What is wrong with the programs that somebody stated.
pub(super) fn check(programs: &BTreeMap<String, Program>) -> Result<(), String> {
    if programs.len() > PROGRAMS_MAX {
        return Err(format!("there are {} tables [process.…], and a node may have {PROGRAMS_MAX}", programs.len()));
    }
    for (name, program) in programs {
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_name) {
            return Err(format!(
                "[process.{name}]: a name has up to {NAME_BYTES_MAX} small letters, digits and dashes"
            ));
        }
        match program.command.first() {
            None => {
                return Err(format!("[process.{name}] has no command: write it as in command = [\"/opt/trt-worker\"]"));
            }
            Some(command) if !Path::new(command).is_absolute() => {
                return Err(format!("[process.{name}]: the command {command} must be an absolute path"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> BTreeMap<String, Program> {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_program_has_a_name_and_a_command() {
        let whole = parsed("[trt-8]\ncommand = ['/opt/trt', '--fp16']\ndrives = ['gpu']\n");
        assert_eq!(check(&whole), Ok(()));
        assert!(whole["trt-8"].drives.contains(&Driven::Gpu));
        let wrong = |text: &str, word: &str| {
            let why = check(&parsed(text)).unwrap_err();
            assert!(why.contains(word), "{why}");
        };
        wrong("[TRT]\ncommand = ['/opt/trt']\n", "small letters");
        wrong("[trt]\ncommand = []\n", "no command");
        wrong("[trt]\ncommand = ['trt']\n", "absolute path");
        assert!(toml::from_str::<BTreeMap<String, Program>>("[trt]\ncommand = ['/t']\ndrives = ['fpga']\n").is_err());
    }
}
