//! What an agent is started with when the order's sender starts it: leave for what the scenario names, nothing beyond.

use std::{collections::BTreeSet, net::IpAddr};

use kubereach_probes::{Options, SystemResolver, Target};

/// `--allow-…=…` arguments for the ports, the resolvers and, where the target is the host itself, the loopback ranges
/// that this probe needs. Their values are numbers and addresses only, so that no shell sees anything in them.
///
/// Hosts are not among them: who may start a program on a host may dial from it as well. What is never dialled stays so.
pub(super) fn allowances(target: &Target, options: &Options) -> BTreeSet<String> {
    // How fast it goes is for whoever starts it to say: the sender of all its orders.
    let mut arguments = BTreeSet::from([format!("--rate={MOST_ORDERS_A_MINUTE}")]);
    let controls = options.controls.iter().map(|control| control.port);
    let echo = options.echo.iter().map(|echo| echo.port);
    for port in std::iter::once(target.port).chain(controls).chain(echo) {
        arguments.insert(format!("--allow-port={port}"));
    }
    let own = match &options.system {
        SystemResolver::Host => &[][..],
        SystemResolver::Servers(servers) => servers,
    };
    for server in options.resolvers.iter().flat_map(|resolver| &resolver.servers).chain(own) {
        arguments.insert(format!("--allow-resolver={server}"));
    }
    let loopback = |address: &IpAddr| address.is_loopback();
    let host = target.host.parse::<IpAddr>();
    if target.host == "localhost"
        || host.is_ok_and(|host| loopback(&host))
        || target.known_addresses.iter().any(loopback)
    {
        // Loopback is dialled only where it is named; then every other range has to be named as well.
        arguments.extend(["127.0.0.0/8", "::1/128", "0.0.0.0/0", "::/0"].map(|range| format!("--allow-cidr={range}")));
    }
    arguments
}

const MOST_ORDERS_A_MINUTE: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kubereach_probes::{Endpoint, NamedResolver, Trust};

    use super::*;

    #[test]
    fn leave_is_given_for_what_is_named_and_nothing_else() {
        let mut target = Target::new("api.example$(id)", 8443, Trust::SystemRoots);
        let options = Options {
            system: SystemResolver::Servers(vec!["[2001:db8::53]:53".parse().unwrap()]),
            resolvers: vec![NamedResolver {
                label: "vpc".to_owned(),
                servers: vec!["10.0.0.2:5353".parse().unwrap()],
                eager: true,
            }],
            controls: vec![Endpoint { host: "9.9.9.9".to_owned(), port: 53 }],
            ..Options::plain(Duration::from_secs(3))
        };
        let expected = [
            "--allow-port=53",
            "--allow-port=8443",
            "--allow-resolver=10.0.0.2:5353",
            "--allow-resolver=[2001:db8::53]:53",
            "--rate=1000000",
        ];
        assert_eq!(allowances(&target, &options), expected.map(str::to_owned).into());
        target.host = "127.0.0.1".to_owned();
        assert!(allowances(&target, &options).contains("--allow-cidr=127.0.0.0/8"));
        for argument in allowances(&target, &options) {
            assert!(argument.chars().all(|letter| letter.is_ascii_alphanumeric() || "-=.:/[]".contains(letter)));
        }
    }
}
