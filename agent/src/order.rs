//! What travels between a controller and an agent: an order out, a reply back. Versioned, bounded, plain JSON.
//!
//! An order holds what a probe needs and nothing else: no credentials, no proxy, no path of a file, no command. The
//! first field of every message is the version, so that a message of another version is told from a broken one.

use std::{net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;
use kubereach_probes::{
    AddressClasses, ClusterCa, EchoServer, Endpoint, NamedResolver, Observation, Options, Permit, Service,
    SharedControls, SourceBinding, SystemResolver, Target, Trust, labels,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of every message. Raised when a reader of the version before would misread one.
pub const PROTOCOL: u32 = 1;

/// Longest order, in bytes.
pub const MAXIMUM_ORDER_BYTES: usize = 256 * 1024;

/// Longest reply, in bytes: below what a NATS server takes by default (1 MiB), its headers included.
pub const MAXIMUM_REPLY_BYTES: usize = 960 * 1024;

/// An order may be carried out this long after it was issued, whatever it says.
pub const LONGEST_VALIDITY: Duration = Duration::from_mins(15);

/// What an agent says first, where there is a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Version of the messages that it speaks.
    pub protocol: u32,
    /// Its own version.
    pub agent: String,
    /// Operating system and processor: `linux x86_64`.
    pub platform: String,
}

impl Hello {
    /// This build's own.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            protocol: PROTOCOL,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// Probe this, once, before then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Version of the message: [`PROTOCOL`].
    pub protocol: u32,
    /// Names the order: never used twice. Letters, digits and hyphens, at most 64.
    pub id: String,
    /// The agent that it is for; an agent that has a name carries out no other's.
    pub agent: String,
    /// When it was issued, by the controller's clock.
    pub issued_at: Timestamp,
    /// When nobody waits for it any longer, by the controller's clock.
    pub expires_at: Timestamp,
    /// What to do.
    pub probe: ProbeOrder,
}

/// What an agent has to say of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Version of the message: [`PROTOCOL`].
    pub protocol: u32,
    /// The order's.
    pub id: String,
    /// The agent's name.
    pub agent: String,
    /// When it was written, by the agent's clock.
    pub finished_at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// It was carried out.
    Observed {
        /// What was seen.
        observation: Box<Observation>,
    },
    /// It was not, and nothing was sent to its target.
    Refused {
        /// Why, as a label.
        reason: Refusal,
        /// Why, in words.
        detail: String,
    },
}

/// Why an agent did not carry out an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Its allow list does not have the target.
    NotPermitted,
    /// The order's signature is not the controller's.
    BadSignature,
    /// The order was carried out before.
    Replayed,
    /// Its time had passed, by the agent's clock; or it lies further ahead than an order may.
    Expired,
    /// It is of a version that the agent does not speak.
    OtherVersion,
    /// It cannot be read, or holds what no order may hold.
    Malformed,
    /// The agent has as much to do as it takes on.
    Busy,
    /// It is another agent's.
    NotForThisAgent,
}

labels! { Refusal {
    NotPermitted => "not-permitted",
    BadSignature => "bad-signature",
    Replayed => "replayed",
    Expired => "expired",
    OtherVersion => "other-version",
    Malformed => "malformed",
    Busy => "busy",
    NotForThisAgent => "not-for-this-agent",
} }

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than a message may be.
    #[error("it has {0} bytes, and at most {1} were expected")]
    TooLong(usize, usize),
    /// Of another version.
    #[error("it is of version {0}, and version {expected} was expected: {older} is the older one", expected = PROTOCOL, older = older(*.0))]
    OtherVersion(u32),
    /// Not what a message looks like.
    #[error("{0}")]
    Malformed(String),
}

/// Reads a message of ours, its version first.
///
/// # Errors
/// When it is too long, of another version, or no such message.
pub fn read<T: DeserializeOwned>(bytes: &[u8], maximum: usize) -> Result<T, MessageError> {
    #[derive(Deserialize)]
    struct Version {
        protocol: u32,
    }
    if bytes.len() > maximum {
        return Err(MessageError::TooLong(bytes.len(), maximum));
    }
    let malformed = |error: serde_json::Error| MessageError::Malformed(error.to_string());
    let Version { protocol } = serde_json::from_slice(bytes).map_err(malformed)?;
    if protocol != PROTOCOL {
        return Err(MessageError::OtherVersion(protocol));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

/// Writes a message of ours on one line, without its end.
#[must_use]
pub fn write<T: Serialize>(message: &T) -> Vec<u8> {
    // Plain values with text keys always serialise.
    serde_json::to_vec(message).unwrap_or_default()
}

fn older(theirs: u32) -> &'static str {
    if theirs < PROTOCOL { "its sender" } else { "its reader" }
}

/// A target and how to probe it: the part of [`Target`] and [`Options`] that travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeOrder {
    /// Host name or address, without brackets or trailing dot.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path below which the API lives.
    pub base_path: String,
    /// Name for SNI and certificate when it differs.
    pub server_name: Option<String>,
    /// PEM text of the cluster's certificate authorities; the roots of the agent's system when absent.
    pub certificate_authorities: Option<String>,
    /// Authorities that are asked as well, by label.
    pub other_authorities: Vec<(String, String)>,
    /// Addresses to dial beside those that DNS gives.
    pub known_addresses: Vec<IpAddr>,
    /// What has to answer.
    pub service: Service,
    /// Bound of each connect, handshake and first answer, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Bound of a lookup, in milliseconds.
    pub dns_timeout_ms: u64,
    /// Resolver that decides, instead of the agent's host's own.
    pub system_resolver: Option<Vec<SocketAddr>>,
    /// Other resolvers.
    pub resolvers: Vec<ResolverOrder>,
    /// Ranges that are private beside the registered ones.
    pub private: Vec<IpNet>,
    /// Ranges that are public although registered as private.
    pub public: Vec<IpNet>,
    /// Controls that show whether the agent is online.
    pub controls: Vec<Endpoint>,
    /// Requests of the HTTP stage, by path below the base path.
    pub requests: Vec<String>,
    /// Look for the cause when something is wrong.
    pub investigate: bool,
    /// Who tells the address that the agent is seen by.
    pub echo: Vec<EchoServer>,
}

/// A resolver by label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolverOrder {
    /// `vpc`, `public` or any label.
    pub label: String,
    /// Its servers.
    pub servers: Vec<SocketAddr>,
    /// Ask it in every round.
    pub eager: bool,
}

impl ProbeOrder {
    /// What of a target and its options travels. Credentials, proxy and source stay with the controller.
    #[must_use]
    pub fn of(target: &Target, options: &Options) -> Self {
        let (certificate_authorities, other_authorities) = match &target.trust {
            Trust::ClusterCa(authorities) => (Some(authorities.to_pem()), authorities.others_to_pem()),
            Trust::SystemRoots => (None, Vec::new()),
        };
        Self {
            host: target.host.clone(),
            port: target.port,
            base_path: target.base_path.clone(),
            server_name: target.server_name.clone(),
            certificate_authorities,
            other_authorities,
            known_addresses: target.known_addresses.clone(),
            service: target.service,
            connect_timeout_ms: milliseconds(options.connect_timeout),
            dns_timeout_ms: milliseconds(options.dns_timeout),
            system_resolver: match &options.system {
                SystemResolver::Host => None,
                SystemResolver::Servers(servers) => Some(servers.clone()),
            },
            resolvers: options.resolvers.iter().map(ResolverOrder::of).collect(),
            private: options.classes.private.clone(),
            public: options.classes.public.clone(),
            controls: options.controls.clone(),
            requests: options.requests.clone(),
            investigate: options.investigate,
            echo: options.echo.clone(),
        }
    }

    /// What the probers take.
    ///
    /// # Errors
    /// In words, when the certificate authorities cannot be used.
    pub fn unpack(&self, permit: Permit) -> Result<(Target, Options), String> {
        let trust = match &self.certificate_authorities {
            Some(pem) => Trust::ClusterCa(Arc::new(
                ClusterCa::from_pem(pem)
                    .map_err(|error| format!("certificateAuthorities: {error}"))?
                    .beside(self.other_authorities.iter().cloned()),
            )),
            None => Trust::SystemRoots,
        };
        let target = Target {
            host: self.host.clone(),
            port: self.port,
            base_path: self.base_path.clone(),
            server_name: self.server_name.clone(),
            trust,
            known_addresses: self.known_addresses.clone(),
            service: self.service,
        };
        let options = Options {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            dns_timeout: Duration::from_millis(self.dns_timeout_ms),
            system: self.system_resolver.clone().map_or(SystemResolver::Host, SystemResolver::Servers),
            resolvers: self.resolvers.iter().map(ResolverOrder::unpack).collect(),
            source: SourceBinding::default(),
            classes: AddressClasses { private: self.private.clone(), public: self.public.clone() },
            proxy: None,
            controls: self.controls.clone(),
            shared_controls: SharedControls::default(),
            credentials: None,
            requests: self.requests.clone(),
            investigate: self.investigate,
            lean: false,
            echo: self.echo.clone(),
            permit,
        };
        Ok((target, options))
    }
}

impl ResolverOrder {
    fn of(resolver: &NamedResolver) -> Self {
        Self { label: resolver.label.clone(), servers: resolver.servers.clone(), eager: resolver.eager }
    }

    fn unpack(&self) -> NamedResolver {
        NamedResolver { label: self.label.clone(), servers: self.servers.clone(), eager: self.eager }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
