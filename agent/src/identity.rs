//! Who this device is: one Ed25519 key, made on first start and kept in the state directory.
//!
//! The same key is the device's libp2p peer id, its TLS key, and, hashed, its node id.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use skein_core::NodeId;
use thiserror::Error;

/// The key's file in the state directory, PKCS #8 in PEM.
const FILE: &str = "identity.pem";
/// What stands before the 32 secret bytes in the PKCS #8 form of an Ed25519 key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the 32 public bytes in the `SubjectPublicKeyInfo` of an Ed25519 key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file cannot be read or made.
    #[error("cannot {action} the device key {path}: {source}; give --state-dir a directory this user may write to")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path} is not an Ed25519 key in PKCS #8 PEM; put the device's own key back, or remove the file to make the \
         device a new node"
    )]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// The system gave no randomness, or the key was refused by the TLS library.
    #[error("cannot make a device key: {0}")]
    Key(String),
}

/// A device's key, or a client's that lives as long as its process.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
    public: [u8; 32],
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for Identity {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node", &self.node()).finish_non_exhaustive()
    }
}

impl Identity {
    /// The key in the state directory, made there on first start, readable by its owner alone.
    pub fn load_or_create(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let not_a_key = || IdentityError::NotAKey { path: path.clone() };
                let key = KeyPair::from_pem(&text).map_err(|_| not_a_key())?;
                let der = key.serialize_der();
                // Both versions of PKCS #8 hold the secret right behind the inner octet string's header.
                let start = der.windows(4).position(|window| window == [0x04, 0x22, 0x04, 0x20]).map(|at| at + 4);
                let seed = start.and_then(|start| der.get(start..start + 32)).ok_or_else(not_a_key)?;
                Self::from_seed(seed.try_into().map_err(|_| not_a_key())?)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let identity = Self::ephemeral()?;
                identity.save(&path).map_err(|source| IdentityError::File { action: "write", path, source })?;
                Ok(identity)
            }
            Err(source) => Err(IdentityError::File { action: "read", path, source }),
        }
    }

    /// A new key that is kept nowhere.
    pub fn ephemeral() -> Result<Self, IdentityError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| IdentityError::Key(error.to_string()))?;
        Self::from_seed(seed)
    }

    fn from_seed(seed: [u8; 32]) -> Result<Self, IdentityError> {
        let refused = |error: rcgen::Error| IdentityError::Key(error.to_string());
        let key = PrivatePkcs8KeyDer::from([PKCS8_PREFIX.as_slice(), &seed].concat());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).map_err(refused)?;
        let public =
            key.der_bytes().try_into().map_err(|_| IdentityError::Key("its public half is too long".into()))?;
        let certificate = CertificateParams::new(vec!["skein".into()]).and_then(|params| params.self_signed(&key));
        Ok(Self { seed, public, certificate: certificate.map_err(refused)?.der().clone() })
    }

    /// Written beside and renamed, so that a power cut leaves a whole key or none.
    fn save(&self, path: &Path) -> std::io::Result<()> {
        let der = PrivatePkcs8KeyDer::from([PKCS8_PREFIX.as_slice(), &self.seed].concat());
        let pem = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).map_err(std::io::Error::other)?;
        let beside = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(pem.serialize_pem().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }

    /// The node this key makes.
    pub fn node(&self) -> NodeId {
        node_id_of_key(&self.public)
    }

    /// The secret, for libp2p.
    pub fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// The self-signed certificate that carries the public key in TLS.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The secret, for TLS.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from([PKCS8_PREFIX.as_slice(), &self.seed].concat()))
    }
}

/// The node that a device key makes: the first eight bytes of its SHA-256.
pub fn node_id_of_key(public: &[u8; 32]) -> NodeId {
    let digest = Sha256::digest(public);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    NodeId(u64::from_be_bytes(first))
}

/// The node whose key a TLS certificate carries; none where it is no Ed25519 certificate.
pub fn node_id_of_certificate(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let info = certificate.subject_public_key_info();
    let key = info.strip_prefix(SPKI_PREFIX.as_slice())?;
    Some(node_id_of_key(key.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(directory.path()).unwrap();
        let second = Identity::load_or_create(directory.path()).unwrap();
        assert_eq!(first.node(), second.node());
        let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_certificate_names_the_node() {
        let identity = Identity::ephemeral().unwrap();
        assert_eq!(node_id_of_certificate(&identity.certificate()), Some(identity.node()));
        assert_eq!(node_id_of_certificate(&CertificateDer::from(b"no certificate".to_vec())), None);
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "no key").unwrap();
        let error = Identity::load_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::NotAKey { .. }), "{error}");
    }
}
