//! Hosts of a test's own: network namespaces on a bridge. Needs root; dropping it removes all of it.

use std::process::{Command, Stdio};

/// A bridge with hosts on it.
#[derive(Debug)]
pub struct Lan {
    /// Tells this run's names from those of others.
    tag: String,
    hosts: usize,
}

/// Whether namespaces can be made here; if not, a test that needs them says so and passes.
pub fn is_possible() -> bool {
    let tag = format!("skp{}", std::process::id() % 100_000);
    let made = ip(&["netns", "add", &tag]);
    if made {
        ip(&["netns", "del", &tag]);
    }
    made
}

impl Lan {
    /// A bridge with so many hosts, at 10.87.0.1, 10.87.0.2 and so on. The bridge itself has a namespace, so that nothing of the
    /// machine's own network is touched.
    pub fn new(hosts: usize) -> Self {
        let lan = Self { tag: format!("sk{}", std::process::id() % 100_000), hosts };
        let bridge = lan.bridge();
        assert!(ip(&["netns", "add", &bridge]), "a namespace can be made");
        must(&["-n", &bridge, "link", "add", "name", "hub", "type", "bridge"]);
        must(&["-n", &bridge, "link", "set", "hub", "up"]);
        for number in 1..=hosts {
            let (host, port) = (lan.host(number), format!("p{number}"));
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

    /// The address of a host, counted from 1.
    pub fn address(&self, number: usize) -> String {
        format!("10.87.0.{number}")
    }

    /// A command that runs on a host.
    pub fn on(&self, number: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(number)]).arg(program);
        command
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.tag)
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

fn must(arguments: &[&str]) {
    assert!(ip(arguments), "ip {} failed", arguments.join(" "));
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
