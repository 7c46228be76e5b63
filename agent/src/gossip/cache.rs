//! The file in which addresses of peers are kept for the next start: a multiaddress a line.

use std::io::{ErrorKind, Read};
use std::path::Path;

use libp2p::Multiaddr;

/// The largest file that is read, in bytes: many times what is ever written.
const BYTES_MAX: u64 = 64 << 10;
/// Addresses to remember for the next start.
pub(super) const ADDRESSES_MAX: usize = 64;

/// The addresses in the file. It only saves time: what cannot be read is reported and left out.
pub(super) fn load(path: &Path) -> Vec<Multiaddr> {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("cannot read the peer cache {}: {error}; it is left out", path.display());
            return Vec::new();
        }
    };
    let lines = text.lines().filter(|line| !line.is_empty()).count();
    let addresses: Vec<Multiaddr> = text.lines().filter_map(|line| line.parse().ok()).filter(is_some_place).collect();
    // One word for all of them: a file of garbage has thousands.
    if addresses.len() < lines {
        let bad = lines - addresses.len();
        tracing::warn!(
            "{bad} of {lines} lines of the peer cache {} are no addresses; they are left out",
            path.display()
        );
    }
    addresses.into_iter().take(ADDRESSES_MAX).collect()
}

/// Keeps these addresses; written beside and renamed, so that a reader sees the old or the new.
pub(super) fn save(path: &Path, addresses: &[Multiaddr]) {
    let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let text = lines.join("\n") + "\n";
    let beside = path.with_extension("new");
    let saved = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = saved {
        tracing::warn!("cannot write the peer cache {}: {error}", path.display());
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other("it is too large to be one"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The empty text parses as the address of nothing.
fn is_some_place(address: &Multiaddr) -> bool {
    !address.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> Multiaddr {
        format!("/ip4/10.0.0.{number}/udp/7434/quic-v1").parse().unwrap()
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        assert!(load(&path).is_empty());
        save(&path, &[address(2), address(3)]);
        assert_eq!(load(&path), [address(2), address(3)]);
        save(&path, &[address(4)]);
        assert_eq!(load(&path), [address(4)]);
    }

    #[test]
    fn garbage_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        std::fs::write(&path, b"\xff\xfe no address\n\n/ip4/10.0.0.2/udp/7434/quic-v1\n").unwrap();
        assert_eq!(load(&path), [address(2)]);
        // What a power cut may leave behind.
        std::fs::write(&path, [0; 4096]).unwrap();
        assert!(load(&path).is_empty());
        std::fs::write(&path, vec![b'\n'; 100 << 10]).unwrap();
        assert!(load(&path).is_empty(), "too large");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(load(&path).is_empty(), "a directory");
        save(&path, &[address(2)]);
    }

    #[test]
    fn no_more_than_the_bound_is_loaded() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        save(&path, &(0..200).map(address).collect::<Vec<_>>());
        assert_eq!(load(&path).len(), ADDRESSES_MAX);
    }
}
