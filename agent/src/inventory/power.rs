//! What the machine lives on, from what Linux says of its power supplies.

use std::path::Path;

use skein_core::capability::Power;

/// One entry of `/sys/class/power_supply`; what a driver does not say is empty.
struct Supply {
    kind: String,
    online: String,
    status: String,
    scope: String,
}

/// What the machine whose `/sys` lies under `root` lives on. A supply that feeds it is worth more than what a battery says: some
/// batteries are said to discharge while they are full and the charger is on.
pub fn power(root: &Path) -> Power {
    let entries = std::fs::read_dir(root.join("sys/class/power_supply")).into_iter().flatten().flatten();
    let supplies: Vec<Supply> =
        entries.map(|entry| Supply::read(&entry.path())).filter(Supply::is_the_machines).collect();
    let is_fed = supplies.iter().any(|supply| !supply.is_battery() && supply.online == "1");
    let batteries: Vec<&Supply> = supplies.iter().filter(|supply| supply.is_battery()).collect();
    match batteries.as_slice() {
        _ if is_fed => Power::Mains,
        [] => Power::Unknown,
        batteries if batteries.iter().any(|battery| battery.status == "Discharging") => Power::Battery,
        _ => Power::Mains,
    }
}

impl Supply {
    fn read(path: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default().trim().to_owned();
        Self { kind: read("type"), online: read("online"), status: read("status"), scope: read("scope") }
    }

    /// Mice and keyboards have batteries, too.
    fn is_the_machines(&self) -> bool {
        self.scope != "Device"
    }

    fn is_battery(&self) -> bool {
        self.kind == "Battery" || self.kind == "UPS"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(supplies: &[&[(&str, &str)]]) -> Power {
        let root = tempfile::tempdir().unwrap();
        for (number, files) in supplies.iter().enumerate() {
            let supply = root.path().join(format!("sys/class/power_supply/supply{number}"));
            std::fs::create_dir_all(&supply).unwrap();
            for (name, text) in *files {
                std::fs::write(supply.join(name), format!("{text}\n")).unwrap();
            }
        }
        power(root.path())
    }

    #[test]
    fn a_battery_that_nothing_feeds_is_told_from_one_that_is_fed() {
        let battery = |status| [("type", "Battery"), ("status", status)];
        let charger = |online| [("type", "Mains"), ("online", online)];
        assert_eq!(machine(&[]), Power::Unknown);
        assert_eq!(machine(&[&battery("Discharging"), &charger("0")]), Power::Battery);
        assert_eq!(machine(&[&battery("Discharging"), &charger("1")]), Power::Mains);
        assert_eq!(machine(&[&battery("Charging")]), Power::Mains);
        assert_eq!(machine(&[&charger("1")]), Power::Mains);
        assert_eq!(machine(&[&[("type", "UPS"), ("status", "Discharging")]]), Power::Battery);
        assert_eq!(machine(&[&[("type", "Battery"), ("status", "Discharging"), ("scope", "Device")]]), Power::Unknown);
        assert_eq!(machine(&[&[]]), Power::Unknown, "a supply that says nothing");
    }
}
