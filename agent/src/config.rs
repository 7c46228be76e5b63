//! Settings of an agent: flags, `SKEIN_*` variables and a TOML file, in that order of strength, over built-in defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use skein_core::capability::TEXT_BYTES_MAX;
use skein_core::liveness::Patience;
use skein_core::resources::{AMOUNT_MAX, NAMED_MAX};
use skein_core::{Millis, Resources};
use thiserror::Error;

use crate::island::waiting::BYTES_MAX_DEFAULT;

pub use programs::{Driven, Program};
pub use size::Size;

mod programs;
mod size;

/// The UDP port for `skein/1`; gossip takes the next one.
pub const PORT: u16 = 7433;
/// Where an agent listens unless it is told otherwise. Nothing keeps strangers out yet, so nothing beyond this machine
/// is let in unasked.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), PORT);
/// The least silence before a node's work is given to others: two lost beats, and a little more, are no loss of a node even on
/// a link that never lost any.
const DOWN_AFTER: Duration = Duration::from_millis(500);
/// The silence that counts as a loss on the worst of links: whoever waits for a result has waited long enough.
const DOWN_AFTER_MAX: Duration = Duration::from_secs(3);
/// How long a node must be heard again: a few beats on end, and not the last ones of a dying node.
const UP_AFTER: Duration = Duration::from_millis(500);
/// How often an agent tells the leader that it is there.
const BEAT_EVERY: Duration = Duration::from_millis(150);
/// More than caches and heaps of a network come to take in use, and little enough on a board with 2 GiB.
const WORKER_GROWTH: u64 = 256 << 20;
/// Where the settings file is looked for.
const FILES: [&str; 2] = ["skein.toml", "/etc/skein/skein.toml"];
/// The largest settings file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the settings are of no use.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that is no setting.
    #[error("the settings file {path} is wrong: {message}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// What a person may set; the same names as flags, as variables and in the file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Directory for identity, log and models [default: /var/lib/skein for root, else ~/.local/state/skein]
    #[arg(long, env = "SKEIN_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// UDP address for everything between nodes and clients [default: 127.0.0.1:7433]
    #[arg(long, env = "SKEIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// UDP address for gossip [default: the next port after --listen]
    #[arg(long, env = "SKEIN_GOSSIP_LISTEN", value_name = "ADDRESS:PORT")]
    pub gossip_listen: Option<SocketAddr>,
    /// Address that other nodes reach this one at [default: the one it listens on, or finds by itself]
    #[arg(long, env = "SKEIN_ADVERTISE", value_name = "ADDRESS:PORT")]
    pub advertise: Option<SocketAddr>,
    /// Agent of the mesh to join; may be given several times [default: none: found a mesh, or find one by mDNS]
    #[arg(long, env = "SKEIN_PEER", value_name = "ADDRESS:PORT", value_delimiter = ',')]
    pub peer: Option<Vec<SocketAddr>>,
    /// Name of this node, for people [default: the host's name]
    #[arg(long, env = "SKEIN_NAME")]
    pub name: Option<String>,
    /// What to say of this node, as in zone=hall-2; may be given several times
    #[arg(long, env = "SKEIN_LABEL", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub label: Option<Vec<String>>,
    /// Look for other agents by mDNS [default: true, except on loopback]
    #[arg(long, env = "SKEIN_MDNS", value_name = "true|false")]
    pub mdns: Option<bool>,
    /// The least silence for which a node counts as down, however regular its link [default: 500ms]
    #[arg(long, env = "SKEIN_DOWN_AFTER", value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    pub down_after: Option<Duration>,
    /// The silence for which a node counts as down, however irregular its link [default: 3s, and no less than --down-after]
    #[arg(long, env = "SKEIN_DOWN_AFTER_MAX", value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    pub down_after_max: Option<Duration>,
    /// How long a node that was down must be heard again without a break before it gets work; doubled for one that flaps [default: 500ms]
    #[arg(long, env = "SKEIN_UP_AFTER", value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    pub up_after: Option<Duration>,
    /// How often an agent tells the leader that it is there [default: 150ms]
    #[arg(long, env = "SKEIN_BEAT_EVERY", value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    pub beat_every: Option<Duration>,
    /// The most of the processor that this node offers to workers, in thousandths of a core [default: all of it]
    #[arg(long, env = "SKEIN_OFFER_CPU", value_name = "MILLICORES")]
    pub offer_cpu: Option<u64>,
    /// The most memory that this node offers to workers, in MiB or with a unit, as in 2GiB [default: nine tenths of it]
    #[arg(long, env = "SKEIN_OFFER_MEMORY", value_name = "MIB")]
    pub offer_memory: Option<Size>,
    /// Named thing that this node offers to workers, and how many, as in camera=2; may be given several times
    #[arg(long, env = "SKEIN_OFFER", value_name = "NAME=COUNT", value_delimiter = ',')]
    pub offer: Option<Vec<String>>,
    /// Whether each worker gets processor cores of its own; not where several agents share a machine [default: true]
    #[arg(long, env = "SKEIN_BIND_CORES", value_name = "true|false")]
    pub bind_cores: Option<bool>,
    /// By how much a worker may come to take more memory than it took at first, before it is started anew, in MiB or with a unit [default: 256MiB]
    #[arg(long, env = "SKEIN_WORKER_GROWTH", value_name = "MIB")]
    pub worker_growth: Option<Size>,
    /// What this node keeps on disk for the mesh while it is cut off, in MiB or with a unit [default: 64MiB]
    #[arg(long, env = "SKEIN_ISLAND_STORE", value_name = "MIB")]
    pub island_store: Option<Size>,
    /// Libraries of runtimes that are not in this binary
    #[command(flatten)]
    pub runtimes: Libraries,
    /// Programs that run models here, by name.
    #[arg(skip)]
    pub process: BTreeMap<String, Program>,
}

/// Where the libraries of runtimes lie: files, or folders that hold them. In the settings file, the table `[runtimes]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Libraries {
    /// ONNX Runtime's library, or its folder [default: `libonnxruntime.so` where libraries usually lie]
    #[arg(long, env = "SKEIN_ONNXRUNTIME", value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// OpenVINO's library for C, or its folder [default: `libopenvino_c.so` where libraries usually lie]
    #[arg(long, env = "SKEIN_OPENVINO", value_name = "PATH")]
    pub openvino: Option<PathBuf>,
}

/// The settings an agent runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// See [`Settings::state_dir`].
    pub state_dir: PathBuf,
    /// See [`Settings::listen`].
    pub listen: SocketAddr,
    /// See [`Settings::gossip_listen`].
    pub gossip_listen: SocketAddr,
    /// See [`Settings::advertise`].
    pub advertise: Option<SocketAddr>,
    /// See [`Settings::peer`].
    pub peers: Vec<SocketAddr>,
    /// See [`Settings::name`].
    pub name: String,
    /// See [`Settings::label`].
    pub labels: BTreeMap<String, String>,
    /// See [`Settings::mdns`].
    pub mdns: bool,
    /// See [`Settings::down_after`].
    pub down_after: Duration,
    /// See [`Settings::down_after_max`].
    pub down_after_max: Duration,
    /// See [`Settings::up_after`].
    pub up_after: Duration,
    /// See [`Settings::beat_every`].
    pub beat_every: Duration,
    /// What this node offers at most; see [`Settings::offer_cpu`].
    pub offer_max: OfferMax,
    /// See [`Settings::bind_cores`].
    pub bind_cores: bool,
    /// See [`Settings::worker_growth`]; in bytes.
    pub worker_growth: u64,
    /// What may wait on disk while the node is cut off, in bytes.
    pub island_store: u64,
    /// See [`Settings::runtimes`].
    pub runtimes: Libraries,
    /// See [`Settings::process`].
    pub programs: BTreeMap<String, Program>,
    /// Where the machine's `/proc`, `/sys` and the rest are.
    pub root: PathBuf,
}

/// What a node offers, by its operator's word: of what the machine has, at most so much, with no limit but the machine's own where
/// nothing is said; and things that only the operator knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferMax {
    /// In thousandths of a core.
    pub cpu_millicores: Option<u64>,
    /// In bytes.
    pub memory_bytes: Option<u64>,
    /// Cameras, licences: all there are, by name.
    pub named: BTreeMap<String, u64>,
}

impl OfferMax {
    /// What is left of an offer.
    #[must_use]
    pub fn limit(&self, offers: &Resources) -> Resources {
        let cpu = offers.cpu_millicores;
        let memory = offers.memory_bytes;
        Resources {
            cpu_millicores: self.cpu_millicores.map_or(cpu, |most| most.min(cpu)),
            memory_bytes: self.memory_bytes.map_or(memory, |most| most.min(memory)),
            named: self.named.clone(),
            ..offers.clone()
        }
    }
}

impl Config {
    /// How patient this node is with others.
    pub fn patience(&self) -> Patience {
        let millis = |length: Duration| Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        Patience {
            beat_every: millis(self.beat_every),
            down_after: millis(self.down_after),
            down_after_max: millis(self.down_after_max),
            up_after: millis(self.up_after),
        }
    }
}

impl Settings {
    /// These settings (flags and variables) over those of the file, over the defaults. `file` is the one that a person
    /// named, which must be there; the usual ones may be missing.
    pub fn resolve(self, file: Option<&Path>) -> Result<Config, ConfigError> {
        let from_file = match file {
            Some(path) => read(path)?,
            None => match FILES.iter().map(Path::new).find(|path| path.exists()) {
                Some(path) => read(path)?,
                None => Self::default(),
            },
        };
        self.over(from_file).config()
    }

    fn over(self, weaker: Self) -> Self {
        Self {
            state_dir: self.state_dir.or(weaker.state_dir),
            listen: self.listen.or(weaker.listen),
            gossip_listen: self.gossip_listen.or(weaker.gossip_listen),
            advertise: self.advertise.or(weaker.advertise),
            peer: self.peer.or(weaker.peer),
            name: self.name.or(weaker.name),
            label: self.label.or(weaker.label),
            mdns: self.mdns.or(weaker.mdns),
            down_after: self.down_after.or(weaker.down_after),
            down_after_max: self.down_after_max.or(weaker.down_after_max),
            up_after: self.up_after.or(weaker.up_after),
            beat_every: self.beat_every.or(weaker.beat_every),
            offer_cpu: self.offer_cpu.or(weaker.offer_cpu),
            offer_memory: self.offer_memory.or(weaker.offer_memory),
            offer: self.offer.or(weaker.offer),
            bind_cores: self.bind_cores.or(weaker.bind_cores),
            worker_growth: self.worker_growth.or(weaker.worker_growth),
            island_store: self.island_store.or(weaker.island_store),
            runtimes: Libraries {
                onnxruntime: self.runtimes.onnxruntime.or(weaker.runtimes.onnxruntime),
                openvino: self.runtimes.openvino.or(weaker.runtimes.openvino),
            },
            process: if self.process.is_empty() { weaker.process } else { self.process },
        }
    }

    fn config(self) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or(LISTEN);
        let down_after = self.down_after.unwrap_or(DOWN_AFTER);
        let beat_every = self.beat_every.unwrap_or(BEAT_EVERY);
        if beat_every.is_zero() || down_after < beat_every * 3 {
            let (down_after, beat_every) =
                (humantime::format_duration(down_after), humantime::format_duration(beat_every));
            return Err(ConfigError::Invalid(format!(
                "down-after ({down_after}) must be at least three times beat-every ({beat_every}), or a single lost \
                 packet takes a node out"
            )));
        }
        let down_after_max = self.down_after_max.unwrap_or(DOWN_AFTER_MAX.max(down_after));
        if down_after_max < down_after {
            let (most, least) = (humantime::format_duration(down_after_max), humantime::format_duration(down_after));
            return Err(ConfigError::Invalid(format!(
                "down-after-max ({most}) must be at least down-after ({least}): they are the bounds of one time"
            )));
        }
        programs::check(&self.process).map_err(ConfigError::Invalid)?;
        Ok(Config {
            state_dir: self.state_dir.unwrap_or_else(default_state_dir),
            listen,
            gossip_listen: self.gossip_listen.unwrap_or_else(|| next_port(listen)),
            advertise: self.advertise,
            peers: self.peer.unwrap_or_default(),
            name: self.name.unwrap_or_else(host_name),
            labels: parse_labels(&self.label.unwrap_or_default())?,
            mdns: self.mdns.unwrap_or(!listen.ip().is_loopback()),
            down_after,
            down_after_max,
            up_after: self.up_after.unwrap_or(UP_AFTER),
            beat_every,
            offer_max: OfferMax {
                cpu_millicores: self.offer_cpu,
                memory_bytes: self.offer_memory.map(|size| size.bytes),
                named: parse_named(&self.offer.unwrap_or_default())?,
            },
            bind_cores: self.bind_cores.unwrap_or(true),
            worker_growth: self.worker_growth.map_or(WORKER_GROWTH, |size| size.bytes),
            island_store: self.island_store.map_or(BYTES_MAX_DEFAULT, |size| size.bytes),
            runtimes: self.runtimes,
            programs: self.process,
            root: "/".into(),
        })
    }
}

fn read(path: &Path) -> Result<Settings, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let wrong = |message| ConfigError::Parse { path: path.to_owned(), message };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(wrong("it is larger than 1 MiB, which no settings are".into()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Port 0 (any) stays 0.
fn next_port(listen: SocketAddr) -> SocketAddr {
    let port = if listen.port() == 0 { 0 } else { listen.port().wrapping_add(1) };
    SocketAddr::new(listen.ip(), port)
}

fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/skein");
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    state.or_else(home).unwrap_or_else(std::env::temp_dir).join("skein")
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Each name once: two counts of one name would be a mistake, and which of them is meant is not ours to guess.
fn parse_named(offers: &[String]) -> Result<BTreeMap<String, u64>, ConfigError> {
    let mut named = BTreeMap::new();
    for offer in offers {
        let parsed = offer.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u64>().ok()?)));
        let Some((name, count)) = parsed.filter(|(name, count)| !name.is_empty() && *count > 0) else {
            let why = format!("the offer '{offer}' is not NAME=COUNT with a count from 1 on, as in camera=2");
            return Err(ConfigError::Invalid(why));
        };
        if named.insert(name.to_owned(), count).is_some() {
            return Err(ConfigError::Invalid(format!("'{name}' is offered twice; say once how many there are")));
        }
    }
    let offers = Resources { named, ..Resources::default() };
    if !offers.within_bounds() {
        let why = format!(
            "too much is offered: at most {NAMED_MAX} names of {TEXT_BYTES_MAX} bytes each, and {AMOUNT_MAX} of each"
        );
        return Err(ConfigError::Invalid(why));
    }
    Ok(offers.named)
}

fn parse_labels(labels: &[String]) -> Result<BTreeMap<String, String>, ConfigError> {
    let parse = |label: &String| match label.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ConfigError::Invalid(format!("the label '{label}' is not KEY=VALUE, as in zone=hall-2"))),
    };
    labels.iter().map(parse).collect()
}

fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_the_file_than_defaults() {
        let file = file("name = 'from-file'\nlisten = '127.0.0.1:9000'\ndown-after = '3s'\n");
        let flags = Settings { name: Some("from-flag".into()), ..Settings::default() };
        let config = flags.resolve(Some(file.path())).unwrap();
        assert_eq!(config.name, "from-flag");
        assert_eq!(config.listen, "127.0.0.1:9000".parse().unwrap());
        assert_eq!(config.gossip_listen, "127.0.0.1:9001".parse().unwrap());
        assert_eq!(config.down_after, Duration::from_secs(3));
        assert_eq!(config.down_after_max, DOWN_AFTER_MAX);
        assert_eq!(config.beat_every, BEAT_EVERY);
        assert!(!config.mdns);
    }

    #[test]
    fn libraries_of_runtimes_have_a_table_of_their_own() {
        let file = file("name = 'x'\n[runtimes]\nonnxruntime = '/opt/a'\nopenvino = '/opt/b'\n");
        let stated = Libraries { onnxruntime: Some("/flag".into()), openvino: None };
        let config = Settings { runtimes: stated, ..Settings::default() }.resolve(Some(file.path())).unwrap();
        let expected = Libraries { onnxruntime: Some("/flag".into()), openvino: Some("/opt/b".into()) };
        assert_eq!(config.runtimes, expected);
    }

    #[test]
    fn a_wrong_file_says_where() {
        let file = file("nmae = 'x'\n");
        let error = Settings::default().resolve(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("nmae") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn settings_that_would_flap_are_refused() {
        let settings = Settings { down_after: Some(Duration::from_millis(200)), ..Settings::default() };
        assert!(settings.config().unwrap_err().to_string().contains("three times"));
        let settings = Settings { down_after_max: Some(Duration::from_millis(400)), ..Settings::default() };
        assert!(settings.config().unwrap_err().to_string().contains("at least down-after (500ms)"));
        let settings = Settings { down_after: Some(Duration::from_secs(5)), ..Settings::default() };
        assert_eq!(
            settings.config().unwrap().down_after_max,
            Duration::from_secs(5),
            "whoever is that patient means it"
        );
        let settings = Settings { label: Some(vec!["zone".into()]), ..Settings::default() };
        assert!(settings.config().unwrap_err().to_string().contains("KEY=VALUE"));
    }

    #[test]
    fn an_operator_may_offer_less_than_there_is() {
        let file = file("offer-cpu = 500\noffer-memory = '1GiB'\n");
        let flags = Settings { offer_cpu: Some(1500), ..Settings::default() };
        let most = flags.resolve(Some(file.path())).unwrap().offer_max;
        let offers = Resources { cpu_millicores: 2000, memory_bytes: 1 << 20, gpu_milli: 7, ..Resources::default() };
        let limited = most.limit(&offers);
        assert_eq!((limited.cpu_millicores, limited.memory_bytes, limited.gpu_milli), (1500, 1 << 20, 7));
        assert_eq!(OfferMax::default().limit(&offers), offers);
    }

    #[test]
    fn things_that_only_the_operator_knows_of_are_offered_by_name() {
        let offer = |words: &[&str]| {
            let offer = Some(words.iter().map(|word| (*word).to_owned()).collect());
            Settings { offer, ..Settings::default() }.config()
        };
        let most = offer(&["camera=2", "licence=1"]).unwrap().offer_max;
        let named = BTreeMap::from([("camera".to_owned(), 2), ("licence".to_owned(), 1)]);
        assert_eq!(most.limit(&Resources::default()), Resources { named, ..Resources::default() });
        for wrong in ["camera", "camera=", "camera=0", "=2", "camera=-1", "camera=two"] {
            let error = offer(&[wrong]).unwrap_err().to_string();
            assert!(error.contains("NAME=COUNT"), "{error}");
        }
        assert!(offer(&["camera=1", "camera=2"]).unwrap_err().to_string().contains("twice"));
        assert!(offer(&[&format!("camera={}", u64::MAX)]).unwrap_err().to_string().contains("too much"));
        let file = file("offer = ['camera=3']\n");
        let most = Settings::default().resolve(Some(file.path())).unwrap().offer_max;
        assert_eq!(most.named["camera"], 3);
    }
}
