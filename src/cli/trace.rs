//! `kubereach trace`: one path through the configuration, hop by hop.

use std::process::ExitCode;

use ipnet::IpNet;
use jiff::Timestamp;
use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    arguments::{ExplainFormat, TraceArguments},
    printer,
};
use crate::{
    causes::{ConfigurationView, Strictness, configuration::aks_summary},
    facts::{self, Facts, aks::AuthorizedSource},
    input::{InputError, InputErrors, quoted},
    model::{
        azure,
        network::Network,
        set::{AddressSet, Family},
        trace::{Decision, Hop, Outcome, Point, Reason, Trace, TraceError, trace},
    },
    report::{
        self, json,
        page::{Ink, Page, Paper, span},
    },
};

pub(super) fn main(arguments: &TraceArguments) -> Result<ExitCode, InputErrors> {
    let facts = facts::read(&arguments.facts)?;
    if facts.is_empty() {
        return Err(InputError::new("this folder holds no facts")
            .in_file(&arguments.facts)
            .help("make it with `kubereach facts pull`, or put what `aws ec2 describe-…` or `az network … list` prints there")
            .into());
    }
    let (from, to, port) = (&arguments.from, &arguments.to.point, arguments.to.port);
    let traced = if is_of_azure(&facts, from, to) {
        azure::trace(&azure::Network::new(&facts.azure), from, to, port)
    } else {
        trace(&Network::new(&facts.network), from, to, port)
    };
    let mut traced = traced.map_err(|error| refused(&error, arguments, &facts))?;
    traced.notes.extend(list_note(&facts, &traced, port));
    let text = match arguments.output {
        ExplainFormat::Text => {
            let question = format!("tcp/{port} from {} to {to}", arguments.from);
            text(&traced, &question, printer::paper(arguments.color))
        }
        ExplainFormat::Json => document(&traced),
    };
    printer::print(&text).map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
    Ok(ExitCode::from(exit_status(traced.outcome)))
}

/// By whose rules the path is judged: a folder is of one provider; where it holds both, the points tell.
fn is_of_azure(facts: &Facts, from: &Point, to: &Point) -> bool {
    let named = [from, to].into_iter().any(|point| matches!(point, Point::Resource(_)));
    is_azure(facts) && (named || facts.network == facts::ec2::Network::default())
}

fn is_azure(facts: &Facts) -> bool {
    facts.azure != facts::azure::Network::default() || facts.managed_cluster.is_some()
}

/// The contract's exit status of a path.
const fn exit_status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Reachable => 0,
        Outcome::Blocked => 1,
        Outcome::Unknown => 3,
    }
}

fn refused(error: &TraceError, arguments: &TraceArguments, facts: &Facts) -> InputErrors {
    let names = api_names(facts);
    let is_name = |point: &&Point| names.iter().any(|name| name.eq_ignore_ascii_case(&point.to_string()));
    if let Some(point) = [&arguments.from, &arguments.to.point].into_iter().find(is_name) {
        return name_of_the_api_server(point, facts).in_file(&arguments.facts).into();
    }
    let words = match error {
        TraceError::NotFound { what, id, near } if near.is_empty() => {
            format!("the facts hold no {what} {}", quoted(id))
        }
        _ => error.to_string(),
    };
    let input = InputError::new(words).in_file(&arguments.facts);
    match error {
        TraceError::NoFile { file, .. } => input.help(format!("add {file} to the folder")).into(),
        TraceError::NotFound { near, .. } if near.is_empty() && is_azure(facts) => input
            .help("give an address, an id (/subscriptions/…), or a name that stands in one of the folder's network/*.json")
            .into(),
        _ => input.into(),
    }
}

/// The API server's names: a path begins and ends at addresses, and no DNS is asked here.
fn api_names(facts: &Facts) -> Vec<&str> {
    let of_aks = facts.managed_cluster.iter().flat_map(|cluster| [&cluster.fqdn, &cluster.private_fqdn]);
    let of_eks = facts.cluster.iter().map(|cluster| &cluster.endpoint);
    of_aks
        .chain(of_eks)
        .flatten()
        .map(|name| name.trim_start_matches("https://").trim_end_matches('/'))
        .filter(|name| !name.is_empty())
        .collect()
}

fn name_of_the_api_server(point: &Point, facts: &Facts) -> InputError {
    let view = ConfigurationView {
        cluster: "",
        facts,
        intent: None,
        vantages: &[],
        kubeconfig_ca: None,
        planned: false,
        strictness: Strictness::Lint,
        now: Timestamp::UNIX_EPOCH,
    };
    let addresses: Vec<String> =
        aks_summary::summary(&view).api_server_addresses.iter().map(ToString::to_string).collect();
    let input =
        InputError::new(format!("{} is the API server's name, and trace asks no DNS", quoted(&point.to_string())));
    if addresses.is_empty() {
        input.help("give the address that it resolves to")
    } else {
        input.help(format!("give its address: these facts say {} (private)", addresses.join(", ")))
    }
}

/// Before a public endpoint stands a list, which is no hop of any network.
fn list_note(facts: &Facts, traced: &Trace, port: u16) -> Option<String> {
    let classes = AddressClasses::default();
    let destination = traced.destination.filter(|address| classes.of(*address) == AddressClass::Public)?;
    if traced.outcome == Outcome::Blocked || port != API_PORT {
        return None;
    }
    let (name, setting, nets, complete) = public_list(facts)?;
    let set = AddressSet::from_nets(&nets);
    if set.is_everything(Family::of(destination)) {
        return None;
    }
    let seen: Vec<String> = traced.source_seen.iter().take(MOST_LISTED).map(ToString::to_string).collect();
    let listed = traced.source_seen.iter().filter(|address| set.contains(**address)).count();
    let says = match (seen.len(), listed) {
        (0, _) => String::new(),
        (_, all) if all == traced.source_seen.len() => format!(" It lets {} in.", seen.join(" and ")),
        (_, 0) if complete => format!(" It does not let {} in.", seen.join(" or ")),
        _ => format!(" Whether it lets {} in depends.", seen.join(" or ")),
    };
    Some(format!(
        "if {destination} is the public endpoint of {}, its {setting} decides as well, which is no part of this path.{says} `kubereach predict` judges both",
        quoted(name)
    ))
}

/// The cluster's name, what the list before its public endpoint is called, its ranges, and whether these are all.
fn public_list(facts: &Facts) -> Option<(&str, &'static str, Vec<IpNet>, bool)> {
    if let Some(cluster) = &facts.managed_cluster {
        let open = !cluster.public_network_access.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("Disabled"));
        let sources = &cluster.api_server_access_profile.as_ref()?.authorized_ip_ranges;
        if cluster.is_private() || !open || sources.is_empty() {
            return None;
        }
        let nets: Vec<IpNet> = sources.iter().filter_map(AuthorizedSource::net).collect();
        let complete = nets.len() == sources.len() && !sources.iter().any(AuthorizedSource::is_outbound_only);
        return Some((&cluster.name, "authorizedIPRanges", nets, complete));
    }
    let cluster = facts.cluster.as_ref()?;
    let config = cluster.resources_vpc_config.as_ref().filter(|config| config.endpoint_public_access == Some(true))?;
    let cidrs = config.public_access_cidrs.as_ref().filter(|cidrs| !cidrs.is_empty())?;
    Some((&cluster.name, "publicAccessCidrs", cidrs.iter().map(|cidr| cidr.net).collect(), true))
}

/// The path for people: there, then back, then what decides.
fn text(trace: &Trace, question: &str, paper: Paper) -> String {
    let mut page = Page::new(paper);
    let ink = match trace.outcome {
        Outcome::Reachable => Ink::Good,
        Outcome::Blocked => Ink::Bad,
        Outcome::Unknown => Ink::Warn,
    };
    let word = trace.outcome.label().to_uppercase();
    page.paragraph(0, 2, &[span(ink, word), span(Ink::Plain, format!(" {question}"))]);
    if !trace.source_seen.is_empty() {
        let seen: Vec<String> = trace.source_seen.iter().take(MOST_LISTED).map(ToString::to_string).collect();
        page.paragraph(0, 2, &[span(Ink::Dim, format!("seen at the far side as {}", seen.join(" or ")))]);
    }
    for (heading, hops) in [("THERE", &trace.forward), ("BACK", &trace.back)] {
        if hops.is_empty() {
            continue;
        }
        page.blank();
        page.line(0, &[span(Ink::Strong, heading)]);
        for hop in hops {
            hop_lines(&mut page, hop);
        }
    }
    let blockers = trace.blockers().count();
    if blockers > 0 {
        page.blank();
        let heading = if blockers == 1 { "1 BLOCKER".to_owned() } else { format!("{blockers} BLOCKERS") };
        page.line(0, &[span(Ink::Strong, heading)]);
        for hop in trace.blockers() {
            page.paragraph(2, 4, &[span(Ink::Bad, &hop.component), span(Ink::Plain, format!(": {}", hop.rule))]);
        }
    }
    let unknowns: Vec<&Hop> = trace.unknowns().collect();
    if !unknowns.is_empty() {
        page.blank();
        page.line(0, &[span(Ink::Strong, "NOT KNOWN, AND WHAT WOULD DECIDE")]);
        for hop in unknowns {
            page.paragraph(2, 4, &[span(Ink::Warn, &hop.component), span(Ink::Plain, format!(": {}", decides(hop)))]);
        }
    }
    if !trace.notes.is_empty() {
        page.blank();
        trace.notes.iter().for_each(|note| page.paragraph(0, 2, &[span(Ink::Dim, note)]));
    }
    page.finish()
}

fn hop_lines(page: &mut Page, hop: &Hop) {
    let (mark, ink) = match hop.decision {
        Decision::Allow | Decision::Forward => ("✓", Ink::Good),
        Decision::Deny | Decision::Drop => ("✗", Ink::Bad),
        Decision::Unknown => ("?", Ink::Warn),
    };
    page.paragraph(
        2,
        6,
        &[
            span(ink, format!("{mark} {}", hop.decision.label())),
            span(Ink::Plain, format!(" {} ", hop.kind.label())),
            span(Ink::Strong, &hop.component),
            span(Ink::Plain, format!(": {}", hop.rule)),
        ],
    );
}

/// What is not known and what would tell.
fn decides(hop: &Hop) -> String {
    match &hop.reason {
        Some(Reason::Missing { what, file, action }) => format!("{what}: {file} (permission {action})"),
        Some(Reason::GroupsUnknown { of }) => {
            format!("the security groups of {of}: ask from its network interface or instance instead")
        }
        _ => hop.rule.clone(),
    }
}

/// The path as one JSON document, the contract's `kubereach.trace/v1`.
fn document(trace: &Trace) -> String {
    let hops = |hops: &[Hop]| hops.iter().map(Hop::report).collect::<Vec<report::Hop>>();
    json::to_document(&serde_json::json!({
        "schema": "kubereach.trace/v1",
        "outcome": trace.outcome.label(),
        "forward": hops(&trace.forward),
        "return": hops(&trace.back),
        "blockers": trace.blockers().map(Hop::report).collect::<Vec<_>>(),
        "unknowns": trace.unknowns().map(Hop::report).collect::<Vec<_>>(),
        "destination": trace.destination,
        "sourceSeen": trace.source_seen,
        "notes": trace.notes,
    }))
}

/// Where managed API servers listen.
const API_PORT: u16 = 443;
const MOST_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn aks(properties: &str, networks: &str) -> Facts {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
        let cluster =
            format!(r#"{{"id": "{id}", "name": "prod", "location": "westeurope", "properties": {{{properties}}}}}"#);
        let documents = [("aks/show.json", cluster.as_str()), ("network/virtual-networks.json", networks)];
        let documents = documents.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
        facts::from_documents(Path::new("facts"), documents).unwrap()
    }

    #[test]
    fn the_name_of_the_api_server_is_answered_with_its_address() {
        let facts = aks(r#""fqdn": "prod.hcp.westeurope.azmk8s.io""#, "[]");
        let arguments = |to: &str| TraceArguments {
            facts: PathBuf::from("facts"),
            from: "10.0.0.4".parse().unwrap(),
            to: super::super::arguments::Destination { point: to.parse().unwrap(), port: 443 },
            output: ExplainFormat::Text,
            color: super::super::arguments::ColorChoice::Never,
        };
        let missing = |id: &str| TraceError::NotFound { what: "machine", id: id.to_owned(), near: Vec::new() };
        let said = |to: &str| refused(&missing(to), &arguments(to), &facts).to_string();
        let told = said("PROD.hcp.westeurope.azmk8s.io");
        assert!(told.contains("is the API server's name") && told.contains("give the address"), "{told}");
        let told = said("nothing");
        assert!(
            told.contains("the facts hold no machine `nothing`") && told.contains("give an address, an id"),
            "{told}"
        );
    }

    #[test]
    fn a_path_to_a_public_address_names_the_list_that_stands_before_it() {
        let networks = r#"[{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v",
            "name": "v", "type": "Microsoft.Network/virtualNetworks", "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": []}]"#;
        let note = |ranges: &str, to: &str, port: u16, outcome: Outcome| {
            let facts = aks(&format!(r#""apiServerAccessProfile": {{"authorizedIPRanges": {ranges}}}"#), networks);
            let traced = Trace {
                outcome,
                forward: Vec::new(),
                back: Vec::new(),
                destination: Some(to.parse().unwrap()),
                source_seen: vec!["20.50.1.10".parse().unwrap()],
                notes: Vec::new(),
            };
            list_note(&facts, &traced, port)
        };
        let reachable = Outcome::Reachable;
        assert!(note(r#"["20.50.1.10/32"]"#, "20.1.2.3", 443, reachable).unwrap().contains("It lets 20.50.1.10 in."));
        let told = note(r#"["52.95.4.0/28"]"#, "20.1.2.3", 443, reachable).unwrap();
        assert!(told.contains("authorizedIPRanges decides") && told.contains("does not let 20.50.1.10 in"), "{told}");
        let told = note(r#"["52.95.4.0/28", "AzureFrontDoor"]"#, "20.1.2.3", 443, reachable).unwrap();
        assert!(told.contains("depends"), "{told}");
        for (ranges, to, port, outcome) in [
            ("[]", "20.1.2.3", 443, reachable),
            (r#"["0.0.0.0/0"]"#, "20.1.2.3", 443, reachable),
            (r#"["52.95.4.0/28"]"#, "10.0.0.4", 443, reachable),
            (r#"["52.95.4.0/28"]"#, "20.1.2.3", 22, reachable),
            (r#"["52.95.4.0/28"]"#, "20.1.2.3", 443, Outcome::Blocked),
        ] {
            assert_eq!(note(ranges, to, port, outcome), None, "{ranges} {to}:{port}");
        }
    }

    #[test]
    fn a_folder_tells_by_whose_rules_its_paths_are_judged() {
        let of = |documents: &[(&str, &str)]| {
            let documents = documents.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
            facts::from_documents(Path::new("facts"), documents).unwrap()
        };
        let (aws, azure) = (
            ("ec2/describe-vpcs.json", r#"{"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}]}"#),
            ("network/virtual-networks.json", "[]"),
        );
        let (address, name): (Point, Point) = ("10.0.0.4".parse().unwrap(), "jump".parse().unwrap());
        for (documents, to, expected) in [
            (vec![aws], &address, false),
            (vec![aws], &name, false),
            (vec![azure], &address, true),
            (vec![aws, azure], &address, false),
            (vec![aws, azure], &name, true),
        ] {
            assert_eq!(is_of_azure(&of(&documents), &address, to), expected, "{documents:?} {to}");
        }
    }
}
