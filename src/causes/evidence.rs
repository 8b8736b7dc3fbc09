//! What the causes of the wire share: which attempts count, and how what was seen is put into words.
//!
//! Every function is pure. Text that came from the network (subjects, banners, headers) passes through [`clean`]
//! before it reaches a sentence and through [`shell`] before it reaches a command.

use std::net::{IpAddr, SocketAddr};

use kubereach_probes::{Attempt, Endpoint, Observation, TcpOutcome};

use super::{CellView, Told, aks, configuration::words, eks};
use crate::report::{Confidence, Intended, Provider, Via};

/// Whether the probes of this cell say anything about the cluster: the vantage was usable and online.
pub(super) fn speaks_of_the_cluster(view: &CellView<'_>) -> bool {
    let circumstances = &view.circumstances;
    !circumstances.offline && circumstances.vantage_unavailable.is_none() && view.observation.vantage_error.is_none()
}

/// Whether silence counts as well: nothing ended the round before its deadlines had passed.
pub(super) fn silence_counts(view: &CellView<'_>) -> bool {
    speaks_of_the_cluster(view) && !view.circumstances.interrupted && !view.observation.cut_short
}

/// The attempts that were really made, whether they decide or are evidence only.
pub(super) fn dialled(observation: &Observation) -> impl Iterator<Item = &Attempt> {
    observation.attempts.iter().filter(|attempt| attempt.skipped.is_none())
}

/// The attempts that were made and decide `observed`; none when the probes do not speak of the cluster.
pub(super) fn deciding<'a>(view: &CellView<'a>) -> Vec<&'a Attempt> {
    if !speaks_of_the_cluster(view) {
        return Vec::new();
    }
    dialled(view.observation).filter(|attempt| attempt.decides).collect()
}

/// The deciding attempts whose packets went to the endpoint itself; none when a proxy stands in between, because then
/// addresses, delays and refusals are the proxy's.
pub(super) fn direct<'a>(view: &CellView<'a>) -> Vec<&'a Attempt> {
    if view.observation.proxy.is_some() { Vec::new() } else { deciding(view) }
}

/// Whether no attempt got so far as a TCP connection.
pub(super) fn none_connected(attempts: &[&Attempt]) -> bool {
    !attempts.iter().any(|attempt| matches!(attempt.tcp.outcome, TcpOutcome::Connected | TcpOutcome::Reset))
}

/// Whether control targets answered; `None` when none were asked.
pub(super) fn controls_answer(observation: &Observation) -> Option<bool> {
    let controls = &observation.connectivity.as_ref()?.controls;
    (!controls.is_empty()).then(|| controls.iter().any(|control| control.answered))
}

/// What the control targets say about the prober's own network, as a sentence.
pub(super) fn controls_sentence(observation: &Observation) -> String {
    match controls_answer(observation) {
        Some(true) => {
            let controls = observation.connectivity.as_ref().map_or(&[][..], |connectivity| &connectivity.controls);
            let answered = controls.iter().filter(|control| control.answered).count();
            format!("control targets answer ({answered} of {}): this vantage is online", controls.len())
        }
        Some(false) => "control targets do not answer either: this vantage may be in a closed network".to_owned(),
        None => "no control target was asked, so the vantage's own network is not ruled out".to_owned(),
    }
}

/// How the local clock compares with the `Date` of an HTTP answer of this observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// At most five minutes apart.
    Agrees,
    /// More than five minutes apart: `client-clock-skew` speaks.
    Off,
    /// No answer carried a date.
    Unknown,
}

/// Compares the clocks.
pub(super) fn clock(observation: &Observation) -> Clock {
    let mut verdict = Clock::Unknown;
    for seconds in observation.attempts.iter().filter_map(|attempt| attempt.http.clock_ahead_seconds) {
        if seconds.unsigned_abs() > MAXIMUM_SKEW_SECONDS {
            return Clock::Off;
        }
        verdict = Clock::Agrees;
    }
    verdict
}

/// The attempts that show one picture, of all that count.
pub(super) struct Seen<'a> {
    /// Those that show it; never empty.
    pub(super) attempts: Vec<&'a Attempt>,
    /// How many count.
    pub(super) of: usize,
}

/// Those of `attempts` that fit, if any does.
pub(super) fn seen<'a>(attempts: &[&'a Attempt], fits: impl Fn(&Attempt) -> bool) -> Option<Seen<'a>> {
    let fitting: Vec<&Attempt> = attempts.iter().copied().filter(|attempt| fits(attempt)).collect();
    (!fitting.is_empty()).then_some(Seen { attempts: fitting, of: attempts.len() })
}

impl<'a> Seen<'a> {
    /// The first of them, which stands for all in the evidence.
    pub(super) fn first(&self) -> &'a Attempt {
        self.attempts[0]
    }

    /// `2 of 3 addresses`.
    pub(super) fn count(&self) -> String {
        let noun = if self.of == 1 { "address" } else { "addresses" };
        format!("{} of {} {noun}", self.attempts.len(), self.of)
    }

    /// The addresses with their ports; at most four are spelled out.
    pub(super) fn places(&self, view: &CellView<'_>) -> String {
        listed(self.attempts.iter().map(|attempt| place(view, attempt)))
    }

    /// The longest time that the TCP stage took, in words.
    pub(super) fn longest_connect(&self) -> String {
        duration(self.attempts.iter().map(|attempt| attempt.tcp.ms).fold(0.0, f64::max))
    }
}

/// A cause that signs: the deciding sentence, then what was expected and who says so.
pub(super) fn told(view: &CellView<'_>, confidence: Confidence, deciding: impl Into<String>) -> Told {
    let told = Told::new(confidence, deciding);
    match expected(view) {
        Some(sentence) => told.and(sentence),
        None => told,
    }
}

/// `expected: laptop reaches prod by its public addresses (scenario line 24)`; nothing when nothing was intended.
pub(super) fn expected(view: &CellView<'_>) -> Option<String> {
    let verb = match view.intended {
        Intended::Reachable => "reaches",
        Intended::Unreachable => "does not reach",
        Intended::Unspecified => return None,
    };
    let by = match view.intended_via {
        Some(Via::Public) => " by its public addresses",
        Some(Via::Private) => " by its private addresses",
        Some(Via::Mixed) | None => "",
    };
    let origin = match view.origin.split_once(", line ") {
        Some(("expect", line)) => format!(" (scenario line {line})"),
        Some((place, line)) => format!(" ({place}, scenario line {line})"),
        None if view.origin.is_empty() => String::new(),
        None => format!(" ({})", view.origin),
    };
    Some(format!("expected: {} {verb} {}{by}{}", clean(view.vantage), clean(view.cluster), clean(&origin)))
}

/// `198.51.100.20:443`, or the host and the proxy that resolves its name.
pub(super) fn place(view: &CellView<'_>, attempt: &Attempt) -> String {
    match (attempt.address, &view.observation.proxy) {
        (Some(address), _) => SocketAddr::new(address, attempt.port).to_string(),
        (None, Some(proxy)) => format!("{} through {}", endpoint(view), clean(&proxy.url)),
        (None, None) => endpoint(view),
    }
}

/// `host:port` of the endpoint, an IPv6 address in brackets.
pub(super) fn endpoint(view: &CellView<'_>) -> String {
    Endpoint { host: harmless(view.host, MAXIMUM_WORD), port: view.port }.to_string()
}

/// The local source address, as `from 192.0.2.7`, where it is known.
pub(super) fn from_where(view: &CellView<'_>, attempt: &Attempt) -> String {
    let source = attempt.tcp.source.or_else(|| attempt.route.as_ref().and_then(|route| route.source));
    match source {
        Some(source) => format!("{} ({source})", clean(view.vantage)),
        None => clean(view.vantage),
    }
}

/// Milliseconds in words: `0.4 ms`, `12 ms`, `3.0 s`.
pub(super) fn duration(ms: f64) -> String {
    if ms >= 1_000.0 {
        format!("{:.1} s", ms / 1_000.0)
    } else if ms >= 10.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// At most four items, then how many more there are.
pub(super) fn listed(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let shown = items.iter().take(MAXIMUM_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAXIMUM_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Text from outside made fit for a terminal: control characters, line breaks and characters that turn or hide text
/// become `�`, and what exceeds 160 characters is cut.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = harmless(text, MAXIMUM_TEXT);
    if text.chars().nth(MAXIMUM_TEXT).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// The same of text that may hold a long id, whose name stands last: it is cut in the middle.
pub(super) fn clean_ends(text: &str) -> String {
    let count = text.chars().count();
    if count <= MAXIMUM_TEXT {
        return clean(text);
    }
    let half = MAXIMUM_TEXT / 2;
    let end: String = text.chars().skip(count - half).collect();
    format!("{}…{}", harmless(text, half), harmless(&end, half))
}

/// One word of a POSIX shell command: quoted unless it is made of harmless characters only. Longer than any host name,
/// it is cut.
pub(super) fn shell(text: &str) -> String {
    let text = harmless(text, MAXIMUM_WORD);
    let plain = |character: char| character.is_ascii_alphanumeric() || "._:/@%+=,-".contains(character);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The kubeconfig's name of the cluster as a shell word, or `<name>`.
pub(super) fn kubeconfig_cluster(view: &CellView<'_>) -> String {
    view.client.and_then(|client| client.cluster.as_deref()).map_or_else(|| "<name>".to_owned(), shell)
}

/// The AWS region and the EKS cluster name as shell words, taken from the endpoint's name and from a cluster name that
/// is an ARN; `<region>` and `<cluster>` where they are not known.
pub(super) fn eks_region_and_name(view: &CellView<'_>) -> (String, String) {
    if let Some(configured) = &view.configuration {
        return words::region_and_name(&eks::configuration(view, configured));
    }
    let named = view.client.and_then(|client| client.cluster.as_deref()).unwrap_or(view.cluster);
    let arn: Vec<&str> = if named.starts_with("arn:") { named.splitn(6, ':').collect() } else { Vec::new() };
    let region = view.host.split('.').find(|label| is_region(label)).or_else(|| arn.get(3).copied());
    let name = arn.get(5).and_then(|resource| resource.strip_prefix("cluster/"));
    (region.map_or_else(|| "<region>".to_owned(), shell), name.map_or_else(|| "<cluster>".to_owned(), shell))
}

/// The command that writes the cluster's present endpoint and certificate authority into the kubeconfig.
pub(super) fn refresh_kubeconfig(view: &CellView<'_>) -> String {
    match view.provider {
        Provider::Eks => {
            let (region, name) = eks_region_and_name(view);
            format!("aws eks update-kubeconfig --region {region} --name {name}")
        }
        Provider::Aks => match &view.configuration {
            Some(configured) => aks::commands::kubeconfig(configured.facts, false),
            None => "az aks get-credentials -g <rg> -n <cluster> --overwrite-existing".to_owned(),
        },
        Provider::Generic => format!(
            "kubectl config set-cluster {} --certificate-authority=<ca.pem> --embed-certs=true",
            kubeconfig_cluster(view)
        ),
    }
}

/// `/32` or `/128`.
pub(super) const fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn harmless(text: &str, most: usize) -> String {
    text.chars()
        .take(most)
        .map(|character| if is_treacherous(character) { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

fn is_region(label: &str) -> bool {
    label.contains('-')
        && label.starts_with(|character: char| character.is_ascii_lowercase())
        && label.ends_with(|character: char| character.is_ascii_digit())
        && label.split('-').count() >= 3
        && label
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-')
}

/// Control characters, and the marks that reorder or hide text (bidirectional overrides and isolates, zero-width).
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

const MAXIMUM_SKEW_SECONDS: u64 = 300;
const MAXIMUM_LISTED: usize = 4;
const MAXIMUM_TEXT: usize = 160;
const MAXIMUM_WORD: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::testing_net::{Scene, silent};

    #[test]
    fn words_for_counts_times_and_expectations() {
        let scene = Scene::new(vec![silent("198.51.100.20"), silent("2001:db8::1")]);
        let view = scene.view();
        let all = deciding(&view);
        let silent = seen(&all, |attempt| attempt.tcp.outcome == TcpOutcome::Timeout).unwrap();
        assert_eq!(silent.count(), "2 of 2 addresses");
        assert_eq!(silent.places(&view), "198.51.100.20:443, [2001:db8::1]:443");
        assert_eq!(silent.longest_connect(), "3.0 s");
        assert_eq!(
            expected(&view).unwrap(),
            "expected: laptop reaches prod by its public addresses (scenario line 24)"
        );
        assert_eq!([duration(0.42), duration(12.3), duration(3000.0)], ["0.4 ms", "12 ms", "3.0 s"]);
        assert_eq!(listed((0..6).map(|n| n.to_string())), "0, 1, 2, 3 and 2 more");
    }

    #[test]
    fn text_from_outside_cannot_drive_a_terminal_or_a_shell() {
        assert_eq!(clean("CN=\u{1b}[31mred\r\nnext\u{202e}"), "CN=�[31mred��next�");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), MAXIMUM_TEXT + 1);
        let long = clean_ends(&format!("the endpoint {}/kube-apiserver", "ö".repeat(500)));
        assert!(long.starts_with("the endpoint ") && long.ends_with("/kube-apiserver"), "{long}");
        assert_eq!(long.chars().count(), MAXIMUM_TEXT + 1);
        assert_eq!(clean_ends("short"), "short");
        assert_eq!(shell("api.example.com:443"), "api.example.com:443");
        assert_eq!(shell("$(reboot)"), "'$(reboot)'");
        assert_eq!(shell("it's; rm"), r"'it'\''s; rm'");
        assert_eq!(shell("https://[::1]:443"), "'https://[::1]:443'");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("a\nb"), "'a�b'");
    }

    #[test]
    fn regions_come_from_the_endpoint_and_names_from_an_arn() {
        let mut scene = Scene::new(Vec::new());
        scene.host = "0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com".to_owned();
        assert_eq!(eks_region_and_name(&scene.view()), ("eu-west-1".to_owned(), "<cluster>".to_owned()));
        scene.host = "my-own-name.example.com".to_owned();
        scene.cluster = "arn:aws:eks:us-gov-east-1:111122223333:cluster/prod".to_owned();
        assert_eq!(eks_region_and_name(&scene.view()), ("us-gov-east-1".to_owned(), "prod".to_owned()));
    }

    #[test]
    fn nothing_counts_when_the_vantage_was_offline_or_unusable() {
        let mut scene = Scene::new(vec![silent("198.51.100.20")]);
        scene.offline = true;
        assert!(deciding(&scene.view()).is_empty());
        scene.offline = false;
        scene.vantage_unavailable = Some("no such namespace".to_owned());
        assert!(deciding(&scene.view()).is_empty());
        scene.vantage_unavailable = None;
        scene.interrupted = true;
        assert!(!silence_counts(&scene.view()));
        assert_eq!(deciding(&scene.view()).len(), 1);
    }

    #[test]
    fn one_clock_that_is_off_is_enough() {
        let mut scene = Scene::new(vec![silent("198.51.100.20"), silent("198.51.100.21")]);
        assert_eq!(clock(&scene.observation), Clock::Unknown);
        scene.observation.attempts[0].http.clock_ahead_seconds = Some(-300);
        assert_eq!(clock(&scene.observation), Clock::Agrees);
        scene.observation.attempts[1].http.clock_ahead_seconds = Some(-301);
        assert_eq!(clock(&scene.observation), Clock::Off);
    }
}
