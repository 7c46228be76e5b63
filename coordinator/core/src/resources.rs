//! What work needs and machines offer.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::TEXT_BYTES_MAX;

/// The most of one dimension that anybody may ask for or offer: far above any machine, and low enough that a sum over
/// every worker of a mesh cannot overflow.
pub const AMOUNT_MAX: u64 = 1 << 42;
/// Thousandths of a whole GPU or stick.
pub const GPU_WHOLE: u64 = 1_000;
/// The most kinds of named things in one vector.
pub const NAMED_MAX: usize = 16;
/// Shares are counted in millionths.
pub const WHOLE: u64 = 1_000_000;

/// A vector of resources: what a worker needs, or what a node or device offers. A worker fits only where every dimension
/// fits: processor, memory and named things on one node, those of the GPU on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Thousandths of one core.
    pub cpu_millicores: u64,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// Thousandths of one GPU or stick.
    pub gpu_milli: u64,
    /// Bytes of GPU memory.
    pub gpu_memory_bytes: u64,
    /// Things that are counted and have a name: cameras, licences.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

/// One dimension of [`Resources`], to say which one ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dimension {
    /// [`Resources::cpu_millicores`]
    Cpu,
    /// [`Resources::memory_bytes`]
    Memory,
    /// [`Resources::gpu_milli`]
    Gpu,
    /// [`Resources::gpu_memory_bytes`]
    GpuMemory,
    /// One of [`Resources::named`].
    Named(String),
}

impl Resources {
    /// Whether this fits in a room, in every dimension.
    pub fn fits(&self, room: &Self) -> bool {
        self.fits_node(room) && self.fits_device(room)
    }

    /// Whether the part of this that its node gives fits in what the node has.
    pub fn fits_node(&self, node: &Self) -> bool {
        self.cpu_millicores <= node.cpu_millicores
            && self.memory_bytes <= node.memory_bytes
            && self.named.iter().all(|(name, need)| *need <= node.of_name(name))
    }

    /// Whether the part of this that its device gives fits in what the device has.
    pub fn fits_device(&self, device: &Self) -> bool {
        self.gpu_milli <= device.gpu_milli && self.gpu_memory_bytes <= device.gpu_memory_bytes
    }

    /// How often the part of this that a node gives fits in what the node offers.
    pub fn count_on_node(&self, node: &Self) -> u64 {
        let counted = [(self.cpu_millicores, node.cpu_millicores), (self.memory_bytes, node.memory_bytes)];
        let named = self.named.iter().map(|(name, need)| (*need, node.of_name(name)));
        count(counted.into_iter().chain(named))
    }

    /// How often the part of this that a device gives fits in what the device offers.
    pub fn count_on_device(&self, device: &Self) -> u64 {
        let counted = [(self.gpu_milli, device.gpu_milli), (self.gpu_memory_bytes, device.gpu_memory_bytes)];
        count(counted.into_iter())
    }

    /// For how many times a need this makes room, rounded up: in the dimension in which it does for fewest, of those in which
    /// it does for any.
    pub(crate) fn makes_room_for(&self, need: &Self) -> u64 {
        let counted = self.counted().into_iter().zip(need.counted());
        let named = self.named.iter().map(|(name, amount)| (*amount, need.of_name(name)));
        let needed = counted.chain(named).filter(|(amount, need)| *amount > 0 && *need > 0);
        needed.map(|(amount, need)| amount.div_ceil(need)).min().unwrap_or(0)
    }

    /// Whether this is nothing of anything.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The first dimension in which this is more than `room`, with both numbers; none where it fits.
    pub fn first_excess(&self, room: &Self) -> Option<(Dimension, u64, u64)> {
        let [cpu, memory, gpu, gpu_memory] = self.counted();
        let [cpu_left, memory_left, gpu_left, gpu_memory_left] = room.counted();
        let counted = [
            (Dimension::Cpu, cpu, cpu_left),
            (Dimension::Memory, memory, memory_left),
            (Dimension::Gpu, gpu, gpu_left),
            (Dimension::GpuMemory, gpu_memory, gpu_memory_left),
        ];
        let counted = counted.into_iter().find(|(_, need, left)| need > left);
        counted.or_else(|| {
            let (name, need) = self.named.iter().find(|(name, need)| **need > room.of_name(name))?;
            Some((Dimension::Named(name.clone()), *need, room.of_name(name)))
        })
    }

    /// The room of a place: what its node has left, with the GPU of the device alone.
    #[must_use]
    pub fn at(&self, device: &Self) -> Self {
        Self { gpu_milli: device.gpu_milli, gpu_memory_bytes: device.gpu_memory_bytes, ..self.clone() }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }

    /// What is left of this without `other`; zero where `other` is more.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// The larger of both in each dimension.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.joined(other, u64::max)
    }

    /// The smaller of both in each dimension.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        self.joined(other, u64::min)
    }

    /// Takes `other` in.
    pub fn add(&mut self, other: &Self) {
        self.change(other, u64::saturating_add);
    }

    /// Gives `other` away, down to zero.
    pub fn subtract(&mut self, other: &Self) {
        self.change(other, u64::saturating_sub);
    }

    /// The largest part that this is of a whole in any dimension, in millionths: the dominant share of
    /// dominant-resource fairness (Ghodsi et al., NSDI 2011). What the whole has nothing of does not count.
    pub fn dominant_share(&self, whole: &Self) -> u64 {
        let part = |amount: u64, of: u64| {
            let millionths = (u128::from(amount) * u128::from(WHOLE)).checked_div(u128::from(of)).unwrap_or(0);
            u64::try_from(millionths).unwrap_or(u64::MAX)
        };
        let counted = self.counted().into_iter().zip(whole.counted()).map(|(amount, of)| part(amount, of));
        let named = self.named.iter().map(|(name, amount)| part(*amount, whole.of_name(name)));
        counted.chain(named).max().unwrap_or(0)
    }

    /// How much there is of a named thing.
    pub fn of_name(&self, name: &str) -> u64 {
        self.named.get(name).copied().unwrap_or(0)
    }

    /// Whether every amount and name is within its bound; what comes from outside is checked before it is kept.
    pub fn within_bounds(&self) -> bool {
        let mut amounts = self.counted().into_iter().chain(self.named.values().copied());
        let names_are_short = self.named.keys().all(|name| !name.is_empty() && name.len() <= TEXT_BYTES_MAX);
        amounts.all(|amount| amount <= AMOUNT_MAX) && self.named.len() <= NAMED_MAX && names_are_short
    }

    fn counted(&self) -> [u64; 4] {
        [self.cpu_millicores, self.memory_bytes, self.gpu_milli, self.gpu_memory_bytes]
    }

    fn change(&mut self, other: &Self, op: fn(u64, u64) -> u64) {
        self.cpu_millicores = op(self.cpu_millicores, other.cpu_millicores);
        self.memory_bytes = op(self.memory_bytes, other.memory_bytes);
        self.gpu_milli = op(self.gpu_milli, other.gpu_milli);
        self.gpu_memory_bytes = op(self.gpu_memory_bytes, other.gpu_memory_bytes);
        for (name, amount) in &other.named {
            let changed = op(self.of_name(name), *amount);
            if changed == 0 {
                self.named.remove(name);
            } else if let Some(known) = self.named.get_mut(name) {
                *known = changed;
            } else {
                self.named.insert(name.clone(), changed);
            }
        }
    }

    fn joined(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        let names = self.named.keys().chain(other.named.keys());
        let named = names.map(|name| (name.clone(), op(self.of_name(name), other.of_name(name))));
        Self {
            cpu_millicores: op(self.cpu_millicores, other.cpu_millicores),
            memory_bytes: op(self.memory_bytes, other.memory_bytes),
            gpu_milli: op(self.gpu_milli, other.gpu_milli),
            gpu_memory_bytes: op(self.gpu_memory_bytes, other.gpu_memory_bytes),
            named: named.filter(|(_, amount)| *amount > 0).collect(),
        }
    }
}

/// How often all needs fit in what there is of each; what is not needed fits any number of times.
fn count(needs: impl Iterator<Item = (u64, u64)>) -> u64 {
    needs.filter_map(|(need, offered)| offered.checked_div(need)).min().unwrap_or(u64::MAX)
}

impl Dimension {
    /// An amount of this dimension as a person reads it.
    pub fn amount(&self, value: u64) -> Amount<'_> {
        Amount { dimension: self, value }
    }
}

/// An amount with its unit, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Amount<'dimension> {
    dimension: &'dimension Dimension,
    value: u64,
}

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dimension {
            Dimension::Cpu => write!(f, "{}m cpu", self.value),
            Dimension::Memory => write!(f, "{} memory", Bytes(self.value)),
            Dimension::Gpu => write!(f, "{}m gpu", self.value),
            Dimension::GpuMemory => write!(f, "{} GPU memory", Bytes(self.value)),
            Dimension::Named(name) => write!(f, "{} {name}", self.value),
        }
    }
}

/// A size as a person reads it: whole GiB as such, all else in MiB.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes >= 1024 && mebibytes.is_multiple_of(1024) {
            write!(f, "{} GiB", mebibytes / 1024)
        } else {
            write!(f, "{mebibytes} MiB")
        }
    }
}
