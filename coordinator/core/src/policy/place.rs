//! A place as a policy sees it.

use crate::capability::Device;
use crate::resources::Resources;
use crate::state::Node;

/// One device of one node, with what is left there.
#[derive(Debug)]
pub struct Place<'state> {
    /// The node.
    pub node: &'state Node,
    /// The device.
    pub device: &'state Device,
    /// What the node has left, but for what is only kept warm.
    pub node_room: &'state Resources,
    /// What the device has left, but for what is only kept warm.
    pub device_room: &'state Resources,
}
