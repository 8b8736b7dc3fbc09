//! demo

pub mod servers;
