//! Agents that are told of nobody find each other on a network, by mDNS.

use std::process::{Child, Stdio};

use skein_hil_tests::bed::{binary, clean, output, wait_for};
use skein_hil_tests::net::{self, Lan};

struct Agents(Vec<Child>);

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in &mut self.0 {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

#[test]
fn agents_on_one_network_become_one_mesh_unasked() {
    if !net::is_possible() {
        println!("skipped: network namespaces need root and `ip`");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let lan = Lan::new(3);
    let mut agents = Agents(Vec::new());
    for host in 1..=3 {
        let mut command = clean(lan.on(host, &binary()));
        command.args(["agent", "--listen", &format!("{}:7433", lan.address(host)), "--name", &format!("host-{host}")]);
        command.arg("--state-dir").arg(place.path().join(host.to_string())).arg("--end-with-parent");
        let log = std::fs::File::create(place.path().join(format!("{host}.log"))).unwrap();
        agents.0.push(command.stdout(Stdio::null()).stderr(log).spawn().expect("the agent starts"));
    }
    let status = |host: usize| {
        let mut command = clean(lan.on(host, &binary()));
        command.args(["--address", &format!("{}:7433", lan.address(host)), "node", "status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output(&mut command).stdout).unwrap_or_default()
    };
    let voters = |mesh: &serde_json::Value| {
        let nodes = mesh["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().filter(|node| node["seat"] == "leader" || node["seat"] == "voter").count()
    };
    let whole = wait_for(|| {
        let meshes: Vec<_> = (1..=3).map(status).collect();
        meshes.iter().all(|mesh| voters(mesh) == 3 && mesh["mesh"] == meshes[0]["mesh"])
    });
    let log = |host| std::fs::read_to_string(place.path().join(format!("{host}.log"))).unwrap_or_default();
    assert!(whole, "one mesh of three voters\n{}\n{}\n{}", log(1), log(2), log(3));
}
