//! Models as the mesh knows them: a name, a version, and files named by what is in them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest manifest, in bytes: a page of settings, not data.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024;
/// The largest file of a model, in bytes: what the smallest boards we know could still hold in memory.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// The longest model name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// SHA-256 of a file's content: its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a digest has 64 hexadecimal digits";
        let digits = text.as_bytes();
        if digits.len() != 64 || !text.is_ascii() {
            return Err(wrong);
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A file that the mesh holds, by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blob {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// What a model consists of. The manifest says what goes in and what comes out; only the targets read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// What people call it.
    pub name: String,
    /// The graph and its weights.
    pub file: Blob,
    /// The names of its classes, where it has some.
    pub labels: Option<Blob>,
    /// The manifest, in TOML.
    pub manifest: String,
}

impl ModelSpec {
    /// Every file of the model.
    pub fn blobs(&self) -> Vec<Blob> {
        let mut blobs = Vec::from([self.file]);
        blobs.extend(self.labels);
        blobs
    }

    /// Whether a file of this content belongs to it.
    pub fn holds(&self, digest: Digest) -> bool {
        self.blobs().iter().any(|blob| blob.digest == digest)
    }
}

/// One version of one named model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// The model's name.
    pub name: String,
    /// Counted from 1; new content under an old name is a new version.
    pub version: u32,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A model as a person names it: `name` for the newest version, `name@3` for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelQuery {
    /// The model's name.
    pub name: String,
    /// The version, or the newest where none is given.
    pub version: Option<u32>,
}

impl FromStr for ModelQuery {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                (name, Some(version.parse().map_err(|_| "the version after '@' must be a number, as in cats@2")?))
            }
        };
        if !is_name(name) {
            return Err(NAME_RULE);
        }
        Ok(Self { name: name.into(), version })
    }
}

impl fmt::Display for ModelQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            None => f.write_str(&self.name),
            Some(version) => write!(f, "{}@{version}", self.name),
        }
    }
}

/// What [`is_name`] asks for, in words.
pub const NAME_RULE: &str =
    "a name has 1 to 64 letters, digits, dots, dashes or underscores, and starts with a letter or digit";

/// Whether a text may name a model or a session.
pub fn is_name(text: &str) -> bool {
    let starts_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    starts_well
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}
