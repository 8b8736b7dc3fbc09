//! `kubereach doctor`: why does kubectl hang? The plan is made from kubeconfig and environment; nothing is configured.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use kubereach_probes::{AddressClasses, Credentials, Endpoint, NamedResolver};

use super::{arguments::DoctorArguments, printer, run, verify};
use crate::{
    check::Settings,
    client::{
        ClientEnvironment, ProxySetting, certificates_pem,
        exec::{EksIdentity, exec_credentials},
        host::{HostIdentity, recognise},
        kubeconfig::{self, KubeCluster, KubeconfigSelection},
        proxy::proxy_for,
    },
    input::{InputError, InputErrors, MEBIBYTE, read_bytes},
    report::{
        CellTarget, Intended, Provider, Verdict,
        page::{Ink, Page, Paper, span},
        text::Mode,
    },
    scenario::{Cluster, ClusterEndpoint, Egress, Plan, PlannedCell, Propagation, ProviderBlock, Vantage, VantageKind},
};

pub(super) fn main(
    arguments: &DoctorArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ExitCode, InputErrors> {
    let common = &arguments.common;
    run::check_files(&common.output)?;
    let Diagnosis { mut plan, mut environment, credentials, identity, eks } = diagnose(arguments, environment)?;
    if let (true, Some(exec)) = (arguments.no_controls, &mut environment.exec) {
        // It is not to be asked either; whether it answers stays unknown.
        exec.token_service = None;
    }
    verify::give_facts(&mut plan, common.facts.as_deref());
    let host = plan.clusters[0].endpoint.as_ref().map(|endpoint| endpoint.host.clone());
    let provider = match (identity.provider, host) {
        (Provider::Aks, Some(host)) => azure_api(arguments, host, &|name| crate::input::variable(name)),
        _ => provider_api(arguments, eks, &|name| crate::input::variable(name)),
    };
    if let ProviderApi::Ask(block) = &provider {
        plan.clusters[0].provider_block = Some(block.clone());
    }
    let mut settings = Settings { credentials, configuration_in_need: true, ..verify::from_arguments(common) };
    ask_in_need(&mut settings, arguments.no_controls);
    settings.client = Some(Arc::new(environment));
    let report = run::block_on(run::run(&plan, &settings, common.output.verbose, common.timeout))??;
    // What a name means for the answer matters where the answer is not the hoped-for one.
    let meaning = identity.meaning.filter(|_| report.verdict != Verdict::Match || common.output.verbose);
    let host = plan.clusters.first().and_then(|cluster| cluster.endpoint.as_ref()).map(|endpoint| &endpoint.host);
    let paper = printer::paper(common.output.color);
    let mut footer = match (host, meaning) {
        (Some(host), Some(meaning)) => about(host, meaning, paper),
        _ => String::new(),
    };
    if let ProviderApi::NotAsked(why) = provider
        && report.verdict != Verdict::Match
        && plan.clusters[0].provider != Provider::Generic
    {
        footer.push_str(&would_add(plan.clusters[0].provider, why, paper));
    }
    run::write(&report, &common.output, Mode::Doctor, None, &footer)
}

/// What doctor will do.
#[derive(Debug)]
struct Diagnosis {
    /// One cluster, seen by the path that kubectl takes and, where a proxy is in play, by the other one.
    plan: Plan,
    /// This host as a client.
    environment: ClientEnvironment,
    /// Credentials, when they were asked for.
    credentials: Option<Credentials>,
    /// What the host name says about the cluster.
    identity: HostIdentity,
    /// The EKS cluster that the kubeconfig names.
    eks: Option<EksIdentity>,
}

/// Whether the provider's API is asked when something is wrong.
enum ProviderApi {
    /// It is asked about this cluster.
    Ask(ProviderBlock),
    /// It is not, for this reason: what may follow "was not read:".
    NotAsked(&'static str),
    /// The configuration is known from a folder.
    Known,
}

/// Credentials are used only where the kubeconfig itself uses them, and nobody is asked for any: what stands in the
/// environment, the shared files or the machine's own role is there, or it is not.
fn provider_api(
    arguments: &DoctorArguments,
    eks: Option<EksIdentity>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> ProviderApi {
    let Some(EksIdentity { name, region, profile }) = eks else {
        return match &arguments.common.facts {
            Some(_) => ProviderApi::Known,
            None => ProviderApi::NotAsked("the kubeconfig does not say which EKS cluster this is"),
        };
    };
    if arguments.common.facts.is_some() {
        return ProviderApi::Known;
    }
    if arguments.no_provider_api {
        return ProviderApi::NotAsked("--no-provider-api was given");
    }
    let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let file = |variable: &str, default: &str| {
        let own = environment(variable).map(PathBuf::from);
        own.or_else(|| Some(Path::new(&environment("HOME")?).join(".aws").join(default)))
            .is_some_and(|path| path.is_file())
    };
    let there = CREDENTIAL_VARIABLES.iter().any(|name| set(name))
        || profile.is_some()
        || file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
        || file("AWS_CONFIG_FILE", "config")
        || machine("sys_vendor") == "Amazon EC2";
    if there {
        ProviderApi::Ask(ProviderBlock::Eks { name, region: Some(region), profile, endpoint_url: None })
    } else {
        ProviderApi::NotAsked("there are no AWS credentials here")
    }
}

/// The same for AKS: a kubeconfig does not name the cluster to Azure, but its server's name is that of one cluster only.
fn azure_api(arguments: &DoctorArguments, host: String, environment: &dyn Fn(&str) -> Option<String>) -> ProviderApi {
    if arguments.common.facts.is_some() {
        return ProviderApi::Known;
    }
    if arguments.no_provider_api {
        return ProviderApi::NotAsked("--no-provider-api was given");
    }
    let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let path = environment("PATH").unwrap_or_default();
    let there = AZURE_VARIABLES.iter().any(|name| set(name))
        || std::env::split_paths(&path).any(|folder| folder.join("az").is_file())
        || machine("chassis_asset_tag") == AZURE_CHASSIS;
    if there {
        let endpoint_url = environment(AZURE_ENDPOINT).filter(|url| !url.is_empty());
        ProviderApi::Ask(ProviderBlock::AksByHost { host, endpoint_url })
    } else {
        ProviderApi::NotAsked("there is no Azure login here")
    }
}

/// What the configuration would add, and how to give it.
fn would_add(provider: Provider, why: &str, paper: Paper) -> String {
    let mut page = Page::new(paper);
    let (compared, log_in, name) = match provider {
        Provider::Aks => (
            "the authorized ranges, private zones and their links, network security groups, routes and peerings",
            "log in to Azure (az login)",
            "aks",
        ),
        Provider::Eks | Provider::Generic => {
            ("the allow list, security groups, network ACLs, routes and the VPC's DNS settings", "log in to AWS", "eks")
        }
    };
    let text = format!(
        "The cluster's configuration was not read: {why}. With it doctor compares {compared} with what it saw: {log_in} \
         and repeat, or give --facts DIR (`kubereach facts pull {name}` writes one, also elsewhere)."
    );
    page.paragraph(0, 2, &[span(Ink::Dim, text)]);
    format!("\n{}", page.finish())
}

/// Makes the plan.
///
/// # Errors
/// When the kubeconfig or an argument cannot be used: nothing is probed then.
fn diagnose(
    arguments: &DoctorArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Diagnosis, InputErrors> {
    let mut cluster = match &arguments.server {
        Some(server) => from_server(server, arguments, environment)?,
        None => {
            let file = arguments.kubeconfig.as_deref();
            let selection = KubeconfigSelection::choose(file, arguments.context.clone(), environment);
            kubeconfig::load(&selection, environment)?
        }
    };
    if let Some(name) = &arguments.tls_server_name {
        cluster.server_name = Some(name.clone());
    }
    let credentials = if arguments.auth { credentials(&cluster)? } else { None };
    let identity = recognise(&cluster.endpoint.host);
    let plan = plan(&cluster, &identity);
    let eks = cluster.exec.as_ref().and_then(|exec| exec.eks_cluster(&cluster.endpoint.host, environment));
    Ok(Diagnosis { plan, environment: cluster.environment, credentials, identity, eks })
}

/// The sentence about the endpoint's name below the report.
fn about(host: &str, meaning: &str, paper: Paper) -> String {
    let mut page = Page::new(paper);
    page.paragraph(0, 2, &[span(Ink::Dim, format!("{host} is {meaning}."))]);
    format!("\n{}", page.finish())
}

/// What `--auth` sends: the static credentials, else what the exec plugin prints.
fn credentials(cluster: &KubeCluster) -> Result<Option<Credentials>, InputErrors> {
    match (&cluster.credentials, &cluster.exec) {
        (Some(credentials), _) => Ok(Some(credentials.clone())),
        (None, Some(exec)) => exec_credentials(exec).map(Some),
        (None, None) => Err(InputError::new("--auth: the context's user has no credentials")
            .help("leave out --auth, or name a context with --context")
            .into()),
    }
}

fn from_server(
    endpoint: &ClusterEndpoint,
    arguments: &DoctorArguments,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<KubeCluster, InputErrors> {
    let ca_pem = arguments.ca.as_ref().map(|path| read_ca(path)).transpose()?;
    let proxy = proxy_for(&endpoint.host, endpoint.port, None, environment);
    Ok(KubeCluster {
        name: endpoint.host.clone(),
        endpoint: endpoint.clone(),
        ca_pem,
        server_name: None,
        environment: ClientEnvironment { proxy, ..ClientEnvironment::default() },
        credentials: None,
        exec: None,
    })
}

fn read_ca(path: &Path) -> Result<String, InputErrors> {
    let bytes = read_bytes(path, "CA file", MEBIBYTE)?;
    certificates_pem(&bytes).map_err(|reason| {
        InputError::new(format!("the CA file cannot be used: {reason}"))
            .in_file(path)
            .help("give a PEM file that holds the cluster's certificate authority")
            .into()
    })
}

fn plan(cluster: &KubeCluster, identity: &HostIdentity) -> Plan {
    let proxies = &cluster.environment.proxy;
    let vantage = |name: &str, kind| Vantage {
        name: name.to_owned(),
        kind,
        resolvers: Vec::new(),
        egress: Egress::default(),
        line: 0,
    };
    let direct = VantageKind::Local { source_ip: None, interface: None, netns: None };
    let proxied = |setting: &ProxySetting| match &setting.target {
        Some(target) => VantageKind::Proxy(target.clone()),
        None => VantageKind::UnusableProxy { setting: setting.source.clone() },
    };
    // The path that kubectl takes decides; the other one is there to be compared with.
    let vantages = match (&proxies.used, &proxies.bypassed) {
        (Some(setting), _) => vec![vantage("here", proxied(setting)), vantage("here-direct", direct)],
        (None, Some(setting)) if setting.target.is_some() => {
            vec![vantage("here", direct), vantage("here-proxied", proxied(setting))]
        }
        (None, _) => vec![vantage("here", direct)],
    };
    let cells = (0..vantages.len())
        .map(|index| PlannedCell {
            cluster: 0,
            target: CellTarget::Kubernetes,
            vantage: index,
            intended: if index == 0 { Intended::Reachable } else { Intended::Unspecified },
            via: None,
            origin: "doctor".to_owned(),
        })
        .collect();
    Plan {
        clusters: vec![Cluster {
            name: cluster.name.clone(),
            endpoint: Some(cluster.endpoint.clone()),
            provider: identity.provider,
            ca_pem: cluster.ca_pem.clone(),
            server_name: cluster.server_name.clone(),
            addresses: Vec::new(),
            intent: None,
            provider_block: None,
            facts: None,
            kubeconfig: None,
            line: 0,
        }],
        vantages,
        cells,
        resolvers: Vec::new(),
        controls: None,
        classes: AddressClasses::default(),
        propagation: Propagation { window: Some(Duration::ZERO), ..Propagation::default() },
        nats: None,
        contradictions: Vec::new(),
        file: cluster.environment.kubeconfig.clone().unwrap_or_default(),
    }
}

/// Completes the settings with what doctor asks in need: public resolvers, the cloud's own resolver on a cloud's host.
fn ask_in_need(settings: &mut Settings, no_controls: bool) {
    if no_controls {
        return;
    }
    // Whoever names resolvers has chosen who may be asked.
    if settings.resolvers.iter().all(|resolver| resolver.label == "system") {
        settings.fallback_resolvers = public_resolvers();
        if let Some(server) = cloud_resolver() {
            settings.fallback_resolvers.push(NamedResolver {
                label: "vpc".to_owned(),
                servers: vec![server],
                eager: false,
            });
        }
    }
    settings.default_controls = public_controls(&settings.fallback_resolvers, &settings.resolvers);
}

/// The public resolvers that are asked when something is wrong and the user named none.
pub(super) fn public_resolvers() -> Vec<NamedResolver> {
    let servers = PUBLIC_RESOLVERS.map(|address| SocketAddr::from((address, 53))).to_vec();
    vec![NamedResolver { label: "public".to_owned(), servers, eager: false }]
}

/// The default controls: the public resolvers, over TCP.
pub(super) fn public_controls(fallback: &[NamedResolver], named: &[NamedResolver]) -> Vec<Endpoint> {
    named
        .iter()
        .chain(fallback)
        .filter(|resolver| resolver.label == "public")
        .flat_map(|resolver| &resolver.servers)
        .map(|server| Endpoint { host: server.ip().to_string(), port: server.port() })
        .collect()
}

/// The resolver that only a cloud's own hosts can ask, told from the machine's firmware.
fn cloud_resolver() -> Option<SocketAddr> {
    if machine("sys_vendor") == "Amazon EC2" {
        return Some(SocketAddr::from(([169, 254, 169, 253], 53)));
    }
    // Azure's chassis asset tag is the documented mark of its virtual machines.
    (machine("chassis_asset_tag") == AZURE_CHASSIS).then(|| SocketAddr::from(([168, 63, 129, 16], 53)))
}

/// What the firmware says of this machine.
fn machine(name: &str) -> String {
    std::fs::read_to_string(format!("/sys/class/dmi/id/{name}")).unwrap_or_default().trim().to_owned()
}

const CREDENTIAL_VARIABLES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];
/// Variables by which a login of Azure is known without a command.
const AZURE_VARIABLES: [&str; 3] = ["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT"];
/// Another resource manager than the cloud's own, such as that of Azure Stack.
const AZURE_ENDPOINT: &str = "AZURE_RESOURCE_MANAGER_ENDPOINT";
const AZURE_CHASSIS: &str = "7783-7084-3265-9085-8269-3286-77";
const PUBLIC_RESOLVERS: [[u8; 4]; 2] = [[9, 9, 9, 9], [1, 1, 1, 1]];
