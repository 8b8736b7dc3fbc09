//! What is intended: a scenario file, from text with positions to a validated plan, all errors at once.

mod derive;
mod plan;
mod read;
mod schema;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vantage_tests;

use std::{net::IpAddr, path::Path};

pub use crate::input::parse_duration;
pub(crate) use derive::derive;
pub use plan::*;
pub use schema::schema;

use crate::input::{InputErrors, read_text, variable};

/// Reads a scenario file: UTF-8, at most 4 MiB, YAML or JSON.
pub fn load(path: &Path) -> Result<Plan, InputErrors> {
    parse(&read_text(path, "scenario", read::LARGEST)?, path)
}

/// Validates the text of a scenario. Relative paths are resolved against the folder of `file`, `~/` is expanded, and
/// the files that it names (certificates, kubeconfig) are read. Every error comes at once, in the order of the text.
pub fn parse(text: &str, file: &Path) -> Result<Plan, InputErrors> {
    let environment = |name: &str| variable(name);
    let pretend = |_: &str| Some(IpAddr::from([0, 0, 0, 0]));
    let plan = read::read(text, file, &Surroundings { environment: &environment, resolve: &pretend })?;
    if !names_resolvers(&plan) {
        return Ok(plan);
    }
    // Nobody is asked anything before the whole file is known to be right.
    read::read(text, file, &Surroundings { environment: &environment, resolve: &resolve_by_system })
}

/// Whether a resolver was given by a name, for which [`parse`] first puts the unspecified address.
fn names_resolvers(plan: &Plan) -> bool {
    let own = plan.vantages.iter().flat_map(|vantage| &vantage.resolvers);
    own.chain(&plan.resolvers).flat_map(|resolver| &resolver.servers).any(|server| server.ip().is_unspecified())
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
