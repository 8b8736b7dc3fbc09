//! From the positioned tree to the plan. Every mistake is noted and the reading goes on.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use ipnet::IpNet;
use kubereach_probes::{AddressClasses, EchoScheme, EchoServer, Endpoint, NamedResolver};

use super::{
    Access, AgentName, Cluster, Contradiction, Download, Egress, Intent, NatsServers, Plan, PlannedCell, PodPlace,
    Propagation, ProviderBlock, SshHost, SsmInstance, Surroundings, Vantage, VantageKind, derive::derive,
};
use crate::{
    client::{
        certificates_pem, host, inline_pem,
        kubeconfig::{self, KubeCluster, KubeconfigSelection},
        parse_server_url,
        proxy::parse_proxy_url,
        split_host_port,
    },
    input::{
        Documents, Entry, Fields, InputError, InputErrors, Kind, Limits, MEBIBYTE, Names, Node, Reading, Source,
        in_order, known, listed, looks_like_a_seed, names_of, quoted, read_bytes, read_root,
    },
    report::{CellTarget, Intended, Provider, Via},
};

/// Validates a scenario.
pub(super) fn read(text: &str, file: &Path, surroundings: &Surroundings<'_>) -> Result<Plan, InputErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() as u64 > LARGEST {
        return Err(InputError::new("the scenario is larger than 4 MiB").in_file(file).into());
    }
    let source = Source::new(file, text);
    let help = "it needs `apiVersion: kubereach/v1`, `clusters`, `vantages` and `expect`";
    let (root, errors) = read_root(&source, text, LIMITS, Reader::WHAT, help)?;
    let mut reader = Reader { source, surroundings, errors };
    match reader.plan(&root) {
        Some(plan) if reader.errors.is_empty() => Ok(plan),
        _ => Err(in_order(reader.errors, file)),
    }
}

struct Reader<'a> {
    source: Source<'a>,
    surroundings: &'a Surroundings<'a>,
    errors: Vec<InputError>,
}

impl Reading for Reader<'_> {
    const WHAT: &'static str = "scenario";

    fn source(&self) -> &Source<'_> {
        &self.source
    }

    fn errors(&mut self) -> &mut Vec<InputError> {
        &mut self.errors
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.surroundings.environment)(name)
    }
}

impl Reader<'_> {
    fn plan(&mut self, root: &Node) -> Option<Plan> {
        let fields = self.fields(root, "a scenario", ROOT_KEYS)?;
        self.api_version(&fields);
        let classes = self.classes(&fields);
        let (clusters, cluster_names) = self.clusters(&fields);
        let (vantages, vantage_names) = self.vantages(&fields);
        let resolvers = fields.get("resolvers").map(|node| self.resolvers(node)).unwrap_or_default();
        let controls = fields.get("controls").map(|node| self.controls(node));
        let propagation = fields.get("propagation").map(|node| self.propagation(node)).unwrap_or_default();
        let echo = fields.get("egress").map(|node| self.egress(node, &["echo"]).echo).unwrap_or_default();
        let nats = fields.entry("nats").and_then(|entry| self.nats(entry));
        let expectations = self.expectations(&fields, &cluster_names, &vantage_names);
        if !clusters.is_empty()
            && expects_nothing(&fields)
            && clusters.iter().all(|cluster| cluster.as_ref().is_some_and(|cluster| cluster.intent.is_none()))
        {
            let message = "nothing is expected: `expect` is empty and no cluster has an `intent`";
            let error = self.source.error(fields.place("expect"), message);
            self.errors.push(
                error.help("add `expect: [{ cluster: …, from: …, reachable: true }]`, or an `intent` to a cluster"),
            );
        }
        if !self.errors.is_empty() {
            return None;
        }
        let clusters: Vec<Cluster> = clusters.into_iter().collect::<Option<_>>()?;
        let mut vantages: Vec<Vantage> = vantages.into_iter().collect::<Option<_>>()?;
        for vantage in vantages.iter_mut().filter(|vantage| vantage.egress.echo.is_empty()) {
            vantage.egress.echo.clone_from(&echo);
        }
        for expectation in expectations.iter().filter(|one| one.target == CellTarget::EksApi) {
            let cluster = &clusters[expectation.cluster];
            // Whose a folder of facts is, is known when it is read.
            let of_facts = cluster.facts.is_some() && cluster.provider == Provider::Generic;
            if cluster.provider != Provider::Eks && !of_facts {
                let message = format!("`target: eks-api` is for EKS clusters, and {} is none", quoted(&cluster.name));
                self.error((expectation.line, 1), message, "leave `target` out, or name the cluster under `eks:`");
            }
        }
        if !self.errors.is_empty() {
            return None;
        }
        let (cells, contradictions) = plan_cells(&clusters, &vantages, expectations, &classes);
        Some(Plan {
            clusters,
            vantages,
            cells,
            contradictions,
            resolvers,
            controls,
            classes,
            propagation,
            nats,
            file: self.source.file.to_owned(),
        })
    }

    fn classes(&mut self, fields: &Fields<'_>) -> AddressClasses {
        let Some(fields) =
            fields.get("classes").and_then(|node| self.fields(node, "`classes`", &["private", "public"]))
        else {
            return AddressClasses::default();
        };
        AddressClasses {
            private: fields.get("private").map(|node| self.ranges(node, "`private`")).unwrap_or_default(),
            public: fields.get("public").map(|node| self.ranges(node, "`public`")).unwrap_or_default(),
        }
    }

    /// The clusters with their names; `None` for one with mistakes, so that its name is known all the same.
    fn clusters(&mut self, fields: &Fields<'_>) -> (Vec<Option<Cluster>>, Names) {
        let entries = self.named(fields, "clusters", "cluster", "clusters: { prod: { endpoint: https://… } }");
        let names = names_of(entries);
        let clusters = entries.iter().map(|entry| self.cluster(entry)).collect();
        (clusters, names)
    }

    fn cluster(&mut self, entry: &Entry) -> Option<Cluster> {
        let before = self.errors.len();
        let name = entry.key.to_string();
        let what = format!("the cluster {}", quoted(&name));
        let fields = self.fields(&entry.value, &what, CLUSTER_KEYS)?;
        let endpoint = fields.get("endpoint").and_then(|node| self.endpoint(node));
        let kube = fields.get("kubeconfig").and_then(|node| self.kubeconfig(node));
        if let (Some(_), Some(kubeconfig)) = (fields.entry("endpoint"), fields.entry("kubeconfig")) {
            let message = format!("{what} has both `endpoint` and `kubeconfig`");
            self.error(kubeconfig.position, message, "keep the one that says where the API server is");
        }
        let block = self.provider_block(&fields, &what);
        if ["endpoint", "kubeconfig", "eks", "aks", "facts"].iter().all(|key| fields.entry(key).is_none()) {
            let message = format!("{what} does not say where its API server is");
            self.error(entry.position, message, "add one of `endpoint`, `kubeconfig`, `eks`, `aks` and `facts`");
        }
        let addresses = fields.get("addresses").map(|node| {
            self.items(node, "`addresses`").into_iter().filter_map(|item| self.address(item, "an address")).collect()
        });
        let ca_pem = fields.get("ca").and_then(|node| self.authority(node));
        let server_name = fields.get("serverName").and_then(|node| {
            let name = self.text(node, "`serverName`")?;
            if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
                let message = format!("{} is no host name", quoted(&name));
                self.error(node.position, message, "write a DNS name or an address, without scheme and port");
            }
            Some(name)
        });
        let facts = fields.get("facts").and_then(|node| self.path(node, "`facts`"));
        let intent = fields.get("intent").and_then(|node| self.intent(node));
        if self.errors.len() > before {
            return None;
        }
        let endpoint = endpoint.or_else(|| kube.as_ref().map(|kube| kube.endpoint.clone()));
        let provider = match (&block, &endpoint) {
            (Some(ProviderBlock::Eks { .. }), _) => Provider::Eks,
            (Some(ProviderBlock::Aks { .. } | ProviderBlock::AksByHost { .. }), _) => Provider::Aks,
            (None, Some(endpoint)) => host::recognise(&endpoint.host).provider,
            (None, None) => Provider::Generic,
        };
        Some(Cluster {
            name,
            endpoint,
            provider,
            ca_pem: ca_pem.or_else(|| kube.as_ref().and_then(|kube| kube.ca_pem.clone())),
            server_name: server_name.or_else(|| kube.as_ref().and_then(|kube| kube.server_name.clone())),
            addresses: addresses.unwrap_or_default(),
            intent,
            provider_block: block,
            kubeconfig: kube,
            facts,
            line: entry.position.0,
        })
    }

    fn endpoint(&mut self, node: &Node) -> Option<super::ClusterEndpoint> {
        let text = self.text(node, "`endpoint`")?;
        match parse_server_url(&text) {
            Ok(endpoint) => Some(endpoint),
            Err(wrong) => {
                let message = format!("`endpoint`: {}", wrong.message);
                // A query may hold a token.
                let mut error = if text.contains('?') {
                    self.source.error_without_snippet(node.position, message)
                } else {
                    self.source.error(node.position, message)
                };
                error.help = wrong.help;
                self.errors.push(error);
                None
            }
        }
    }

    fn kubeconfig(&mut self, node: &Node) -> Option<KubeCluster> {
        let before = self.errors.len();
        let fields = self.fields(node, "`kubeconfig`", &["path", "context"])?;
        let path = fields.get("path").and_then(|node| self.path(node, "`path`"));
        let context = fields.get("context").and_then(|node| self.text(node, "`context`"));
        if self.errors.len() > before {
            return None;
        }
        let selection = KubeconfigSelection::choose(path.as_deref(), context, self.surroundings.environment);
        match kubeconfig::load(&selection, self.surroundings.environment) {
            Ok(cluster) => Some(cluster),
            Err(errors) => {
                self.absorb(node, errors);
                None
            }
        }
    }

    fn provider_block(&mut self, fields: &Fields<'_>, what: &str) -> Option<ProviderBlock> {
        if let (Some(eks), Some(aks)) = (fields.entry("eks"), fields.entry("aks")) {
            let later = if eks.position > aks.position { eks } else { aks };
            let message = format!("{what} has two provider blocks, `eks` and `aks`");
            self.error(later.position, message, "keep the one of the provider that runs it");
        }
        let eks = fields.get("eks").and_then(|node| {
            let fields = self.fields(node, "`eks`", &["name", "region", "profile", "endpointUrl"])?;
            Some(ProviderBlock::Eks {
                name: self.required(&fields, "name", "`eks`")?,
                region: self.optional(&fields, "region"),
                profile: self.optional(&fields, "profile"),
                endpoint_url: self.provider_url(&fields),
            })
        });
        let aks = fields.get("aks").and_then(|node| {
            let fields = self.fields(node, "`aks`", &["subscription", "resourceGroup", "name", "endpointUrl"])?;
            let (subscription, resource_group, name) = (
                self.required(&fields, "subscription", "`aks`"),
                self.required(&fields, "resourceGroup", "`aks`"),
                self.required(&fields, "name", "`aks`"),
            );
            Some(ProviderBlock::Aks {
                subscription: subscription?,
                resource_group: resource_group?,
                name: name?,
                endpoint_url: self.provider_url(&fields),
            })
        });
        eks.or(aks)
    }

    fn provider_url(&mut self, fields: &Fields<'_>) -> Option<String> {
        let node = fields.get("endpointUrl")?;
        let text = self.text(node, "`endpointUrl`")?;
        let usable = url::Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !usable {
            let message = "`endpointUrl` is no `http` or `https` URL without user information";
            self.error(node.position, message, "write it as `http://127.0.0.1:5000`");
        }
        Some(text)
    }

    /// A CA: PEM or base64 in the text, else the path of a file.
    fn authority(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "`ca`")?;
        let help = "give the path of a PEM file, PEM text, or base64 of it";
        let (found, what) = if let Some(found) = inline_pem(&text) {
            (found, "`ca`".to_owned())
        } else {
            let path = self.resolved(&text);
            let what = format!("`ca`, the file {}", path.display());
            let found = read_bytes(&path, "CA file", MEBIBYTE)
                .map_err(|error| error.message)
                .and_then(|bytes| certificates_pem(&bytes));
            (found, what)
        };
        found
            .map_err(|reason| {
                let error = self.source.error(node.position, format!("{what}: {reason}")).help(help);
                self.errors.push(error);
            })
            .ok()
    }

    fn intent(&mut self, node: &Node) -> Option<Intent> {
        let fields = self.fields(node, "`intent`", &["publicAccess", "privateAccess"])?;
        if fields.entry("publicAccess").is_none() && fields.entry("privateAccess").is_none() {
            let message = "`intent` says nothing: neither `publicAccess` nor `privateAccess`";
            self.error(node.position, message, "add `publicAccess: { enabled: true, allow: […] }`, or remove `intent`");
        }
        Some(Intent {
            public_access: fields.entry("publicAccess").and_then(|entry| self.access(entry)),
            private_access: fields.entry("privateAccess").and_then(|entry| self.access(entry)),
        })
    }

    fn access(&mut self, entry: &Entry) -> Option<Access> {
        let fields = self.fields(&entry.value, &format!("`{}`", entry.key), &["enabled", "allow"])?;
        Some(Access {
            enabled: fields.get("enabled").and_then(|node| self.boolean(node, "`enabled`")).unwrap_or(true),
            allow: fields.get("allow").map(|node| self.ranges(node, "`allow`")),
            line: entry.position.0,
        })
    }

    fn vantages(&mut self, fields: &Fields<'_>) -> (Vec<Option<Vantage>>, Names) {
        let entries = self.named(fields, "vantages", "vantage", "vantages: { laptop: { local: {} } }");
        let names = names_of(entries);
        let vantages = entries.iter().map(|entry| self.vantage(entry)).collect();
        (vantages, names)
    }

    fn vantage(&mut self, entry: &Entry) -> Option<Vantage> {
        let before = self.errors.len();
        let what = format!("the vantage {}", quoted(&entry.key));
        let fields = self.fields(&entry.value, &what, VANTAGE_KEYS)?;
        let kinds: Vec<&Entry> = fields.entries.iter().filter(|entry| VANTAGE_KINDS.contains(&&*entry.key)).collect();
        let resolvers = fields.get("resolvers").map(|node| self.resolvers(node)).unwrap_or_default();
        let kind = match kinds.as_slice() {
            [] => {
                let known_mistake = fields.entries.iter().any(|entry| !VANTAGE_KEYS.contains(&&*entry.key));
                if !known_mistake {
                    let message = format!("{what} does not say where it is");
                    let help =
                        format!("add one of {}; `local: {{}}` is this host", listed(VANTAGE_KINDS.iter().copied()));
                    self.error(entry.position, message, help);
                }
                None
            }
            [one] => self.vantage_kind(one),
            [_, second, ..] => {
                let names = listed(kinds.iter().map(|kind| &*kind.key));
                let message = format!("{what} is {names} at once");
                self.error(second.position, message, "keep one; give each place a vantage of its own");
                None
            }
        };
        let egress = fields.get("egress").map(|node| self.egress(node, &["addresses", "echo"])).unwrap_or_default();
        let kind = kind.filter(|_| self.errors.len() == before)?;
        Some(Vantage { name: entry.key.to_string(), kind, resolvers, egress, line: entry.position.0 })
    }

    fn vantage_kind(&mut self, entry: &Entry) -> Option<VantageKind> {
        let what = format!("`{}`", entry.key);
        // `local:` with nothing behind it means `local: {}`.
        if &*entry.key == "local" && entry.value.is_null() {
            return Some(VantageKind::Local { source_ip: None, interface: None, netns: None });
        }
        let mut fields = |keys: &[&str]| self.fields(&entry.value, &what, keys);
        match &*entry.key {
            "local" => {
                let fields = fields(&["sourceIp", "interface", "netns"])?;
                Some(VantageKind::Local {
                    source_ip: fields.get("sourceIp").and_then(|node| self.address(node, "`sourceIp`")),
                    interface: self.system_name(&fields, "interface", LONGEST_INTERFACE),
                    netns: self.system_name(&fields, "netns", LONGEST_FILE_NAME),
                })
            }
            "proxy" => {
                let fields = fields(&["url"])?;
                let Some(node) = fields.get("url") else {
                    self.lacks(&fields, "url", &what);
                    return None;
                };
                let text = self.text(node, "`url`")?;
                let found = if text.contains("://") {
                    parse_proxy_url(&text)
                } else {
                    Err("the proxy's URL has no scheme".to_owned())
                };
                found
                    .map(VantageKind::Proxy)
                    .map_err(|message| {
                        // The line may hold the proxy's password.
                        let error = self.source.error_without_snippet(node.position, message);
                        self.errors
                            .push(error.help("write `http://host:port`, `https://…`, `socks5://…` or `socks5h://…`"));
                    })
                    .ok()
            }
            "model" => {
                let fields = fields(&["ip", "instance"])?;
                if fields.entry("ip").is_none() && fields.entry("instance").is_none() {
                    let help = "add `ip: <address>` or `instance: <instance id>`";
                    self.error(entry.position, "`model` says neither `ip` nor `instance`", help);
                }
                Some(VantageKind::Model {
                    ip: fields.get("ip").and_then(|node| self.address(node, "`ip`")),
                    instance: self.word(&fields, "instance"),
                })
            }
            "ssh" => {
                let fields = fields(&["host", "port", "config", "agent"])?;
                Some(VantageKind::Ssh(SshHost {
                    port: fields.get("port").and_then(|node| self.port(node)),
                    config: fields.get("config").and_then(|node| self.path(node, "`config`")),
                    agent: self.remote_path(&fields, "agent"),
                    host: self.ssh_host(&fields, &what)?,
                }))
            }
            "ssm" => {
                let fields = fields(&["instance", "region", "profile", "endpointUrl", "agent", "download"])?;
                Some(VantageKind::Ssm(SsmInstance {
                    region: self.word(&fields, "region"),
                    profile: self.word(&fields, "profile"),
                    endpoint_url: self.word(&fields, "endpointUrl"),
                    agent: self.remote_path(&fields, "agent"),
                    download: fields.get("download").and_then(|node| self.download(node)),
                    instance: self.managed_instance(&fields, &what)?,
                }))
            }
            "kubernetes" => {
                let keys = &["kubeconfig", "namespace", "image", "serviceAccount", "nodeSelector"];
                let fields = fields(keys)?;
                let file = fields.get("kubeconfig").and_then(|node| {
                    let fields = self.fields(node, "`kubeconfig`", &["path", "context"])?;
                    let path = fields.get("path").and_then(|node| self.path(node, "`path`"));
                    Some((path, fields.get("context").and_then(|node| self.text(node, "`context`"))))
                });
                let (kubeconfig, context) = file.unwrap_or_default();
                Some(VantageKind::Kubernetes(PodPlace {
                    kubeconfig,
                    context,
                    namespace: self.namespace(&fields),
                    service_account: self.word(&fields, "serviceAccount"),
                    node_selector: fields
                        .get("nodeSelector")
                        .map(|node| self.texts(node, "nodeSelector", "a label"))
                        .unwrap_or_default(),
                    image: self.required_word(&fields, "image", &what)?,
                }))
            }
            _ => {
                let fields = fields(&["name", "key"])?;
                let (name, key) = (self.required_word(&fields, "name", &what), self.public_key(&fields));
                let name = name?;
                if !kubereach_agent::is_agent_name(&name) {
                    let message = format!("{} cannot be the name of an agent", quoted(&name));
                    let help = "a name has 1 to 64 letters, digits, `-` and `_`";
                    self.error(fields.place("name"), message, help);
                    return None;
                }
                Some(VantageKind::Agent(AgentName { name, key }))
            }
        }
    }

    /// `egress` of the scenario (only `echo`) or of a vantage.
    fn egress(&mut self, node: &Node, keys: &[&str]) -> Egress {
        let Some(fields) = self.fields(node, "`egress`", keys) else { return Egress::default() };
        let mut echo = Vec::new();
        let help = "write `https://host/path`, `http://…`, `stun://host:3478` or `stun-tcp://…`";
        for item in fields.get("echo").map(|node| self.urls(node, "`echo`", help)).unwrap_or_default() {
            let Some(text) = self.text(item, "an echo server") else { continue };
            match parse_echo_server(&text) {
                Ok(server) => echo.push(server),
                Err(reason) => self.error_of_secret(item, format!("the echo server: {reason}"), help),
            }
        }
        Egress {
            declared: fields.get("addresses").map(|node| self.ranges(node, "`addresses`")).unwrap_or_default(),
            echo,
        }
    }

    fn nats(&mut self, entry: &Entry) -> Option<NatsServers> {
        let keys = &["servers", "ca", "credentials", "userKey", "certificate", "key", "signingKey"];
        let fields = self.fields(&entry.value, "`nats`", keys)?;
        let mut servers = Vec::new();
        let help = "write `tls://host:port`; `nats://127.0.0.1:4222` is for this host alone";
        for item in fields.get("servers").map(|node| self.urls(node, "`servers`", help)).unwrap_or_default() {
            let Some(text) = self.text(item, "a server") else { continue };
            if let Err(reason) = kubereach_agent::check_server(&text) {
                self.error_of_secret(item, format!("the server: {reason}"), help);
            } else {
                servers.push(text);
            }
        }
        if fields.entry("servers").is_none() {
            self.lacks(&fields, "servers", "`nats`");
        } else if servers.is_empty() && self.errors.is_empty() {
            self.error(fields.place("servers"), "`servers` is empty", "write `servers: [tls://nats.example.com:4222]`");
        }
        let mut file = |key: &str| fields.get(key).and_then(|node| self.path(node, &format!("`{key}`")));
        let (ca, credentials, user_key) = (file("ca"), file("credentials"), file("userKey"));
        let (certificate, key, signing_key) = (file("certificate"), file("key"), file("signingKey"));
        if certificate.is_some() != key.is_some() {
            let help = "a client certificate is `certificate: FILE` and `key: FILE`";
            self.error(entry.position, "`certificate` and `key` go together, and one of them is missing", help);
        }
        if signing_key.is_none() {
            self.lacks(&fields, "signingKey", "`nats`");
        }
        Some(NatsServers {
            servers,
            ca,
            credentials,
            user_key,
            certificate: certificate.zip(key),
            signing_key: signing_key?,
            line: entry.position.0,
        })
    }

    /// `[user@]host`: what OpenSSH takes, which has no place for a port. OpenSSH itself refuses what a shell could take
    /// for its own, in hosts and users (`valid_hostname` and `valid_ruser` of
    /// <https://github.com/openssh/openssh-portable/blob/master/ssh.c>).
    fn ssh_host(&mut self, fields: &Fields<'_>, what: &str) -> Option<String> {
        let host = self.required_word(fields, "host", what)?;
        let name = host.rsplit_once('@').map_or(host.as_str(), |(_, name)| name);
        if let Some((name, port)) = name.rsplit_once(':')
            && !name.is_empty()
            && (!name.contains(':') || name.ends_with(']'))
        {
            let message = format!("{} has a port in it", quoted(&host));
            let help = match port.parse::<u16>() {
                Ok(port) if port > 0 => format!("write `port: {port}` beside `host`"),
                _ => "write the port beside it: `port: 22`".to_owned(),
            };
            self.error(fields.place("host"), message, help);
            return None;
        }
        if let Some(inside) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let message = format!("{} has brackets, which OpenSSH takes for a part of the name", quoted(&host));
            self.error(fields.place("host"), message, format!("write {} without brackets", quoted(inside)));
            return None;
        }
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-@:%+/=~,".contains(letter);
        if !host.chars().all(plain) || name.is_empty() || name.starts_with('-') || host.starts_with('@') {
            let message = format!("{} cannot be a host of OpenSSH", quoted(&host));
            let help = "write `host` or `user@host`, of letters, digits and `._-`, or a `Host` of your `ssh_config`";
            self.error(fields.place("host"), message, help);
            return None;
        }
        Some(host)
    }

    /// The id of a managed node: of EC2 (`i-…`) or of another machine (`mi-…`).
    fn managed_instance(&mut self, fields: &Fields<'_>, what: &str) -> Option<String> {
        let instance = self.required_word(fields, "instance", what)?;
        let id = instance.strip_prefix("mi-").or_else(|| instance.strip_prefix("i-"));
        if !id.is_some_and(|id| !id.is_empty() && id.chars().all(|digit| digit.is_ascii_alphanumeric())) {
            let message = format!("{} is no id of a managed instance", quoted(&instance));
            let help = "write an id such as `i-0123456789abcdef0` or `mi-0123456789abcdef0`, not a name; `aws ssm describe-instance-information` lists them";
            self.error(fields.place("instance"), message, help);
            return None;
        }
        Some(instance)
    }

    /// The name of a Kubernetes namespace: a DNS label
    /// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>).
    fn namespace(&mut self, fields: &Fields<'_>) -> Option<String> {
        let name = self.word(fields, "namespace")?;
        let plain = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
        if name.len() > 63 || !name.chars().all(plain) || name.ends_with('-') {
            let message = format!("{} cannot be the name of a namespace", quoted(&name));
            let help = "a namespace has 1 to 63 lower-case letters, digits and `-`, and begins and ends with a letter or digit";
            self.error(fields.place("namespace"), message, help);
            return None;
        }
        Some(name)
    }

    fn public_key(&mut self, fields: &Fields<'_>) -> Option<String> {
        let key = self.word(fields, "key")?;
        if looks_like_a_seed(&key) {
            let message = "this is the secret seed; write the public key";
            let help = "the public key begins with `U`; `kubereach agent --make-key` prints it, and so does the agent when it starts. Whoever reads this file can now speak for the agent: make another key";
            self.error(fields.place("key"), message, help);
            return None;
        }
        if !kubereach_agent::is_public_key(&key) {
            let message = format!("{} is no public key of an agent", quoted(&key));
            let help = "it begins with `U` and has 56 characters; the agent prints it when it starts";
            self.error(fields.place("key"), message, help);
            return None;
        }
        Some(key)
    }

    fn port(&mut self, node: &Node) -> Option<u16> {
        let text = self.text(node, "`port`")?;
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.error(node.position, format!("{} is no port", quoted(&text)), "write a number from 1 to 65535");
        }
        port
    }

    /// A path on another host, which becomes a word of a shell there.
    fn remote_path(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let path = self.word(fields, key)?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._+-".contains(letter);
        if !path.starts_with('/') || !path.chars().all(plain) {
            let message = format!("{} cannot be the path of an agent", quoted(&path));
            let help =
                "write an absolute path of letters, digits and `/._+-`, such as `/usr/local/bin/kubereach-agent`";
            self.error(fields.place(key), message, help);
            return None;
        }
        Some(path)
    }

    fn download(&mut self, node: &Node) -> Option<Download> {
        let fields = self.fields(node, "`download`", &["url", "sha256"])?;
        let url = self.required_word(&fields, "url", "`download`");
        let sha256 = self.required_word(&fields, "sha256", "`download`");
        let (url, sha256) = (url?, sha256?);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._+-:%@?=&~,".contains(letter);
        if !url.starts_with("https://") || !url.chars().all(plain) {
            let message = format!("{} is no address to download an agent from", quoted(&url));
            self.error(fields.place("url"), message, "write `https://host/path`");
            return None;
        }
        if sha256.len() != 64 || !sha256.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')) {
            let message = format!("{} is no SHA-256 digest", quoted(&sha256));
            self.error(fields.place("sha256"), message, "write the 64 lower-case digits that `sha256sum` prints");
            return None;
        }
        Some(Download { url, sha256 })
    }

    /// The name of an interface or a namespace: one component of a path, as the system keeps it.
    fn system_name(&mut self, fields: &Fields<'_>, key: &str, longest: usize) -> Option<String> {
        let node = fields.get(key)?;
        let name = self.text(node, &format!("`{key}`"))?;
        let odd = |character: char| character == '/' || character.is_whitespace() || character.is_control();
        if name.is_empty() || name.len() > longest || name == "." || name == ".." || name.contains(odd) {
            let message = format!("{} cannot be the name of `{key}`", quoted(&name));
            self.error(
                node.position,
                message,
                format!("a name has 1 to {longest} characters, no slash, no white space"),
            );
            return None;
        }
        Some(name)
    }

    /// A word that becomes an argument of another program: never an option, never two words.
    fn word(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        let word = self.text(node, &format!("`{key}`"))?;
        if word.is_empty() || word.starts_with('-') || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = format!("{} cannot be a `{key}`", quoted(&word));
            self.error(node.position, message, "it must be one word that does not begin with `-`");
            return None;
        }
        Some(word)
    }

    fn required_word(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<String> {
        if fields.entry(key).is_none() {
            self.lacks(fields, key, what);
        }
        self.word(fields, key)
    }

    fn resolvers(&mut self, node: &Node) -> Vec<NamedResolver> {
        let Kind::Map(entries) = &node.kind else {
            self.mismatch(node, "`resolvers`", "a mapping from a label to addresses");
            return Vec::new();
        };
        let mut resolvers = Vec::new();
        for entry in entries {
            let what = format!("the resolver {}", quoted(&entry.key));
            let items: Vec<&Node> = match &entry.value.kind {
                Kind::Scalar { .. } => vec![&entry.value],
                _ => self.items(&entry.value, &what),
            };
            if items.is_empty() && !matches!(entry.value.kind, Kind::Map(_)) {
                self.error(entry.position, format!("{what} has no address"), "write `public: [9.9.9.9]`, or remove it");
            }
            let servers = items.into_iter().filter_map(|item| self.server(item, &what)).collect();
            resolvers.push(NamedResolver { label: entry.key.to_string(), servers, eager: true });
        }
        resolvers
    }

    /// `host` or `host:port`; a name is resolved here, once.
    fn server(&mut self, node: &Node, what: &str) -> Option<SocketAddr> {
        let text = self.text(node, what)?;
        let help = "write an address such as `9.9.9.9` or `9.9.9.9:5353`";
        match split_host_port(&text) {
            Err(reason) => {
                self.error(node.position, format!("{} is no address of a resolver: {reason}", quoted(&text)), help);
                None
            }
            Ok((host, port)) => {
                let address = host.parse().ok().or_else(|| (self.surroundings.resolve)(&host));
                if address.is_none() {
                    self.error(
                        node.position,
                        format!("the resolver {} has no address that this host can find", quoted(&host)),
                        help,
                    );
                }
                address.map(|address| SocketAddr::new(address, port.unwrap_or(53)))
            }
        }
    }

    fn controls(&mut self, node: &Node) -> Vec<Endpoint> {
        let mut controls = Vec::new();
        for item in self.items(node, "`controls`") {
            let Some(text) = self.text(item, "a control") else { continue };
            let help = "write `host:port`; `controls: []` asks nobody";
            match split_host_port(&text) {
                Ok((host, Some(port))) => controls.push(Endpoint { host, port }),
                Ok((_, None)) => {
                    self.error(item.position, format!("the control {} lacks its port", quoted(&text)), help);
                }
                Err(reason) => self.error(item.position, format!("the control {}: {reason}", quoted(&text)), help),
            }
        }
        controls
    }

    fn propagation(&mut self, node: &Node) -> Propagation {
        let default = Propagation::default();
        let Some(fields) = self.fields(node, "`propagation`", &["window", "interval", "consecutive"]) else {
            return default;
        };
        let window = fields.get("window").and_then(|node| self.duration(node, "`window`"));
        let interval = fields.get("interval").and_then(|node| {
            let interval = self.duration(node, "`interval`")?;
            if interval.is_zero() {
                self.error(
                    node.position,
                    "`interval` is 0: rounds would follow each other without a pause",
                    "write `interval: 5s`",
                );
            }
            Some(interval)
        });
        let consecutive = fields.get("consecutive").and_then(|node| {
            let help = "it is how many agreeing rounds in a row are believed, 3 by default";
            self.number(node, "`consecutive`", 1..=1000, help)
        });
        Propagation {
            window,
            interval: interval.unwrap_or(default.interval),
            consecutive: consecutive.unwrap_or(default.consecutive),
        }
    }

    fn expectations(&mut self, fields: &Fields<'_>, clusters: &Names, vantages: &Names) -> Vec<Expectation> {
        let Some(node) = fields.get("expect") else { return Vec::new() };
        let items = self.items(node, "`expect`");
        items.into_iter().flat_map(|item| self.expectation(item, clusters, vantages)).collect()
    }

    fn expectation(&mut self, node: &Node, clusters: &Names, vantages: &Names) -> Vec<Expectation> {
        let what = "an entry of `expect`";
        let Some(fields) = self.fields(node, what, &["cluster", "target", "from", "reachable", "via"]) else {
            return Vec::new();
        };
        for key in ["cluster", "from", "reachable"] {
            if fields.entry(key).is_none() {
                self.lacks(&fields, key, what);
            }
        }
        let cluster = fields.get("cluster").and_then(|node| self.reference(node, "cluster", clusters));
        let from: Vec<&Node> = match fields.get("from") {
            Some(node @ Node { kind: Kind::List(items), .. }) => {
                if items.is_empty() {
                    self.error(node.position, "`from` is empty", format!("known vantages: {}", known(vantages)));
                }
                items.iter().collect()
            }
            Some(node) => vec![node],
            None => Vec::new(),
        };
        let vantages: Vec<usize> =
            from.into_iter().filter_map(|node| self.reference(node, "vantage", vantages)).collect();
        let reachable = fields.get("reachable").and_then(|node| self.boolean(node, "`reachable`"));
        let via = fields.get("via").and_then(|node| {
            let text = self.text(node, "`via`")?;
            match text.as_str() {
                "public" => Some(Via::Public),
                "private" => Some(Via::Private),
                other => {
                    let message = format!("`via` must be `public` or `private`, but {} stands here", quoted(other));
                    self.error(node.position, message, "leave it out where either may answer");
                    None
                }
            }
        });
        let target = match fields.get("target") {
            Some(node) => self.target(node),
            None => CellTarget::Kubernetes,
        };
        let (Some(cluster), Some(reachable)) = (cluster, reachable) else { return Vec::new() };
        let line = node.position.0;
        vantages.into_iter().map(|vantage| Expectation { cluster, target, vantage, reachable, via, line }).collect()
    }

    fn target(&mut self, node: &Node) -> CellTarget {
        let text = self.text(node, "`target`").unwrap_or_default();
        let known = CellTarget::ALL.iter().find(|target| target.label() == text);
        if known.is_none() && !text.is_empty() {
            let message = format!("`target` must be `kubernetes` or `eks-api`, but {} stands here", quoted(&text));
            self.error(node.position, message, "leave it out for the cluster's own API server");
        }
        known.copied().unwrap_or_default()
    }

    fn address(&mut self, node: &Node, what: &str) -> Option<IpAddr> {
        let text = self.text(node, what)?;
        let address = text.parse::<IpAddr>().ok();
        if address.is_none() {
            let message = format!("{what} must be an IP address, but {} stands here", quoted(&text));
            self.error(node.position, message, "write it as `192.0.2.7` or `2001:db8::7`");
        }
        address
    }

    fn ranges(&mut self, node: &Node, what: &str) -> Vec<IpNet> {
        self.items(node, what).into_iter().filter_map(|item| self.range(item)).collect()
    }

    /// A range in its canonical form; a bare address is the range that holds it alone.
    fn range(&mut self, node: &Node) -> Option<IpNet> {
        let text = self.text(node, "a range")?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(IpNet::from(address));
        }
        match text.parse::<IpNet>() {
            Ok(range) if range == range.trunc() => Some(range),
            Ok(range) => {
                let message = format!("the range {} has host bits set", quoted(&text));
                let help = format!(
                    "write `{}` for the range, or `{}` for the one address",
                    range.trunc(),
                    IpNet::from(range.addr())
                );
                self.error(node.position, message, help);
                None
            }
            Err(_) => {
                let message = format!("{} is not a range of addresses", quoted(&text));
                self.error(node.position, message, "write it as `203.0.113.0/24` or `2001:db8::/48`");
                None
            }
        }
    }
}

/// One pair that `expect` names.
struct Expectation {
    cluster: usize,
    target: CellTarget,
    vantage: usize,
    reachable: bool,
    via: Option<Via>,
    line: usize,
}

/// The cells: those of `expect` in its order, then those that intents imply; and where the scenario contradicts itself.
fn plan_cells(
    clusters: &[Cluster],
    vantages: &[Vantage],
    expectations: Vec<Expectation>,
    classes: &AddressClasses,
) -> (Vec<PlannedCell>, Vec<Contradiction>) {
    let mut cells: Vec<PlannedCell> = Vec::new();
    let mut places: HashMap<(usize, CellTarget, usize), (usize, usize)> = HashMap::new();
    let mut contradictions = Vec::new();
    for expectation in expectations {
        let Expectation { cluster, target, vantage, reachable, via, line } = expectation;
        let intended = if reachable { Intended::Reachable } else { Intended::Unreachable };
        let contradiction = |message: String| Contradiction { cluster, target, vantage, message };
        // An intent is about the cluster's own endpoint.
        if target.is_kubernetes()
            && let Some(message) = contradicts_intent(&clusters[cluster], &vantages[vantage], &expectation, classes)
        {
            contradictions.push(contradiction(message));
        }
        if let Some((index, first)) = places.get(&(cluster, target, vantage)) {
            let cell = &mut cells[*index];
            let words = |intended: Intended, via: Option<Via>| match via {
                Some(via) => format!("{} via {}", intended.label(), via.label()),
                None => intended.label().to_owned(),
            };
            if cell.intended != intended || cell.via.is_some() && via.is_some() && cell.via != via {
                contradictions.push(contradiction(format!(
                    "line {first} expects it {}, line {line} expects it {}",
                    words(cell.intended, cell.via),
                    words(intended, via)
                )));
            } else {
                cell.via = cell.via.or(via);
            }
            continue;
        }
        places.insert((cluster, target, vantage), (cells.len(), line));
        cells.push(PlannedCell { cluster, target, vantage, intended, via, origin: format!("expect, line {line}") });
    }
    for (cluster, details) in clusters.iter().enumerate() {
        let Some(intent) = &details.intent else { continue };
        for (vantage, from) in vantages.iter().enumerate() {
            let target = CellTarget::Kubernetes;
            if !places.contains_key(&(cluster, target, vantage)) {
                let (intended, origin) = derive(intent, &from.kind, &from.egress.declared, classes);
                cells.push(PlannedCell { cluster, target, vantage, intended, via: None, origin });
            }
        }
    }
    (cells, contradictions)
}

/// Why no configuration within the cluster's intent can meet the expectation.
fn contradicts_intent(
    cluster: &Cluster,
    vantage: &Vantage,
    expectation: &Expectation,
    classes: &AddressClasses,
) -> Option<String> {
    let intent = cluster.intent.as_ref()?;
    let line = expectation.line;
    let path = match expectation.via {
        Some(Via::Public) => Some((&intent.public_access, "public")),
        Some(Via::Private) => Some((&intent.private_access, "private")),
        _ => None,
    };
    if let Some((Some(access), name)) = path
        && expectation.reachable
        && !access.enabled
    {
        return Some(format!(
            "line {line} expects it reachable via {name}, but line {} says {name}Access is not enabled",
            access.line
        ));
    }
    let VantageKind::Model { ip: Some(ip), instance: None } = &vantage.kind else { return None };
    // Where the expectation names the path, only that path of the intent counts.
    let considered = match expectation.via {
        Some(Via::Public) => Intent { public_access: intent.public_access.clone(), private_access: None },
        Some(Via::Private) => Intent { public_access: None, private_access: intent.private_access.clone() },
        _ => intent.clone(),
    };
    let (derived, origin) = derive(&considered, &vantage.kind, &vantage.egress.declared, classes);
    match (expectation.reachable, derived) {
        (true, Intended::Unreachable) => {
            Some(format!("line {line} expects it reachable, but {origin} does not allow {ip}"))
        }
        (false, Intended::Reachable) => Some(format!("line {line} expects it unreachable, but {origin} allows {ip}")),
        _ => None,
    }
}

/// Whether `expect` is absent or an empty list.
fn expects_nothing(fields: &Fields<'_>) -> bool {
    fields.get("expect").is_none_or(|node| matches!(&node.kind, Kind::List(items) if items.is_empty()))
}

/// `scheme://host[:port][/path]`.
fn parse_echo_server(text: &str) -> Result<EchoServer, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let scheme = EchoScheme::ALL
        .iter()
        .copied()
        .find(|known| known.label().eq_ignore_ascii_case(scheme))
        .ok_or("its scheme is not known")?;
    let (place, path) = rest.split_once('/').map_or((rest, String::new()), |(place, path)| (place, format!("/{path}")));
    if place.contains('@') {
        return Err("credentials do not belong here".to_owned());
    }
    // The reasons of the parser repeat what they were given.
    let (host, port) = split_host_port(place).map_err(|_| "its host or port cannot be read".to_owned())?;
    let stun = matches!(scheme, EchoScheme::Stun | EchoScheme::StunTcp);
    if stun && !path.is_empty() {
        return Err("STUN knows no path".to_owned());
    }
    if path.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err("its path holds what no path may hold".to_owned());
    }
    let default = match scheme {
        EchoScheme::Http => 80,
        EchoScheme::Https => 443,
        EchoScheme::Stun | EchoScheme::StunTcp => 3478,
    };
    let path = if stun || !path.is_empty() { path } else { "/".to_owned() };
    Ok(EchoServer { scheme, host, port: port.unwrap_or(default), path })
}

/// Ten thousand clusters fit, and a page that unfolds itself does not.
const LIMITS: Limits = Limits { nodes: 400_000, depth: 64, documents: Documents::One };
const LONGEST_INTERFACE: usize = 15;
const LONGEST_FILE_NAME: usize = 255;

const ROOT_KEYS: &[&str] = &[
    "apiVersion",
    "clusters",
    "resolvers",
    "vantages",
    "expect",
    "propagation",
    "controls",
    "classes",
    "egress",
    "nats",
];
const CLUSTER_KEYS: &[&str] =
    &["endpoint", "kubeconfig", "eks", "aks", "addresses", "ca", "serverName", "facts", "intent"];
const VANTAGE_KINDS: &[&str] = &["local", "proxy", "model", "ssh", "ssm", "kubernetes", "agent"];
const VANTAGE_KEYS: &[&str] = &["local", "proxy", "model", "ssh", "ssm", "kubernetes", "agent", "resolvers", "egress"];
/// Bytes of a scenario file.
pub(super) const LARGEST: u64 = 4 * MEBIBYTE;
