//! How this host sends packets to an address, read from the kernel's tables without sending any.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};
use socket2::{SockAddr, Type};

use crate::{LocalRoute, SourceBinding, tcp::open};

/// How packets to `address` leave this host; `None` when the kernel knows no way or `source` cannot be bound.
pub fn local_route(address: IpAddr, source: &SourceBinding) -> Option<LocalRoute> {
    let address = address.to_canonical();
    let chosen = chosen_source(address, source)?;
    let (routes, neighbours) = if address.is_ipv4() {
        (parse_ipv4_routes(&table("route")), parse_arp(&table("arp")))
    } else {
        // The neighbours of IPv6 stand in no file.
        (parse_ipv6_routes(&table("ipv6_route")), Vec::new())
    };
    Some(describe(address, chosen, source.interface.as_deref(), &interfaces(), &routes, &neighbours))
}

/// Whether this host has a usable route beyond itself, for (IPv4, IPv6); loopback and link-local ones do not count.
pub fn has_routes() -> (bool, bool) {
    // The tables show the main routing table only; the kernel's own choice also sees the others. These addresses are
    // documentation prefixes: connecting a datagram socket sends nothing.
    let chooses = |probe: IpAddr| {
        chosen_source(probe, &SourceBinding::default())
            .is_some_and(|source| !source.is_loopback() && !is_link_local(source))
    };
    let ipv4 = parse_ipv4_routes(&table("route")).iter().any(Route::leads_out)
        || chooses(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let ipv6 = parse_ipv6_routes(&table("ipv6_route")).iter().any(Route::leads_out)
        || chooses(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
    (ipv4, ipv6)
}

/// The address that packets to this resolver carry; to anywhere beyond, where the resolver is on this host or not known.
pub fn source_towards(resolver: Option<IpAddr>, source: &SourceBinding) -> Option<IpAddr> {
    let beyond = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let usable = |address: IpAddr| !address.is_loopback() && !address.is_unspecified() && !is_link_local(address);
    [resolver.filter(|address| !address.is_loopback()), Some(beyond)]
        .into_iter()
        .flatten()
        .find_map(|address| chosen_source(address, source).filter(|own| usable(*own)))
}

/// MTU of the interface that carries `address`, when the system's files tell.
pub(crate) fn carrier_mtu(address: IpAddr) -> Option<u32> {
    let interfaces = interfaces();
    let carrier =
        interfaces.iter().find(|interface| interface.networks.iter().any(|network| network.addr() == address))?;
    carrier.system_file("mtu")?.trim().parse().ok()
}

/// The source address that the kernel chooses. Connecting a datagram socket sends no packet.
fn chosen_source(address: IpAddr, source: &SourceBinding) -> Option<IpAddr> {
    let socket = open(address, Type::DGRAM, source).ok()?;
    socket.connect(&SockAddr::from(SocketAddr::new(address, DISCARD_PORT))).ok()?;
    Some(socket.local_addr().ok()?.as_socket()?.ip())
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    destination: IpNet,
    gateway: Option<IpAddr>,
    interface: String,
    metric: u32,
    usable: bool,
}

impl Route {
    fn leads_out(&self) -> bool {
        let to_itself = self.interface == "lo" || self.destination.addr().is_loopback();
        let beside = is_link_local(self.destination.addr()) || self.destination.addr().is_multicast();
        self.usable && !to_itself && !beside
    }
}

/// An interface with its networks.
#[derive(Clone, Debug, Default)]
struct Interface {
    name: String,
    index: usize,
    /// `ARPHRD_*`.
    hardware_type: u16,
    hardware_address: Option<[u8; 6]>,
    /// Its addresses with their prefixes.
    networks: Vec<IpNet>,
    /// It is a software bridge.
    bridge: bool,
}

impl Interface {
    /// A file about this interface in `/sys`. That directory shows the network namespace in which it was mounted, which
    /// need not be this thread's: an interface of the same name there is another one.
    fn system_file(&self, file: &str) -> Option<String> {
        let read = |file: &str| std::fs::read_to_string(format!("/sys/class/net/{}/{file}", self.name)).ok();
        let same_index = read("ifindex")?.trim() == self.index.to_string();
        let hardware_address = self.hardware_address?.map(|byte| format!("{byte:02x}")).join(":");
        let same_hardware = read("address").is_none_or(|text| {
            let text = text.trim();
            text.len() != hardware_address.len() || text == hardware_address
        });
        if same_index && same_hardware { read(file) } else { None }
    }

    fn is_bridge(&self) -> bool {
        self.bridge || BRIDGE_NAMES.iter().any(|pattern| name_matches(&self.name, pattern))
    }

    fn is_tunnel(&self) -> bool {
        TUNNEL_HARDWARE.contains(&self.hardware_type)
            || TUNNEL_NAMES.iter().any(|pattern| name_matches(&self.name, pattern))
    }
}

fn describe(
    address: IpAddr,
    source: IpAddr,
    bound: Option<&str>,
    interfaces: &[Interface],
    routes: &[Route],
    neighbours: &[Neighbour],
) -> LocalRoute {
    let best = routes
        .iter()
        .filter(|route| route.usable && route.destination.contains(&address))
        .filter(|route| bound.is_none_or(|bound| bound == route.interface))
        .min_by_key(|route| (u8::MAX - route.destination.prefix_len(), route.metric));
    let own = address.is_loopback()
        || interfaces.iter().any(|interface| interface.networks.iter().any(|network| network.addr() == address));
    let carriers: Vec<&Interface> = interfaces
        .iter()
        .filter(|interface| {
            interface
                .networks
                .iter()
                .any(|network| network.addr() == source || (source.is_loopback() && network.addr().is_loopback()))
        })
        .collect();
    let by_route = best.and_then(|route| interfaces.iter().find(|interface| interface.name == route.interface));
    // The table decides where it fits the source address; where it does not, another table (a VPN's) has decided.
    let interface = match by_route {
        Some(interface)
            if !own && carriers.iter().all(|carrier| carrier.name == interface.name || carrier.name == "lo") =>
        {
            Some(interface)
        }
        Some(interface) if !own && carriers.iter().any(|carrier| carrier.name == interface.name) => Some(interface),
        _ => carriers.first().copied(),
    };
    let interface = bound.and_then(|bound| interfaces.iter().find(|known| known.name == bound)).or(interface);
    let name = interface.map(|interface| interface.name.clone()).or_else(|| bound.map(str::to_owned));
    let best = best.filter(|route| !own && Some(&route.interface) == name.as_ref());
    let tunnel = interface.is_some_and(Interface::is_tunnel);
    let inside = interface.is_some_and(|interface| interface.networks.iter().any(|network| network.contains(&address)));
    let on_link = own
        || match best {
            Some(Route { gateway: Some(_), .. }) => false,
            Some(route) => inside || (route.destination.prefix_len() > 0 && !tunnel),
            None => inside,
        };
    let next_hop = if on_link { Some(address) } else { best.and_then(|route| route.gateway) };
    let neighbour_failed = !own
        && neighbours.iter().any(|neighbour| {
            neighbour.failed && Some(neighbour.address) == next_hop && Some(&neighbour.interface) == name.as_ref()
        });
    LocalRoute {
        source: Some(source),
        on_link,
        by_default_route: best.is_some_and(|route| route.destination.prefix_len() == 0),
        bridge: interface.is_some_and(Interface::is_bridge),
        tunnel,
        neighbour_failed,
        interface: name,
    }
}

/// The interfaces of the network namespace of this thread.
fn interfaces() -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    let Ok(entries) = getifaddrs() else { return interfaces };
    for entry in entries {
        let position = interfaces.iter().position(|known| known.name == entry.interface_name);
        let interface = if let Some(position) = position {
            &mut interfaces[position]
        } else {
            interfaces.push(Interface { name: entry.interface_name.clone(), ..Interface::default() });
            let Some(last) = interfaces.last_mut() else { continue };
            last
        };
        if let Some(link) = entry.address.as_ref().and_then(SockaddrStorage::as_link_addr) {
            interface.index = link.ifindex();
            interface.hardware_type = link.hatype();
            interface.hardware_address = link.addr();
        } else if let Some(address) = address_of(entry.address.as_ref()) {
            let length = address_of(entry.netmask.as_ref()).map_or(0, mask_length);
            interface.networks.extend(IpNet::new(address, length).ok());
        }
    }
    for interface in &mut interfaces {
        interface.bridge = interface.system_file("bridge/bridge_id").is_some();
    }
    interfaces
}

fn address_of(address: Option<&SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(v4.ip().into()),
        (_, Some(v6)) => Some(v6.ip().into()),
        _ => None,
    }
}

fn mask_length(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(v4) => v4.to_bits().leading_ones(),
        IpAddr::V6(v6) => v6.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or_default()
}

/// Lines of `/proc/net/route`: interface, destination, gateway, flags, …, metric, mask. The addresses are hexadecimal
/// numbers in the byte order of the machine.
fn parse_ipv4_routes(text: &str) -> Vec<Route> {
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else { return None };
        let gateway = address(gateway)?;
        Some(Route {
            destination: IpNet::new(address(destination)?.into(), mask_length(address(mask)?.into())).ok()?,
            gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
            interface: interface.to_owned(),
            metric: metric.parse().ok()?,
            usable: is_usable(u32::from_str_radix(flags, 16).ok()?),
        })
    };
    text.lines().filter_map(route).collect()
}

/// Lines of `/proc/net/ipv6_route`: destination, its length, source, its length, gateway, metric, two counters, flags,
/// interface; all numbers hexadecimal. The host's own and anycast addresses stand there too, and are left out.
fn parse_ipv6_routes(text: &str) -> Vec<Route> {
    let address = |hex: &str| {
        let bits = u128::from_str_radix(hex, 16).ok()?;
        (hex.len() == 32).then_some(Ipv6Addr::from(bits))
    };
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, _, _, gateway, metric, _, _, flags, interface] = fields[..] else { return None };
        let (flags, gateway) = (number(flags)?, address(gateway)?);
        if flags & (FLAG_LOCAL | FLAG_ANYCAST) != 0 {
            return None;
        }
        Some(Route {
            destination: IpNet::new(address(destination)?.into(), u8::try_from(number(length)?).ok()?).ok()?,
            gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
            interface: interface.to_owned(),
            metric: number(metric)?,
            usable: is_usable(flags),
        })
    };
    text.lines().filter_map(route).collect()
}

const fn is_usable(flags: u32) -> bool {
    flags & FLAG_UP != 0 && flags & FLAG_REJECT == 0
}

/// A neighbour of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Neighbour {
    address: IpAddr,
    interface: String,
    /// It was asked and did not answer.
    failed: bool,
}

/// Lines of `/proc/net/arp`: address, hardware type, flags, hardware address, mask, interface.
fn parse_arp(text: &str) -> Vec<Neighbour> {
    let neighbour = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, _, _, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        Some(Neighbour { address: address.parse().ok()?, interface: interface.to_owned(), failed: flags == 0 })
    };
    text.lines().filter_map(neighbour).collect()
}

/// A table of the network namespace of this thread (a vantage may run in another one than the process), cut to a size
/// that a router with a full table of the internet cannot exceed.
fn table(name: &str) -> String {
    let read = |path: String| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MAXIMUM_TABLE).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    read(format!("/proc/thread-self/net/{name}")).or_else(|| read(format!("/proc/net/{name}"))).unwrap_or_default()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// `pattern` is a name, or a beginning followed by `*`.
fn name_matches(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |beginning| name.starts_with(beginning))
}

const BRIDGE_NAMES: [&str; 9] =
    ["docker0", "docker_gwbridge", "br-*", "virbr*", "cni0", "cni-*", "lxcbr*", "vboxnet*", "vmnet*"];
const TUNNEL_NAMES: [&str; 8] = ["tun*", "tap*", "wg*", "ppp*", "utun*", "tailscale*", "ipsec*", "gpd*"];
/// `ARPHRD_NONE`, `_PPP`, `_TUNNEL`, `_TUNNEL6`, `_SIT`, `_IPGRE`, `_IP6GRE`.
const TUNNEL_HARDWARE: [u16; 7] = [65534, 512, 768, 769, 776, 778, 823];
const FLAG_UP: u32 = 0x1;
const FLAG_REJECT: u32 = 0x200;
const FLAG_ANYCAST: u32 = 0x0010_0000;
const FLAG_LOCAL: u32 = 0x8000_0000;
const DISCARD_PORT: u16 = 9;
const MAXIMUM_TABLE: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth0\t0000010A\t0500000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t0000140A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
*\t0000630A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\tnonsense\t00000000\t0001
";
    const IPV6: &str = "\
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001       lo
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";
    const ARP: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0
10.0.0.5         0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.77        0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.78        0x1         0x0         00:00:00:00:00:00     *        eth9
";

    fn interface(name: &str, networks: &[&str]) -> Interface {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Interface { name: name.into(), networks, ..Interface::default() }
    }

    fn host() -> Vec<Interface> {
        vec![
            interface("lo", &["127.0.0.1/8", "::1/128", "10.255.0.1/32"]),
            interface("eth0", &["10.0.0.9/24", "2001:db8::9/64", "fe80::9/64"]),
            interface("docker0", &["172.17.0.1/16"]),
            interface("tun0", &["10.20.0.2/32"]),
            interface("wg0", &["10.30.0.2/32"]),
        ]
    }

    /// Interface, then the flags that hold.
    fn told(address: &str, source: &str, bound: Option<&str>) -> String {
        let address: IpAddr = address.parse().unwrap();
        let routes = if address.is_ipv4() { parse_ipv4_routes(IPV4) } else { parse_ipv6_routes(IPV6) };
        let route = describe(address, source.parse().unwrap(), bound, &host(), &routes, &parse_arp(ARP));
        let mut words = vec![route.interface.unwrap_or_default()];
        for (holds, word) in [
            (route.on_link, "on-link"),
            (route.by_default_route, "default"),
            (route.bridge, "bridge"),
            (route.tunnel, "tunnel"),
            (route.neighbour_failed, "failed"),
        ] {
            words.extend(holds.then(|| word.to_owned()));
        }
        words.join(" ")
    }

    #[test]
    fn routes_are_described_from_the_tables() {
        for (address, source, bound, expected) in [
            ("9.9.9.9", "10.0.0.9", None, "eth0 default"),
            ("10.0.0.20", "10.0.0.9", None, "eth0 on-link"),
            ("10.0.0.77", "10.0.0.9", None, "eth0 on-link failed"),
            // A neighbour of the same address behind another interface is somebody else.
            ("10.0.0.78", "10.0.0.9", None, "eth0 on-link"),
            // More specific than the prefix on the interface, by a gateway that does not answer.
            ("10.1.2.3", "10.0.0.9", None, "eth0 failed"),
            ("172.17.0.5", "172.17.0.1", None, "docker0 on-link bridge"),
            ("10.20.5.5", "10.20.0.2", None, "tun0 tunnel"),
            // Another table decided: the main one knows the default route only.
            ("9.9.9.9", "10.30.0.2", None, "wg0 tunnel"),
            // An address on the loopback interface is no interface to leave by.
            ("9.9.9.9", "10.255.0.1", None, "eth0 default"),
            ("10.0.0.9", "10.0.0.9", None, "eth0 on-link"),
            ("127.0.0.53", "127.0.0.1", None, "lo on-link"),
            ("9.9.9.9", "172.17.0.1", Some("docker0"), "docker0 bridge"),
            ("2001:db8::77", "2001:db8::9", None, "eth0 on-link"),
            ("2606::1", "2001:db8::9", None, "eth0 default"),
            ("::1", "::1", None, "lo on-link"),
        ] {
            assert_eq!(told(address, source, bound), expected, "{address}");
        }
    }

    #[test]
    fn only_routes_beyond_the_host_lead_out() {
        let leading = |routes: Vec<Route>| {
            routes.into_iter().filter(Route::leads_out).map(|route| route.destination.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            leading(parse_ipv4_routes(IPV4)),
            ["0.0.0.0/0", "10.0.0.0/24", "10.1.0.0/16", "172.17.0.0/16", "10.20.0.0/16"]
        );
        assert_eq!(leading(parse_ipv6_routes(IPV6)), ["2001:db8::/32", "::/0"]);
    }

    #[test]
    fn names_and_hardware_tell_bridges_and_tunnels() {
        for name in ["docker0", "br-1a2b3c", "virbr0", "cni0", "vboxnet1", "vmnet8", "lxcbr0"] {
            assert!(interface(name, &[]).is_bridge() && !interface(name, &[]).is_tunnel(), "{name}");
        }
        for name in ["tun0", "tap1", "wg0", "ppp0", "utun4", "tailscale0", "ipsec0"] {
            assert!(interface(name, &[]).is_tunnel() && !interface(name, &[]).is_bridge(), "{name}");
        }
        for name in ["eth0", "enp1s0", "wlan0", "br0", "bridge", "docker1"] {
            assert!(!interface(name, &[]).is_tunnel() && !interface(name, &[]).is_bridge(), "{name}");
        }
        assert!(Interface { hardware_type: 65534, ..interface("corp", &[]) }.is_tunnel());
        assert!(Interface { bridge: true, ..interface("br0", &[]) }.is_bridge());
    }

    #[test]
    fn hostile_tables_give_nothing() {
        for text in ["", "\n\n", "a b c d e f g h i j k", "\u{0}\u{1}", "lo 0 0 0 0 0 0 zz"] {
            assert!(parse_ipv4_routes(text).is_empty());
            assert!(parse_ipv6_routes(text).is_empty());
            assert!(parse_arp(text).is_empty());
        }
    }

    #[test]
    fn loopback_is_on_link_and_a_missing_interface_gives_nothing() {
        let route = local_route("127.0.0.1".parse().unwrap(), &SourceBinding::default()).unwrap();
        assert_eq!(route.source, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(route.interface.as_deref(), Some("lo"));
        assert!(route.on_link && !route.by_default_route && !route.tunnel && !route.neighbour_failed);
        let nowhere = SourceBinding { address: None, interface: Some("no-such-if0".into()) };
        assert_eq!(local_route("127.0.0.1".parse().unwrap(), &nowhere), None);
        let _ = has_routes();
    }
}
