//! Hosts of a test's own: network namespaces on a bridge. Needs root; dropping it removes all of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How every namespace's name begins; the id of the test's process follows.
const PREFIX: &str = "skein-hil-";

/// A bridge with hosts on it.
#[derive(Debug)]
pub struct Lan {
    /// Tells this one's names from those of others.
    tag: String,
    hosts: usize,
}

/// Whether namespaces can be made here; if not, a test that needs them says so and passes.
pub fn is_possible() -> bool {
    let tag = format!("{PREFIX}{}-try", std::process::id());
    let made = ip(&["netns", "add", &tag]);
    if made {
        ip(&["netns", "del", &tag]);
    }
    made
}

/// Whether what goes over a bridge can be filtered here.
pub fn can_filter() -> bool {
    let version = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

impl Lan {
    /// A bridge with so many hosts, at 10.87.0.1, 10.87.0.2 and so on. The bridge itself has a namespace, so that nothing of the
    /// machine's own network is touched.
    pub fn new(hosts: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let tag = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lan = Self { tag, hosts };
        let bridge = lan.bridge();
        assert!(ip(&["netns", "add", &bridge]), "a namespace can be made");
        must(&["-n", &bridge, "link", "add", "name", "hub", "type", "bridge"]);
        must(&["-n", &bridge, "link", "set", "hub", "up"]);
        for number in 1..=hosts {
            let (host, port) = (lan.host(number), port(number));
            must(&["netns", "add", &host]);
            must(&["-n", &host, "link", "set", "lo", "up"]);
            must(&[
                "-n", &bridge, "link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", &host,
            ]);
            must(&["-n", &bridge, "link", "set", &port, "master", "hub", "up"]);
            must(&["-n", &host, "addr", "add", &format!("{}/24", lan.address(number)), "dev", "eth0"]);
            must(&["-n", &host, "link", "set", "eth0", "up"]);
        }
        lan
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// The address of a host, counted from 1.
    pub fn address(&self, number: usize) -> String {
        format!("10.87.0.{number}")
    }

    /// A command that runs on a host.
    pub fn on(&self, number: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(number)]).arg(program);
        command
    }

    /// The file by which a host's namespace can be entered.
    pub fn namespace(&self, number: usize) -> std::path::PathBuf {
        Path::new("/run/netns").join(self.host(number))
    }

    /// Pulls a host's cable, or puts it back.
    pub fn set_link(&self, number: usize, up: bool) {
        let state = if up { "up" } else { "down" };
        must(&["-n", &self.bridge(), "link", "set", &port(number), state]);
    }

    /// Drops everything that hosts of the one group send to hosts of the other, until [`Lan::heal`].
    pub fn cut(&self, from: &[usize], to: &[usize]) {
        let set = |hosts: &[usize]| hosts.iter().map(|host| self.address(*host)).collect::<Vec<_>>().join(", ");
        self.filter(&format!("ip saddr {{ {} }} ip daddr {{ {} }} drop", set(from), set(to)));
    }

    /// The same both ways.
    pub fn part(&self, one: &[usize], other: &[usize]) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Drops so many of a hundred UDP datagrams between hosts, at random, until [`Lan::heal`].
    pub fn lose(&self, percent: u32) {
        self.filter(&format!("meta l4proto udp numgen random mod 100 < {percent} drop"));
    }

    /// Takes back all that was cut and dropped.
    pub fn heal(&self) {
        self.nft("flush chain bridge faults forward\n");
    }

    /// Lets a host receive no more than so much a second, as in `2mbit`.
    pub fn slow(&self, number: usize, rate: &str) {
        // Half a second's worth may wait: beyond that a bottleneck loses, as real ones do.
        let queue = ["root", "tbf", "rate", rate, "burst", "16kb", "latency", "500ms"];
        let arguments =
            [&["netns", "exec", &self.bridge(), "tc", "qdisc", "replace", "dev", &port(number)], &queue[..]];
        must(&arguments.concat());
    }

    fn filter(&self, rule: &str) {
        let hook = "type filter hook forward priority 0;";
        self.nft(&format!("table bridge faults {{\n chain forward {{\n {hook}\n {rule}\n }}\n}}\n"));
    }

    fn nft(&self, script: &str) {
        let mut command = Command::new("ip");
        let mut nft = command
            .args(["netns", "exec", &self.bridge(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft starts");
        nft.stdin.take().expect("its input is piped").write_all(script.as_bytes()).expect("nft reads");
        assert!(nft.wait().expect("nft ends").success(), "nft refused: {script}");
    }

    fn bridge(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn host(&self, number: usize) -> String {
        format!("{}-{number}", self.tag)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for number in 1..=self.hosts {
            ip(&["netns", "del", &self.host(number)]);
        }
        ip(&["netns", "del", &self.bridge()]);
    }
}

/// A host's end on the bridge.
fn port(number: usize) -> String {
    format!("p{number}")
}

/// Removes what tests left that were killed themselves: their agents have ended with them.
fn remove_leftovers() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            ip(&["netns", "del", &name]);
        }
    }
}

fn must(arguments: &[&str]) {
    assert!(ip(arguments), "ip {} failed", arguments.join(" "));
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
