//! What is *configured*, raw: the provider's own JSON, from a folder or live.

#[cfg(feature = "aws")]
pub mod aws;
pub mod manifest;
pub mod write;
