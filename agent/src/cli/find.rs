//! Finds what a person means by a word: a node's name, its id, or the beginning of its id.

use anyhow::bail;

use crate::api::{Answer, DeviceStatus, MeshStatus, NodeStatus, Request};
use crate::client::Client;

/// How many nodes an error lists.
const LISTED_MAX: usize = 10;

/// The mesh as the agent knows it.
pub(crate) async fn mesh(client: &Client) -> anyhow::Result<MeshStatus> {
    match client.ask(Request::NodeStatus).await? {
        Answer::Nodes(mesh) => Ok(mesh),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// The node that is meant: by its name, else by its id or the beginning of that.
pub(crate) fn node<'mesh>(nodes: &'mesh [NodeStatus], text: &str) -> anyhow::Result<&'mesh NodeStatus> {
    let by_name: Vec<&NodeStatus> = nodes.iter().filter(|node| node.name == text).collect();
    let by_id = || nodes.iter().filter(|node| !text.is_empty() && node.node.to_string().starts_with(text)).collect();
    let found: Vec<&NodeStatus> = if by_name.is_empty() { by_id() } else { by_name };
    match found.as_slice() {
        [one] => Ok(one),
        [] => bail!("there is no node '{text}'; there are: {}", list(&nodes.iter().collect::<Vec<_>>())),
        several => bail!("'{text}' could be any of {}; name one by its id", list(several)),
    }
}

/// The device of a node that is meant.
pub(crate) fn device<'node>(node: &'node NodeStatus, name: &str) -> anyhow::Result<&'node DeviceStatus> {
    let found = node.devices.iter().find(|device| device.name == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = node.devices.iter().map(|device| device.name.as_str()).collect();
        anyhow::anyhow!("node {} has no device '{name}'; it has: {}", node.name, known.join(", "))
    })
}

fn list(nodes: &[&NodeStatus]) -> String {
    if nodes.is_empty() {
        return "none".into();
    }
    let named = nodes.iter().take(LISTED_MAX).map(|node| format!("{} ({})", node.name, node.node));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if nodes.len() > LISTED_MAX {
        text += &format!(" and {} more; `skein node status` lists them", nodes.len() - LISTED_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::node::tests::shown;

    #[test]
    fn a_node_is_found_by_name_id_or_the_beginning_of_its_id() {
        let nodes = [shown("alpha", 0xab00), shown("beta", 0xabff), shown("twin", 1), shown("twin", 2)];
        let found = |text: &str| node(&nodes, text).map(|node| node.node.0).map_err(|error| error.to_string());
        assert_eq!(found("alpha"), Ok(0xab00));
        assert_eq!(found("000000000000abf"), Ok(0xabff));
        assert_eq!(found("000000000000ab00"), Ok(0xab00));
        let unknown = found("gamma").unwrap_err();
        assert!(unknown.contains("no node 'gamma'") && unknown.contains("alpha (000000000000ab00)"), "{unknown}");
        let ambiguous = found("000000000000ab").unwrap_err();
        assert!(ambiguous.contains("alpha") && ambiguous.contains("beta"), "{ambiguous}");
        let twins = found("twin").unwrap_err();
        assert!(twins.contains("0000000000000001") && twins.contains("by its id"), "{twins}");
        assert!(found("").is_err());
    }

    #[test]
    fn a_device_that_is_not_there_is_named_with_those_that_are() {
        let node = shown("alpha", 1);
        assert_eq!(device(&node, "cpu").unwrap().name, "cpu");
        let error = device(&node, "gpu7").unwrap_err().to_string();
        assert!(error.contains("alpha") && error.contains("gpu7") && error.contains("cpu"), "{error}");
    }
}
