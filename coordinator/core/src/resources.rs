//! What work needs and devices offer.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A vector of resources: what a worker needs, or what a device offers. A worker fits only where every dimension fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of one core.
    pub cpu_millicores: u64,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// Thousandths of one GPU.
    pub gpu_milli: u64,
    /// Bytes of GPU memory.
    pub gpu_memory_bytes: u64,
}

/// One dimension of [`Resources`], to say which one ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dimension {
    /// [`Resources::cpu_millicores`]
    Cpu,
    /// [`Resources::memory_bytes`]
    Memory,
    /// [`Resources::gpu_milli`]
    Gpu,
    /// [`Resources::gpu_memory_bytes`]
    GpuMemory,
}

impl Resources {
    /// The dimensions in a fixed order.
    fn dimensions(&self) -> [(Dimension, u64); 4] {
        [
            (Dimension::Cpu, self.cpu_millicores),
            (Dimension::Memory, self.memory_bytes),
            (Dimension::Gpu, self.gpu_milli),
            (Dimension::GpuMemory, self.gpu_memory_bytes),
        ]
    }

    /// The first dimension in which this is more than `room`, with both numbers; none where it fits.
    pub fn first_excess(&self, room: &Self) -> Option<(Dimension, u64, u64)> {
        let pairs = self.dimensions().into_iter().zip(room.dimensions());
        pairs.into_iter().find(|((_, need), (_, have))| need > have).map(|((name, need), (_, have))| (name, need, have))
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// What is left of this without `other`; zero where `other` is more.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_millicores: op(self.cpu_millicores, other.cpu_millicores),
            memory_bytes: op(self.memory_bytes, other.memory_bytes),
            gpu_milli: op(self.gpu_milli, other.gpu_milli),
            gpu_memory_bytes: op(self.gpu_memory_bytes, other.gpu_memory_bytes),
        }
    }
}

impl Dimension {
    /// An amount of this dimension as a person reads it.
    pub fn amount(self, value: u64) -> Amount {
        Amount { dimension: self, value }
    }
}

/// An amount with its unit, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    dimension: Dimension,
    value: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.value >> 20;
        match self.dimension {
            Dimension::Cpu => write!(f, "{}m cpu", self.value),
            Dimension::Memory => write!(f, "{mebibytes} MiB memory"),
            Dimension::Gpu => write!(f, "{}m gpu", self.value),
            Dimension::GpuMemory => write!(f, "{mebibytes} MiB GPU memory"),
        }
    }
}
