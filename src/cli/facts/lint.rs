//! `kubereach facts lint`: what a configuration shows by itself, compared with an intent where a scenario has one.

use std::{net::IpAddr, path::Path, process::ExitCode};

use jiff::Timestamp;

use crate::{
    causes::{self, ConfigurationView, KnownVantage, Strictness},
    cli::{arguments::LintArguments, run},
    facts::{
        self, Facts,
        aks::ManagedCluster,
        azure::ArmId,
        eks,
        planned::{self, PlannedChange, PlannedSetting},
    },
    input::{InputError, InputErrors, quoted},
    model::eks as eks_model,
    report::{Provider, REPORT_SCHEMA, Report, Severity, Verdict, text::Mode},
    scenario::{self, Cluster, Plan, ProviderBlock, Vantage, VantageKind},
};

pub(super) fn main(arguments: &LintArguments) -> Result<ExitCode, InputErrors> {
    let started_at = Timestamp::now();
    let plan = arguments.scenario.as_deref().map(scenario::load).transpose()?;
    run::check_files(&arguments.output)?;
    let facts = facts::read(&arguments.facts)?;
    let cluster = plan.as_ref().map(|plan| choose(plan, &facts)).transpose()?;
    let planned = planned(&facts, cluster, &arguments.settings)?;
    let is_planned = planned.is_some();
    let report = report(planned.as_ref().unwrap_or(&facts), plan.as_ref(), cluster, is_planned, started_at);
    run::write(&report, &arguments.output, Mode::Verify, arguments.scenario.clone(), "")
}

/// The facts as they would be after the settings; `None` without any. Those that concern no cluster of the facts are an
/// error.
fn planned(
    facts: &Facts,
    cluster: Option<&Cluster>,
    settings: &[PlannedSetting],
) -> Result<Option<Facts>, InputErrors> {
    if settings.is_empty() {
        return Ok(None);
    }
    let name = cluster.map_or_else(|| name_of(facts), |cluster| &cluster.name);
    let changes: Vec<PlannedChange> = settings.iter().cloned().map(PlannedChange::Setting).collect();
    let edits = planned::edits(&changes, name, true, facts);
    if edits.len() < settings.len() {
        return Err(InputError::new(format!("a setting of --set is none of the cluster {}", quoted(name)))
            .help("name the cluster that the facts describe, and a setting of its own provider")
            .into());
    }
    Ok(Some(planned::edited(facts, eks_model::cluster_vpc(facts), &edits)))
}

/// The report without cells; its verdict is whether there is an error, and inconclusive where no cluster is described.
fn report(
    facts: &Facts,
    plan: Option<&Plan>,
    cluster: Option<&Cluster>,
    planned: bool,
    started_at: Timestamp,
) -> Report {
    let vantages: Vec<KnownVantage> =
        plan.map_or(&[][..], |plan| &plan.vantages).iter().filter_map(|vantage| known(vantage, facts)).collect();
    let findings = causes::lint(&ConfigurationView {
        cluster: cluster.map_or_else(|| name_of(facts), |cluster| &cluster.name),
        facts,
        intent: cluster.and_then(|cluster| cluster.intent.as_ref()),
        vantages: &vantages,
        kubeconfig_ca: cluster.and_then(|cluster| cluster.ca_pem.as_deref()),
        planned,
        strictness: Strictness::Lint,
        now: started_at,
    });
    let described = facts.managed_cluster.is_some()
        || facts.cluster.as_ref().is_some_and(|cluster| cluster.resources_vpc_config.is_some());
    let verdict = if !described {
        Verdict::Inconclusive
    } else if findings.iter().any(|finding| finding.severity == Severity::Error) {
        Verdict::Mismatch
    } else {
        Verdict::Match
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        matrix: None,
        verdict,
        started_at,
        finished_at: Timestamp::now(),
        cells: Vec::new(),
        findings,
    }
}

/// The provider's name of the cluster, else the folder's.
fn name_of(facts: &Facts) -> &str {
    let folder = || facts.origin.file_name().and_then(|name| name.to_str());
    let name = described_name(facts).filter(|name| !name.is_empty());
    name.or_else(folder).unwrap_or("cluster")
}

/// The provider's name of the cluster that the facts describe, if any.
fn described_name(facts: &Facts) -> Option<&str> {
    let aks = || facts.managed_cluster.as_ref().map(|cluster| cluster.name.as_str());
    facts.cluster.as_ref().map(|cluster| cluster.name.as_str()).or_else(aks)
}

/// The cluster of the scenario that the facts describe.
fn choose<'a>(plan: &'a Plan, facts: &Facts) -> Result<&'a Cluster, InputErrors> {
    let fits: Vec<&Cluster> = plan.clusters.iter().filter(|cluster| fit(cluster, facts) == Some(true)).collect();
    let open: Vec<&Cluster> = plan.clusters.iter().filter(|cluster| fit(cluster, facts).is_none()).collect();
    let of_facts = match described_name(facts) {
        Some(name) => format!("the facts describe the cluster {}", quoted(name)),
        None => "the facts describe no cluster".to_owned(),
    };
    match (fits.as_slice(), open.as_slice()) {
        ([cluster], _) => Ok(cluster),
        ([], [cluster]) if plan.clusters.len() == 1 => Ok(cluster),
        ([], _) => {
            let names: Vec<String> = plan.clusters.iter().map(|cluster| quoted(&cluster.name)).collect();
            Err(InputError::new(format!("{of_facts}, and no cluster of the scenario is known to be that one"))
                .in_file(&plan.file)
                .help(format!(
                    "give one of {} `eks: {{ name: … }}` or `aks: {{ … }}`, its `endpoint`, or `facts`",
                    names.join(", ")
                ))
                .into())
        }
        (several, _) => {
            let names: Vec<String> = several.iter().map(|cluster| quoted(&cluster.name)).collect();
            Err(InputError::new(format!("{of_facts}, and {} of the scenario may all be that one", names.join(", ")))
                .in_file(&plan.file)
                .help("tell them apart by `eks: { name: …, region: … }`, `aks: { … }` or by `endpoint`")
                .into())
        }
    }
}

/// Whether a cluster of the scenario is the one of the facts; `None` when nothing tells.
fn fit(cluster: &Cluster, facts: &Facts) -> Option<bool> {
    if let Some(folder) = &cluster.facts
        && same_folder(folder, &facts.origin)
    {
        return Some(true);
    }
    if let Some(described) = &facts.managed_cluster {
        return fit_aks(cluster, described);
    }
    if cluster.provider == Provider::Aks {
        return Some(false);
    }
    let described = facts.cluster.as_ref()?;
    if let Some(ProviderBlock::Eks { name, region, .. }) = &cluster.provider_block {
        let same_region = region.as_deref().is_none_or(|region| described.region().is_none_or(|known| known == region));
        return Some(*name == described.name && same_region);
    }
    let (endpoint, host) = (cluster.endpoint.as_ref()?, host(described)?);
    Some(endpoint.host.eq_ignore_ascii_case(&host))
}

fn fit_aks(cluster: &Cluster, described: &ManagedCluster) -> Option<bool> {
    match &cluster.provider_block {
        Some(ProviderBlock::Aks { subscription, resource_group, name, .. }) => {
            let same = |known: Option<&str>, named: &str| known.is_none_or(|known| known.eq_ignore_ascii_case(named));
            return Some(
                described.name.eq_ignore_ascii_case(name)
                    && same(described.resource_group(), resource_group)
                    && same(described.subscription(), subscription),
            );
        }
        Some(ProviderBlock::Eks { .. }) => return Some(false),
        None if cluster.provider == Provider::Eks => return Some(false),
        Some(ProviderBlock::AksByHost { .. }) | None => {}
    }
    let endpoint = cluster.endpoint.as_ref()?;
    let mut hosts = [&described.fqdn, &described.private_fqdn].into_iter().flatten().peekable();
    hosts.peek()?;
    Some(hosts.any(|host| endpoint.host.eq_ignore_ascii_case(host.trim_end_matches('.'))))
}

fn host(cluster: &eks::Cluster) -> Option<String> {
    let rest = cluster.endpoint.as_deref()?;
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    rest.split(['/', ':']).next().filter(|host| !host.is_empty()).map(str::to_owned)
}

fn same_folder(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A vantage whose addresses the scenario or the facts say.
fn known(vantage: &Vantage, facts: &Facts) -> Option<KnownVantage> {
    let of_instance = |id: &str| -> Vec<IpAddr> {
        let instance = facts.network.instances.iter().flatten().find(|instance| instance.instance_id == id);
        // On Azure an interface, or the machine that it belongs to, by its name or id.
        let named = |other: &ArmId| *other == ArmId::new(id) || other.name().eq_ignore_ascii_case(id);
        let interfaces = facts.azure.network_interfaces.iter().flatten();
        let own = interfaces
            .filter(|one| named(&one.id) || one.virtual_machine.as_ref().is_some_and(|machine| named(&machine.id)))
            .flat_map(|one| &one.ip_configurations)
            .filter_map(|one| one.private_ip_address);
        let of_aws = instance.into_iter().flat_map(|one| [one.private_ip_address, one.public_ip_address]).flatten();
        of_aws.chain(own).collect()
    };
    let addresses = match &vantage.kind {
        VantageKind::Local { source_ip, .. } => source_ip.iter().copied().collect(),
        VantageKind::Model { ip, instance } => {
            ip.iter().copied().chain(instance.as_deref().map(of_instance).unwrap_or_default()).collect()
        }
        VantageKind::Ssm(ssm) => of_instance(&ssm.instance),
        _ => Vec::new(),
    };
    (!addresses.is_empty()).then(|| KnownVantage { name: vantage.name.clone(), addresses })
}
