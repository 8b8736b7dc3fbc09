//! Pure: what the configuration means. Facts → address sets, paths with every rule on them, and what is to be expected
//! of a cluster seen from a standpoint.

pub mod aks;
pub mod azure;
pub mod eks;
pub mod eks_api;
pub mod network;
#[cfg(test)]
mod oracle;
pub mod outlook;
mod paths;
pub mod set;
mod standpoint;
pub mod trace;

pub use outlook::Outlook;
pub use paths::PublicPath;
pub use standpoint::{EgressBy, Missing, Standpoint};
