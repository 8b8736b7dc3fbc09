//! What is intended: a scenario file, from text with positions to a validated plan, all errors at once.

mod derive;
mod duration;
mod plan;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, path::Path};

pub use duration::parse_duration;
pub use plan::*;
pub use schema::schema;

use crate::input::{InputErrors, MEBIBYTE, read_text};

/// Reads a scenario file: UTF-8, at most 1 MiB, YAML or JSON.
pub fn load(path: &Path) -> Result<Plan, InputErrors> {
    parse(&read_text(path, "scenario", MEBIBYTE)?, path)
}

/// Validates the text of a scenario. Relative paths are resolved against the folder of `file`, `~/` is expanded, and
/// the files that it names (certificates, kubeconfig) are read. Every error comes at once, in the order of the text.
pub fn parse(text: &str, file: &Path) -> Result<Plan, InputErrors> {
    let surroundings = Surroundings { environment: &|name| std::env::var(name).ok(), resolve: &resolve_by_system };
    read::read(text, file, &surroundings)
}

/// What a scenario may ask of the world beyond its text.
struct Surroundings<'a> {
    /// Variables of the environment.
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// Addresses of a resolver that is given by name.
    resolve: &'a dyn Fn(&str) -> Option<IpAddr>,
}

/// The first address that the system gives for a name, within three seconds.
fn resolve_by_system(name: &str) -> Option<IpAddr> {
    use std::net::ToSocketAddrs;
    let name = name.to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let found = (name.as_str(), 53).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let _ = sender.send(found.map(|address| address.ip()));
    });
    receiver.recv_timeout(std::time::Duration::from_secs(3)).ok().flatten()
}
