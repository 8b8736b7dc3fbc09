//! Pure: what the configuration means. Facts → address sets, paths with every rule on them, and what is to be expected
//! of a cluster seen from a standpoint.

pub mod eks;
pub mod eks_api;
pub mod network;
#[cfg(test)]
mod oracle;
pub mod set;
pub mod trace;
