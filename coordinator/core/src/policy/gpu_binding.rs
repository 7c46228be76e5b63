//! A GPU or stick for each worker.

use crate::capability::DeviceKind;
use crate::policy::{Place, Policy, fcfs};
use crate::session::{Hold, Session};

/// Each worker has a GPU or stick of its own, shared with nobody, or the session has the one it names.
#[derive(Debug)]
pub struct GpuBinding;

impl Policy for GpuBinding {
    fn rank(&self, _session: &Session) -> u8 {
        fcfs::BY_AGE
    }

    fn filter(&self, _session: &Session, place: &Place) -> Result<(), &'static str> {
        if place.device.kind == DeviceKind::Cpu { Err("it is no GPU or stick") } else { Ok(()) }
    }

    fn hold(&self) -> Hold {
        Hold::EachDevice
    }
}
