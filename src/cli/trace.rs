//! `kubereach trace`: one path through the configuration, hop by hop.

use std::process::ExitCode;

use super::{
    arguments::{ExplainFormat, TraceArguments},
    printer,
};
use crate::{
    facts::{self, Facts},
    input::{InputError, InputErrors},
    model::{
        azure,
        network::Network,
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
    let traced = traced.map_err(|error| refused(&error, arguments))?;
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
    let azure = facts.azure != facts::azure::Network::default() || facts.managed_cluster.is_some();
    azure && (named || facts.network == facts::ec2::Network::default())
}

/// The contract's exit status of a path.
const fn exit_status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Reachable => 0,
        Outcome::Blocked => 1,
        Outcome::Unknown => 3,
    }
}

fn refused(error: &TraceError, arguments: &TraceArguments) -> InputErrors {
    let input = InputError::new(error.to_string()).in_file(&arguments.facts);
    match error {
        TraceError::NoFile { file, .. } => input.help(format!("add {file} to the folder")).into(),
        _ => input.into(),
    }
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

const MOST_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

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
