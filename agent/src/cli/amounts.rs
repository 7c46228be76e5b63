//! Vectors of resources and points in time as people read them.

use std::time::Duration;

use skein_core::resources::Dimension;
use skein_core::{Millis, Resources};

pub(crate) use crate::api::time;

/// Every dimension of which there is some, with its unit.
pub(crate) fn resources(amounts: &Resources) -> String {
    let counted = [
        (Dimension::Cpu, amounts.cpu_millicores),
        (Dimension::Memory, amounts.memory_bytes),
        (Dimension::Gpu, amounts.gpu_milli),
        (Dimension::GpuMemory, amounts.gpu_memory_bytes),
    ];
    let named = amounts.named.iter().map(|(name, amount)| (Dimension::Named(name.clone()), *amount));
    let some = counted.into_iter().chain(named).filter(|(_, amount)| *amount > 0);
    let texts: Vec<String> = some
        .map(|(dimension, amount)| match dimension {
            // The column says that it is memory.
            Dimension::Memory => dimension.amount(amount).to_string().replace(" memory", ""),
            _ => dimension.amount(amount).to_string(),
        })
        .collect();
    if texts.is_empty() { "nothing".into() } else { texts.join(", ") }
}

/// A length of time.
pub(crate) fn length(length: Millis) -> String {
    humantime::format_duration(Duration::from_millis(length.0)).to_string()
}

/// The same in whole seconds.
pub(crate) fn whole(length: Millis) -> String {
    humantime::format_duration(Duration::from_secs(length.0 / 1_000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_of_is_told() {
        let mut amounts = Resources { cpu_millicores: 500, memory_bytes: 256 << 20, ..Resources::default() };
        assert_eq!(resources(&amounts), "500m cpu, 256 MiB");
        amounts.gpu_milli = 250;
        amounts.gpu_memory_bytes = 2 << 30;
        amounts.named.insert("camera".into(), 2);
        assert_eq!(resources(&amounts), "500m cpu, 256 MiB, 250m gpu, 2 GiB GPU memory, 2 camera");
        assert_eq!(resources(&Resources::default()), "nothing");
    }
}
