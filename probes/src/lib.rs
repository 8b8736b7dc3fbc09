//! What happens on the wire between this host and a TLS endpoint, told with evidence instead of a boolean.
//!
//! Each prober is one file: target, options and deadline in, observation out. [`engine`](probe) runs them in order:
//! name → addresses → TCP → TLS → HTTP, every address on its own. The crate knows nothing of clouds, scenarios or
//! verdicts.

mod control;
pub mod dns;
mod egress;
pub mod engine;
pub mod http;
pub mod icmp;
mod observation;
pub mod path;
pub mod proxy;
pub mod route;
pub mod system;
pub mod target;
pub mod tcp;
pub mod tls;

pub use control::SharedControls;
pub use engine::{ProbeEvent, Run, probe};
pub use observation::*;
pub use target::*;
