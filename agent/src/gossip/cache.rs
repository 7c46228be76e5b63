//! The file in which addresses of peers are kept for the next start: a multiaddress a line.

use std::io::ErrorKind;
use std::path::Path;

use libp2p::Multiaddr;

/// The largest file that is read, in bytes: many times what is ever written.
const BYTES_MAX: usize = 64 << 10;

/// The addresses in the file. It only saves time: what cannot be read is reported and left out.
pub(super) fn load(path: &Path) -> Vec<Multiaddr> {
    let text = match std::fs::read(path) {
        Ok(bytes) if bytes.len() <= BYTES_MAX => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(_) => {
            tracing::warn!("the peer cache {} is too large to be one; it is left out", path.display());
            return Vec::new();
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("cannot read the peer cache {}: {error}", path.display());
            return Vec::new();
        }
    };
    let parse = |line: &str| {
        let address = line.parse().ok();
        if address.is_none() {
            tracing::warn!("a line of the peer cache {} is no address; it is left out", path.display());
        }
        address
    };
    text.lines().filter_map(parse).collect()
}

/// Keeps these addresses; written beside and renamed, so that a reader sees the old or the new.
pub(super) fn save(path: &Path, addresses: &[Multiaddr]) {
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let beside = path.with_extension("new");
    let saved = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = saved {
        tracing::warn!("cannot write the peer cache {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_garbage_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        assert!(load(&path).is_empty());
        let addresses: Vec<Multiaddr> = vec!["/ip4/10.0.0.2/udp/7434/quic-v1".parse().unwrap()];
        save(&path, &addresses);
        assert_eq!(load(&path), addresses);
        std::fs::write(&path, b"\xff\xfe no address\n/ip4/10.0.0.2/udp/7434/quic-v1\n").unwrap();
        assert_eq!(load(&path), addresses);
    }
}
