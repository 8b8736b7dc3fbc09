//! `kubereach facts lint`: what a configuration shows by itself, compared with an intent where a scenario has one.

use std::{net::IpAddr, path::Path, process::ExitCode};

use jiff::Timestamp;

use crate::{
    causes::{self, ConfigurationView, KnownVantage, Strictness},
    cli::{arguments::LintArguments, run},
    facts::{self, Facts, eks},
    input::{InputError, InputErrors, quoted},
    report::{Provider, REPORT_SCHEMA, Report, Severity, Verdict, text::Mode},
    scenario::{self, Cluster, Plan, ProviderBlock, Vantage, VantageKind},
};

pub(super) fn main(arguments: &LintArguments) -> Result<ExitCode, InputErrors> {
    let started_at = Timestamp::now();
    let plan = arguments.scenario.as_deref().map(scenario::load).transpose()?;
    run::check_files(&arguments.output)?;
    let facts = facts::read(&arguments.facts)?;
    let cluster = plan.as_ref().map(|plan| choose(plan, &facts)).transpose()?;
    let report = report(&facts, plan.as_ref(), cluster, started_at);
    run::write(&report, &arguments.output, Mode::Verify, arguments.scenario.clone(), "")
}

/// The report without cells; its verdict is whether there is an error, and inconclusive where no cluster is described.
fn report(facts: &Facts, plan: Option<&Plan>, cluster: Option<&Cluster>, started_at: Timestamp) -> Report {
    let vantages: Vec<KnownVantage> =
        plan.map_or(&[][..], |plan| &plan.vantages).iter().filter_map(|vantage| known(vantage, facts)).collect();
    let findings = causes::lint(&ConfigurationView {
        cluster: cluster.map_or_else(|| name_of(facts), |cluster| &cluster.name),
        facts,
        intent: cluster.and_then(|cluster| cluster.intent.as_ref()),
        vantages: &vantages,
        kubeconfig_ca: cluster.and_then(|cluster| cluster.ca_pem.as_deref()),
        planned: false,
        strictness: Strictness::Lint,
        now: started_at,
    });
    let described = facts.cluster.as_ref().is_some_and(|cluster| cluster.resources_vpc_config.is_some());
    let verdict = if !described {
        Verdict::Inconclusive
    } else if findings.iter().any(|finding| finding.severity == Severity::Error) {
        Verdict::Mismatch
    } else {
        Verdict::Match
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
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
    let name = facts.cluster.as_ref().map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty());
    name.or_else(folder).unwrap_or("cluster")
}

/// The cluster of the scenario that the facts describe.
fn choose<'a>(plan: &'a Plan, facts: &Facts) -> Result<&'a Cluster, InputErrors> {
    let fits: Vec<&Cluster> = plan.clusters.iter().filter(|cluster| fit(cluster, facts) == Some(true)).collect();
    let open: Vec<&Cluster> = plan.clusters.iter().filter(|cluster| fit(cluster, facts).is_none()).collect();
    let of_facts = match &facts.cluster {
        Some(cluster) => format!("the facts describe the cluster {}", quoted(&cluster.name)),
        None => "the facts describe no cluster".to_owned(),
    };
    match (fits.as_slice(), open.as_slice()) {
        ([cluster], _) => Ok(cluster),
        ([], [cluster]) if plan.clusters.len() == 1 => Ok(cluster),
        ([], _) => {
            let names: Vec<String> = plan.clusters.iter().map(|cluster| quoted(&cluster.name)).collect();
            Err(InputError::new(format!("{of_facts}, and no cluster of the scenario is known to be that one"))
                .in_file(&plan.file)
                .help(format!("give one of {} `eks: {{ name: … }}`, its `endpoint`, or `facts`", names.join(", ")))
                .into())
        }
        (several, _) => {
            let names: Vec<String> = several.iter().map(|cluster| quoted(&cluster.name)).collect();
            Err(InputError::new(format!("{of_facts}, and {} of the scenario may all be that one", names.join(", ")))
                .in_file(&plan.file)
                .help("tell them apart by `eks: { name: …, region: … }` or by `endpoint`")
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
        instance.map_or_else(Vec::new, |one| {
            [one.private_ip_address, one.public_ip_address].into_iter().flatten().collect()
        })
    };
    let addresses = match &vantage.kind {
        VantageKind::Local { source_ip, .. } => source_ip.iter().copied().collect(),
        VantageKind::Model { ip, instance } => {
            ip.iter().copied().chain(instance.as_deref().map(of_instance).unwrap_or_default()).collect()
        }
        VantageKind::Ssm { instance, .. } => of_instance(instance),
        _ => Vec::new(),
    };
    (!addresses.is_empty()).then(|| KnownVantage { name: vantage.name.clone(), addresses })
}
