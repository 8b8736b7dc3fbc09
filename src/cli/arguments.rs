//! The command line as plain types. Parsing checks every value; a usage error exits with 2, help and version with 0.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use jiff::Timestamp;
use kubereach_agent::AgentArguments;
use kubereach_probes::NamedResolver;

use crate::{
    facts::planned::PlannedSetting,
    input::may_hold_secret,
    model::trace::Point,
    report::{CellTarget, Format},
    scenario::ClusterEndpoint,
    watch::record::EventKind,
};

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kubereach",
    version,
    about = "Is the Kubernetes API server reachable from where it should be, and only from there?",
    long_about = "Is the Kubernetes API server reachable from where it should be, and only from there?\n\n\
        kubereach probes DNS, TCP, TLS and HTTP, every address on its own, compares what it sees with what is \
        intended, and names the cause and the command that mends it.",
    after_help = "Exit status: 0 match, 1 mismatch or not reachable, 2 wrong input, 3 inconclusive, 4 still propagating",
    after_long_help = TOP_EXAMPLES,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Why does kubectl hang? Probes the API server of the kubeconfig, no configuration needed
    #[command(after_long_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArguments),
    /// Probe every cluster of a scenario from every vantage, compare with what is intended, wait out propagation
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArguments),
    /// Capture the provider's configuration as a folder of plain JSON, and read it offline
    #[command(after_long_help = FACTS_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
    Facts(FactsArguments),
    /// What does the configuration say? Evaluates every cell of a scenario and sends no packet to any cluster
    #[command(after_long_help = PREDICT_EXAMPLES)]
    Predict(PredictArguments),
    /// One path through the configuration, hop by hop, there and back, every blocker named; sends no packet
    #[command(after_long_help = TRACE_EXAMPLES)]
    Trace(TraceArguments),
    /// Scheduled checks for months: history, metrics, a web page and alerts
    #[command(after_long_help = WATCH_EXAMPLES)]
    Watch(WatchArguments),
    /// What a watch has seen: availability, rounds and events, as a table, JSON or CSV
    #[command(after_long_help = HISTORY_EXAMPLES)]
    History(HistoryArguments),
    /// Be a vantage point: take orders to probe, within an allow list of your own
    #[command(after_long_help = AGENT_EXAMPLES)]
    Agent(AgentArguments),
    /// What a finding means; or paste a kubectl error to see which causes fit
    #[command(after_long_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArguments),
    /// The whole thing on this machine alone: no account, no network, no privilege
    #[command(after_long_help = "Example:\n  kubereach demo -o json=demo.json")]
    Demo(DemoArguments),
    /// Print the JSON Schema of the scenario file, the report or the watch's configuration
    #[command(after_long_help = "Example:\n  kubereach schema scenario > kubereach.schema.json")]
    Schema(SchemaArguments),
    /// Print a completion script for a shell
    #[command(
        after_long_help = "Example:\n  kubereach completions bash > ~/.local/share/bash-completion/completions/kubereach"
    )]
    Completions(CompletionsArguments),
    /// Write the manual pages into a folder
    #[command(after_long_help = "Example:\n  kubereach man ~/.local/share/man/man1")]
    Man(ManArguments),
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArguments {
    /// Kubeconfig file; without it KUBECONFIG (several files are merged), then ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Probe this API server instead of one of a kubeconfig; port 443 unless given
    #[arg(long, value_name = "https://HOST[:PORT]", value_parser = parse_server, conflicts_with_all = ["kubeconfig", "context"])]
    pub server: Option<ClusterEndpoint>,
    /// PEM file with the certificate authorities of --server; without it the system's roots are trusted
    #[arg(long, value_name = "FILE", requires = "server")]
    pub ca: Option<PathBuf>,
    /// Name to send as SNI and to expect in the certificate, when it differs from the server's host
    #[arg(long, value_name = "NAME", value_parser = parse_server_name)]
    pub tls_server_name: Option<String>,
    /// Ask with the kubeconfig's credentials; runs its exec plugin. Never sent over a connection that did not verify
    #[arg(long, conflicts_with = "server")]
    pub auth: bool,
    /// Ask no public resolver and no control target, even when something is wrong
    #[arg(long)]
    pub no_controls: bool,
    /// Do not ask the provider's API for the cluster's configuration, even when something is wrong
    #[arg(long)]
    pub no_provider_api: bool,
    /// Options that all probing commands share.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// Scenario file, YAML or JSON
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// Options that all probing commands share.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Arguments of `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArguments {
    /// Configuration file, YAML or JSON: scenario files with their schedule, storage, alerts, web page
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Check the configuration and every file it names, say what would run, and end: 0, or 2 with every mistake
    #[arg(long, conflicts_with = "once")]
    pub check_config: bool,
    /// Run every cell once, write history and send alerts, print the report, and end with its exit status: for cron
    #[arg(long)]
    pub once: bool,
    /// How and where to report; for --once. With -v a running watch, too, says what each round came to.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArguments {
    /// The watch's configuration file, which says where history is
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// What to list
    #[arg(value_enum, default_value = "cells")]
    pub what: HistoryOf,
    /// Only this check; `*` stands for any run of characters. Repeatable
    #[arg(long, value_name = "NAME")]
    pub check: Vec<String>,
    /// Only this cluster; `*` stands for any run of characters. Repeatable
    #[arg(long, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// Only this vantage; `*` stands for any run of characters. Repeatable
    #[arg(long, value_name = "NAME")]
    pub vantage: Vec<String>,
    /// Only what is to be reached there: kubernetes or eks-api. Repeatable
    #[arg(long, value_name = "TARGET", value_parser = target_parser())]
    pub target: Vec<CellTarget>,
    /// Only events of this kind; for `events`. Repeatable
    #[arg(long, value_name = "KIND", value_parser = kind_parser())]
    pub kind: Vec<EventKind>,
    /// From this time on: RFC 3339, or so long ago (`90m`, `7d`)
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub since: String,
    /// Before this time: RFC 3339, or so long ago; now without it
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: HistoryFormat,
    /// Colours: auto, always or never
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: ColorChoice,
}

/// What `history` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryOf {
    /// Each cell: what it is now, since when, its last round, how available it was. What is known may be `stale` (its
    /// round did not come when it was due), `paused` (the prober is offline) or of a cell that is not watched any more
    Cells,
    /// Single rounds of all cells, the newest first: verdict and the times of the stages
    Rounds,
    /// Each cell's hours (UTC): how many rounds ended how, availability, mean and longest time of each stage
    Hours,
    /// Each cell's days (UTC), likewise
    Days,
    /// What changed, and what changed with it, the newest first
    Events,
}

fn target_parser() -> impl TypedValueParser<Value = CellTarget> {
    labelled(CellTarget::ALL, CellTarget::label)
}

fn kind_parser() -> impl TypedValueParser<Value = EventKind> {
    labelled(EventKind::ALL, EventKind::label)
}

/// Takes one of the labels of these values.
fn labelled<T: Copy + Send + Sync + 'static>(
    values: &'static [T],
    label: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.iter().map(|value| label(*value))).try_map(move |text| {
        // The parser before this one takes no other words.
        values.iter().copied().find(|value| label(*value) == text).ok_or("unknown")
    })
}

/// How `history` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// A table for people
    Text,
    /// One JSON document
    Json,
    /// Comma-separated values with a header
    Csv,
}

/// Arguments of `predict`.
#[derive(Clone, Debug, Args)]
pub struct PredictArguments {
    /// Scenario file, YAML or JSON
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// Folder with the provider's configuration, for clusters that name none of their own
    #[arg(long, value_name = "DIR")]
    pub facts: Option<PathBuf>,
    /// Evaluate with this setting changed, e.g. prod.publicAccessCidrs=203.0.113.0/24,198.51.100.7/32. Repeatable
    ///
    /// Settings of EKS: endpointPublicAccess, endpointPrivateAccess (true or false), publicAccessCidrs,
    /// securityGroupIds, subnetIds (lists; the list is replaced, as the provider's API does it), enableDnsSupport,
    /// enableDnsHostnames (of the cluster's VPC). Of AKS: authorizedIPRanges (a list, replaced likewise),
    /// enablePrivateCluster, enableVnetIntegration, enablePrivateClusterPublicFQDN, disableRunCommand (true or false),
    /// publicNetworkAccess (Enabled or Disabled), privateDNSZone (system, none or an id), subnetId. The cluster's name and the dot may be left out where there is one cluster only.
    #[arg(long = "set", value_name = "[CLUSTER.]SETTING=VALUE", value_parser = parse_setting)]
    pub settings: Vec<PlannedSetting>,
    /// Evaluate with what a Terraform plan would change in `aws_eks_cluster` or `azurerm_kubernetes_cluster`, as
    /// `terraform show -json` prints it
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Where reports go and how they look.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Arguments of `trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArguments {
    /// Folder with the provider's configuration
    #[arg(long, value_name = "DIR")]
    pub facts: PathBuf,
    /// Instance (i-…), network interface (eni-…), subnet (subnet-…) or address that connects; in Azure the id or name of
    /// a machine or network interface, or the id of a subnet
    #[arg(long, value_name = "WHO", value_parser = str::parse::<Point>)]
    pub from: Point,
    /// Address, network interface or instance to connect to, by TCP; port 443 unless given. In Azure also a private
    /// endpoint or load balancer
    ///
    /// IPv6 with a port stands in brackets: `[2001:db8::1]:443`.
    #[arg(long, value_name = "WHERE[:PORT]", value_parser = parse_destination)]
    pub to: Destination,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: ExplainFormat,
    /// When to use colour; auto honours `NO_COLOR`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// Where `trace` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The point.
    pub point: Point,
    /// TCP port.
    pub port: u16,
}

/// Arguments of `facts`.
#[derive(Clone, Debug, Args)]
pub struct FactsArguments {
    /// What to do with the facts.
    #[command(subcommand)]
    pub command: FactsCommand,
}

/// What to do with facts.
#[derive(Clone, Debug, Subcommand)]
pub enum FactsCommand {
    /// Read the configuration from the provider and write it as a folder of its own JSON
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Pull(PullArguments),
    /// Show a folder of facts on one page: the cluster, who is let in, its network, what is missing
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(ShowArguments),
    /// What is wrong with the configuration by itself, or differs from a scenario's intent; sends no packet
    #[command(after_long_help = LINT_EXAMPLES)]
    Lint(LintArguments),
}

/// Arguments of `facts show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArguments {
    /// Folder with the facts
    #[arg(long, value_name = "DIR")]
    pub facts: PathBuf,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: ExplainFormat,
    /// When to use colour; auto honours `NO_COLOR`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// Arguments of `facts lint`.
#[derive(Clone, Debug, Args)]
pub struct LintArguments {
    /// Folder with the facts
    #[arg(long, value_name = "DIR")]
    pub facts: PathBuf,
    /// Scenario file whose cluster says what is intended: the one of that name, endpoint or facts folder, or the only one
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// Judge the configuration with this setting changed, as `predict --set` does. Repeatable
    #[arg(long = "set", value_name = "[CLUSTER.]SETTING=VALUE", value_parser = parse_setting)]
    pub settings: Vec<PlannedSetting>,
    /// Where reports go and how they look.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Arguments of `facts pull`.
#[derive(Clone, Debug, Args)]
pub struct PullArguments {
    /// Whose facts.
    #[command(subcommand)]
    pub provider: PullProvider,
}

/// Whose facts are pulled.
#[derive(Clone, Debug, Subcommand)]
pub enum PullProvider {
    /// An EKS cluster and the network of its region; only reads, and needs docs/eks-iam-policy.json at most
    #[command(after_long_help = PULL_EKS_EXAMPLES)]
    Eks(PullEksArguments),
    /// An AKS cluster and the network of its subscription; only reads: docs/aks-role.json is all it needs, but for two options
    #[command(after_long_help = PULL_AKS_EXAMPLES)]
    Aks(PullAksArguments),
}

/// Arguments of `facts pull eks`. What is not given comes from the environment and the AWS profile.
#[derive(Clone, Debug, Args)]
pub struct PullEksArguments {
    /// The cluster's name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Its region; without it `AWS_REGION` or the profile's
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Profile of the AWS configuration; without it `AWS_PROFILE` or the default
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Any AWS-compatible API instead of the region's own
    #[arg(long, value_name = "URL", value_parser = parse_endpoint_url)]
    pub endpoint_url: Option<String>,
    /// Where to write: a new or empty folder, or that of an earlier pull of this cluster; without it facts/NAME
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Progress as lines on stderr, one an action
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `facts pull aks`.
#[derive(Clone, Debug, Args)]
pub struct PullAksArguments {
    /// The subscription, by id or name; without it the only one that the login sees
    #[arg(long, value_name = "ID", env = "AZURE_SUBSCRIPTION_ID")]
    pub subscription: Option<String>,
    /// The cluster's resource group; without it the only cluster of that name
    #[arg(short = 'g', long, value_name = "NAME")]
    pub resource_group: Option<String>,
    /// The cluster's name
    #[arg(short, long, value_name = "NAME")]
    pub name: String,
    /// Any API that is compatible with Azure Resource Manager instead of the cloud's own
    #[arg(long, value_name = "URL", value_parser = parse_endpoint_url)]
    pub endpoint_url: Option<String>,
    /// Whose login to use; auto takes the first that the environment speaks for
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub credential: CredentialKind,
    /// Also ask which routes and rules virtual machines near the cluster really have (needs four more actions)
    #[arg(long)]
    pub effective_routes: bool,
    /// Also ask for the API server's certificate authority, so that no kubeconfig is needed (needs one more action)
    #[arg(long)]
    pub certificate_authority: bool,
    /// Where to write: a new or empty folder, or that of an earlier pull of this cluster; without it facts/NAME
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Progress as lines on stderr, one an action
    #[arg(short, long)]
    pub verbose: bool,
}

/// Where an Azure login comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialKind {
    /// The first that the environment speaks for
    Auto,
    /// The login of the az command
    AzureCli,
    /// The identity of this machine, app or container
    ManagedIdentity,
    /// The identity of a Kubernetes service account
    WorkloadIdentity,
    /// A service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`
    ClientSecret,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArguments {
    /// A finding's code, or the text of an error (quotes are best; several words are joined)
    #[arg(value_name = "CODE|TEXT", required = true)]
    pub query: Vec<String>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: ExplainFormat,
    /// When to use colour; auto honours `NO_COLOR`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

impl ExplainArguments {
    /// The words as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.query.join(" ")
    }
}

/// Formats of `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArguments {
    /// Where reports go and how they look.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Arguments of `schema`.
#[derive(Clone, Debug, Args)]
pub struct SchemaArguments {
    /// Which schema
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The scenario file
    Scenario,
    /// The JSON report
    Report,
    /// The configuration of `watch`
    Watch,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArguments {
    /// The folder; made when it does not exist
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Where reports go and how they look.
#[derive(Clone, Debug, Args)]
pub struct OutputArguments {
    /// text, json, junit, sarif, markdown or html; with =FILE into a file. Repeatable; at most one without FILE
    ///
    /// Without FILE the report goes to stdout. When every one given has a FILE, stdout still gets the text form.
    #[arg(short, long = "output", value_name = "FORMAT[=FILE]", value_parser = parse_output)]
    pub outputs: Vec<Output>,
    /// Say more: progress as lines on stderr, and what went well in detail
    #[arg(short, long)]
    pub verbose: bool,
    /// When to use colour; auto honours `NO_COLOR`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

impl OutputArguments {
    /// What goes to stdout: the one format given without a file, else text.
    #[must_use]
    pub fn stdout_format(&self) -> Format {
        self.outputs.iter().find(|output| output.file.is_none()).map_or(Format::Text, |output| output.format)
    }

    /// What goes to files.
    pub fn files(&self) -> impl Iterator<Item = (Format, &PathBuf)> {
        self.outputs.iter().filter_map(|output| output.file.as_ref().map(|file| (output.format, file)))
    }
}

/// Options that all probing commands share.
#[derive(Clone, Debug, Args)]
pub struct CommonArguments {
    /// Where reports go and how they look.
    #[command(flatten)]
    pub output: OutputArguments,
    /// Bound of the whole run, e.g. 30s; what is undecided then is inconclusive
    #[arg(long, value_name = "DURATION", value_parser = parse_positive_duration)]
    pub timeout: Option<Duration>,
    /// Bound of each connect, handshake and answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_positive_duration)]
    pub connect_timeout: Duration,
    /// Judge at once: do not wait for a change to propagate
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Folder with the provider's configuration (see facts pull), for clusters that name none of their own
    #[arg(long, value_name = "DIR")]
    pub facts: Option<PathBuf>,
    /// Upper bound on waiting for a change to propagate
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// When the configuration was changed (RFC 3339, e.g. 2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub changed_at: Option<Timestamp>,
    /// Ask this DNS server, too; NAME is system (then it decides), vpc, public or any label. Repeatable
    ///
    /// IPv6 with a port stands in brackets: `[2001:db8::53]:5353`. Without NAME the address is the label, so that each
    /// such server is shown on its own; servers with the same NAME are one resolver, asked in order.
    #[arg(long = "resolver", value_name = "[NAME=]ADDR[:PORT]", value_parser = parse_resolver)]
    pub resolvers: Vec<ResolverArgument>,
}

impl CommonArguments {
    /// The resolvers by label, in the order in which the labels were first given; servers of one label accumulate.
    #[must_use]
    pub fn named_resolvers(&self) -> Vec<NamedResolver> {
        let mut named: Vec<NamedResolver> = Vec::new();
        for ResolverArgument { label, server } in &self.resolvers {
            match named.iter_mut().find(|resolver| resolver.label == *label) {
                Some(resolver) if resolver.servers.contains(server) => {}
                Some(resolver) => resolver.servers.push(*server),
                None => named.push(NamedResolver { label: label.clone(), servers: vec![*server], eager: true }),
            }
        }
        named
    }
}

/// A format and where it goes: stdout when there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The format.
    pub format: Format,
    /// The file.
    pub file: Option<PathBuf>,
}

/// One `--resolver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverArgument {
    /// Its label; the address where none was given.
    pub label: String,
    /// The server.
    pub server: SocketAddr,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Parses a whole command line, the program's name first, and checks what spans several options.
///
/// The error is clap's: it prints itself and knows its exit status (2 for usage, 0 for help and version).
pub fn parse<I, T>(arguments: I) -> Result<Arguments, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = Arguments::try_parse_from(arguments).map_err(without_secrets)?;
    let (name, output) = match &arguments.command {
        Command::Doctor(doctor) => ("doctor", &doctor.common.output),
        Command::Verify(verify) => ("verify", &verify.common.output),
        Command::Predict(predict) => ("predict", &predict.output),
        Command::Watch(watch) => ("watch", &watch.output),
        Command::Demo(demo) => ("demo", &demo.output),
        Command::Facts(FactsArguments { command: FactsCommand::Lint(lint) }) => ("facts", &lint.output),
        Command::Trace(_)
        | Command::Agent(_)
        | Command::History(_)
        | Command::Facts(_)
        | Command::Explain(_)
        | Command::Schema(_)
        | Command::Completions(_)
        | Command::Man(_) => {
            return Ok(arguments);
        }
    };
    match check_outputs(&output.outputs) {
        Ok(()) => Ok(arguments),
        Err(message) => {
            let mut command = Arguments::command();
            command.build();
            let command = command.find_subcommand_mut(name).cloned().unwrap_or(command);
            Err(command.clone().error(ErrorKind::ArgumentConflict, message))
        }
    }
}

/// clap repeats the value that it refuses; one that may hold a password is not repeated.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let secret =
        matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if may_hold_secret(value));
    if secret {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

fn check_outputs(outputs: &[Output]) -> Result<(), String> {
    let bare: Vec<&str> = outputs.iter().filter(|o| o.file.is_none()).map(|o| o.format.label()).collect();
    if bare.len() > 1 {
        return Err(format!(
            "only one report fits on stdout, not {}: give the others a file, e.g. -o {}=report",
            bare.join(" and "),
            bare[1]
        ));
    }
    for (index, output) in outputs.iter().enumerate() {
        if let Some(file) = &output.file
            && outputs[..index].iter().any(|earlier| earlier.file.as_ref() == Some(file))
        {
            return Err(format!("two reports would be written to {}", file.display()));
        }
    }
    Ok(())
}

/// `FORMAT` or `FORMAT=FILE`.
fn parse_output(text: &str) -> Result<Output, String> {
    let (name, file) = match text.split_once('=') {
        Some((_, "")) => return Err("a file name was expected after \"=\"".to_owned()),
        Some((name, file)) => (name, Some(PathBuf::from(file))),
        None => (text, None),
    };
    match Format::ALL.into_iter().find(|format| format.label() == name) {
        Some(format) => Ok(Output { format, file }),
        None => Err(format!("expected one of {}", Format::ALL.map(Format::label).join(", "))),
    }
}

/// `[NAME=]ADDR[:PORT]`; port 53 unless given.
fn parse_resolver(text: &str) -> Result<ResolverArgument, String> {
    let (label, server) = match text.split_once('=') {
        Some((label, server)) => (Some(label), server),
        None => (None, text),
    };
    if let Some(label) = label {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if label.is_empty() || label.len() > 63 || !label.chars().all(allowed) {
            return Err("a resolver's name is 1 to 63 letters, digits, dots, hyphens or underscores".to_owned());
        }
    }
    let server = parse_server_address(server)?;
    if server.ip().is_unspecified() || server.ip().is_multicast() {
        return Err(format!("{} is no address of a DNS server", server.ip()));
    }
    let label = label.map_or_else(
        || if server.port() == DNS_PORT { server.ip().to_string() } else { server.to_string() },
        str::to_owned,
    );
    Ok(ResolverArgument { label, server })
}

fn parse_server_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(host) => host.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
    };
    let Some(address) = address else {
        return Err(format!(
            "expected an IP address, optionally with a port (9.9.9.9, 9.9.9.9:53, [2001:db8::53]:53), not {text:?}"
        ));
    };
    match port.map_or(Ok(DNS_PORT), str::parse::<u16>) {
        Ok(port) if port > 0 => Ok(SocketAddr::new(address, port)),
        _ => Err(format!("a port is a number from 1 to 65535, not {:?}", port.unwrap_or_default())),
    }
}

/// `WHERE[:PORT]`; port 443 unless given.
fn parse_destination(text: &str) -> Result<Destination, String> {
    let whole = text.parse::<IpAddr>().is_ok();
    let (point, port) = match text.rsplit_once(':') {
        Some((point, port)) if !whole => (point, port),
        _ => (text, ""),
    };
    let port = if point.len() == text.len() { Some(HTTPS_PORT) } else { port.parse().ok().filter(|port| *port > 0) };
    let port = port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())?;
    let bare = match point.strip_prefix('[').and_then(|point| point.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().map_err(|_| "brackets stand around an IPv6 address")?.to_string(),
        None => point.to_owned(),
    };
    Ok(Destination { point: bare.parse()?, port })
}

/// `https://host[:port][/path]`; a bare host is taken as `https`.
fn parse_server(text: &str) -> Result<ClusterEndpoint, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = url::Url::parse(&with_scheme).map_err(|error| format!("expected https://host[:port]: {error}"))?;
    if url.scheme() != "https" {
        return Err(format!("a Kubernetes API server speaks https, not {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a server's URL holds no user name or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a server's URL ends with its path: no \"?\" and no \"#\"".to_owned());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the URL names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_owned();
    match url.port_or_known_default() {
        Some(0) | None => Err("a port is a number from 1 to 65535".to_owned()),
        Some(port) => Ok(ClusterEndpoint { host, port, base_path: url.path().trim_end_matches('/').to_owned() }),
    }
}

/// `http://` or `https://`, without credentials.
fn parse_endpoint_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("expected https://host[:port]: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("expected https://host[:port] or http://host[:port]".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL of an API holds no user name or password".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_setting(text: &str) -> Result<PlannedSetting, String> {
    PlannedSetting::parse(text)
}

fn parse_server_name(text: &str) -> Result<String, String> {
    match rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a DNS name or an IP address, without scheme and port".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp =
        text.parse().map_err(|_| "expected an RFC 3339 time with its offset, e.g. 2026-03-01T12:00:00Z".to_owned())?;
    // Whoever made the change may have a clock of their own, but not one of another day.
    if time.duration_since(Timestamp::now()) > CLOCKS_DIFFER {
        return Err("this time lies in the future: what has not been changed yet cannot be verified".to_owned());
    }
    Ok(time)
}

fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than zero".to_owned()),
        other => other,
    }
}

/// `500ms`, `3s`, `2m`, `1h30m`: numbers with units, the units descending and each at most once.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 500ms, 3s, 2m or 1h30m, not {text:?}");
    let mut rest = text;
    let mut previous = u64::MAX;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if milliseconds >= previous {
            return Err(wrong());
        }
        let part = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total
            .checked_add(part)
            .filter(|total| *total <= LONGEST_DURATION)
            .ok_or_else(|| format!("{text:?} is too long: at most {} hours", LONGEST_DURATION.as_secs() / 3_600))?;
        (previous, rest) = (milliseconds, tail);
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

const CLOCKS_DIFFER: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);
const DNS_PORT: u16 = 53;
const HTTPS_PORT: u16 = 443;
const LONGEST_DURATION: Duration = Duration::from_hours(365 * 24);

const TOP_EXAMPLES: &str = "\
Examples:
  kubereach doctor                            why does kubectl hang?
  kubereach verify s.yaml -o junit=r.xml      after a change, in a pipeline
  kubereach predict s.yaml --facts DIR        before a change, without a packet
  kubereach facts pull eks --name prod        the configuration as a folder
  kubereach facts lint --facts DIR            what is wrong with it by itself
  kubereach trace --facts D --from A --to B   one path, hop by hop
  kubereach explain partial-address-failure   what a finding means
  kubereach demo                              see it work here

Exit status:
  0  match              everything is as intended
  1  mismatch           something is not; for doctor: not reachable
  2  wrong input        usage, scenario, kubeconfig or facts
  3  inconclusive       what is needed to decide could not be obtained
  4  still propagating  a change had not taken effect when the wait ended";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  kubereach doctor
  kubereach doctor --context prod -v
  kubereach doctor --server https://10.20.1.10:6443 --ca ./ca.pem
  kubereach doctor --resolver vpc=10.20.0.2 --resolver 9.9.9.9 -o json=r.json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  kubereach verify scenario.yaml
  kubereach verify scenario.yaml --changed-at 2026-03-01T12:00:00Z --wait 5m
  kubereach verify scenario.yaml --no-wait -o markdown=r.md -o sarif=r.sarif

Environment:
  KUBEREACH_AGENT_BINARIES  folders or files, separated by `:`, with the static agent that is sent to `ssh` hosts which
                            have none (deploy/agent/build makes it); otherwise it is looked for beside this program";

const FACTS_EXAMPLES: &str = "\
Examples:
  kubereach facts pull eks --name prod --region eu-west-1 --out facts/prod
  kubereach facts show --facts facts/prod
  kubereach facts lint --facts facts/prod scenario.yaml";

const SHOW_EXAMPLES: &str = "\
Examples:
  kubereach facts show --facts facts/prod
  kubereach facts show --facts facts/prod -o json";

const LINT_EXAMPLES: &str = "\
Examples:
  kubereach facts lint --facts facts/prod
  kubereach facts lint --facts facts/prod scenario.yaml -o sarif=lint.sarif

Exit status: 0 no error, 1 errors, 2 wrong input,
3 the facts do not describe a cluster";

const PULL_EKS_EXAMPLES: &str = "\
Examples:
  kubereach facts pull eks --name prod
  kubereach facts pull eks --name prod --region eu-west-1 --out facts/prod
  kubereach facts pull eks --name prod --profile ops

Credentials are found as the aws command finds them. An action that they do not
allow is named and leaves its file out; the rest is written. Pulled again, an
unchanged account gives the same bytes.";

const PULL_AKS_EXAMPLES: &str = "\
Examples:
  kubereach facts pull aks --resource-group rg --name prod
  kubereach facts pull aks -g rg -n prod --subscription 00000000-0000-0000-0000-000000000000
  kubereach facts pull aks -g rg -n prod --credential managed-identity --out facts/prod

Without --credential the first of these is used: a service principal or a workload
identity of the environment, a managed identity, the login of the az command. What
the login does not allow is named and left out; the rest is written. Pulled again,
an unchanged subscription gives the same bytes.";

const PREDICT_EXAMPLES: &str = "\
Examples:
  kubereach predict scenario.yaml --facts facts/prod
  kubereach predict scenario.yaml --set prod.endpointPublicAccess=false
  terraform show -json plan.bin > plan.json
  kubereach predict scenario.yaml --plan plan.json";

const TRACE_EXAMPLES: &str = "\
Examples:
  kubereach trace --facts facts/prod --from i-0123456789abcdef0 --to 10.20.1.10
  kubereach trace --facts facts/prod --from 10.9.0.7 --to 10.20.1.10:443 -o json
  kubereach trace --facts facts/aks --from aks-nodepool1-12345678-vmss_0 --to kube-apiserver:443

Exit status: 0 reachable, 1 blocked, 2 wrong input, 3 unknown";

const WATCH_EXAMPLES: &str = "\
Examples:
  kubereach watch watch.yaml --check-config
  kubereach watch watch.yaml
  kubereach watch watch.yaml --once -o json

Exit status: 0 stopped by a signal; 1 it cannot run here and now (its port is in use, another watch writes its history,
the disk is full), so another start may do; 2 the configuration is wrong. A PostgreSQL server that does not answer at the
start is waited for. With --once: verify's (0 match, 1 mismatch, 3 inconclusive, 4 propagating), 1 also when it cannot
run here and now, which a run does that overlaps another, and 2.";

const HISTORY_EXAMPLES: &str = "\
Examples:
  kubereach history watch.yaml
  kubereach history watch.yaml events --cluster prod --kind failed --since 7d
  kubereach history watch.yaml hours --vantage office --since 2026-11-01T00:00:00Z -o csv";

const AGENT_EXAMPLES: &str = "Examples:
  ssh bastion kubereach agent --stdio --allow-host '*.eks.amazonaws.com' < orders
  KUBEREACH_ORDER=\"$packed\" kubereach agent --once --reply-limit 24000

The same as kubereach-agent, which is one small static file without the rest: docs/agent.md";
const EXPLAIN_EXAMPLES: &str = "\
Examples:
  kubereach explain partial-address-failure
  kubereach explain \"dial tcp 10.20.1.10:443: i/o timeout\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn doctor(arguments: &[&str]) -> DoctorArguments {
        match parse(["kubereach", "doctor"].iter().chain(arguments)).unwrap().command {
            Command::Doctor(doctor) => doctor,
            other => panic!("{other:?}"),
        }
    }

    fn error(arguments: &[&str]) -> clap::Error {
        parse(["kubereach"].iter().chain(arguments)).unwrap_err()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let doctor = doctor(&[]);
        assert_eq!(doctor.common.connect_timeout, Duration::from_secs(3));
        assert_eq!(doctor.common.timeout, None);
        assert_eq!(doctor.common.output.stdout_format(), Format::Text);
        assert_eq!(doctor.common.output.color, ColorChoice::Auto);
        assert!(!doctor.auth && !doctor.common.no_wait && !doctor.common.output.verbose);
    }

    #[test]
    fn usage_errors_exit_with_2_help_and_version_with_0() {
        for wrong in [
            &["doctor", "--server", "https://a", "--context", "c"][..],
            &["doctor", "--server", "https://a", "--kubeconfig", "f"],
            &["doctor", "--server", "https://a", "--auth"],
            &["doctor", "--ca", "f"],
            &["doctor", "-o", "yaml"],
            &["doctor", "-o", "json", "-o", "text"],
            &["doctor", "-o", "json=a", "-o", "text=a"],
            &["doctor", "-o", "json="],
            &["doctor", "--connect-timeout", "0s"],
            &["doctor", "--connect-timeout", "3"],
            &["doctor", "--no-wait", "--wait", "2m"],
            &["doctor", "--changed-at", "yesterday"],
            &["doctor", "--resolver", "dns.example.com"],
            &["doctor", "--color", "sometimes"],
            &["verify"],
            &["verify", "a.yaml", "--auth"],
            &["explain"],
            &["schema", "facts"],
            &["completions", "sh"],
            &["man"],
            &["nonsense"],
            &[],
        ] {
            assert_eq!(error(wrong).exit_code(), 2, "{wrong:?}");
        }
        for fine in [&["--help"][..], &["--version"], &["doctor", "--help"], &["help", "verify"]] {
            assert_eq!(error(fine).exit_code(), 0, "{fine:?}");
        }
    }

    #[test]
    fn commands_of_later_versions_are_not_offered() {
        assert_eq!(error(&["init"]).kind(), ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn outputs_go_to_stdout_and_files() {
        let output = doctor(&["-o", "json=a=b.json", "-o", "markdown", "--output", "html=r.html"]).common.output;
        assert_eq!(output.stdout_format(), Format::Markdown);
        let files: Vec<(Format, &PathBuf)> = output.files().collect();
        assert_eq!(files, [(Format::Json, &PathBuf::from("a=b.json")), (Format::Html, &PathBuf::from("r.html"))]);
        assert_eq!(doctor(&["-o", "json=r.json"]).common.output.stdout_format(), Format::Text);
        let message = error(&["doctor", "-o", "json", "-o", "sarif"]).to_string();
        assert!(message.contains("json and sarif") && message.contains("kubereach doctor"), "{message}");
    }

    #[test]
    fn resolvers_take_every_form_of_an_address() {
        for (text, label, server) in [
            ("9.9.9.9", "9.9.9.9", "9.9.9.9:53"),
            ("9.9.9.9:5353", "9.9.9.9:5353", "9.9.9.9:5353"),
            ("vpc=10.0.0.2", "vpc", "10.0.0.2:53"),
            ("vpc=10.0.0.2:5353", "vpc", "10.0.0.2:5353"),
            ("2001:db8::53", "2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "2001:db8::53", "[2001:db8::53]:53"),
            ("my.dns=[2001:db8::53]:5353", "my.dns", "[2001:db8::53]:5353"),
        ] {
            let parsed = parse_resolver(text).unwrap();
            assert_eq!((parsed.label.as_str(), parsed.server.to_string().as_str()), (label, server), "{text}");
        }
        for wrong in [
            "",
            "=9.9.9.9",
            "a b=9.9.9.9",
            "vpc=",
            "9.9.9.9:0",
            "9.9.9.9:65536",
            "9.9.9.9:",
            "[9.9.9.9]:53",
            "[::1",
            "0.0.0.0",
            "224.0.0.1",
            "dns.example.com",
            "9.9.9",
            "2001:db8::53]:53",
        ] {
            assert!(parse_resolver(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn servers_of_one_label_accumulate() {
        let common = doctor(&[
            "--resolver",
            "a=9.9.9.9",
            "--resolver",
            "1.1.1.1",
            "--resolver",
            "a=8.8.8.8",
            "--resolver",
            "a=9.9.9.9",
        ])
        .common;
        let named = common.named_resolvers();
        let shape: Vec<(&str, usize)> = named.iter().map(|r| (r.label.as_str(), r.servers.len())).collect();
        assert_eq!(shape, [("a", 2), ("1.1.1.1", 1)]);
        assert!(named.iter().all(|resolver| resolver.eager));
    }

    #[test]
    fn servers_are_https_urls() {
        for (text, host, port, base_path) in [
            ("https://api.example.com", "api.example.com", 443, ""),
            ("https://api.example.com.:6443/", "api.example.com", 6443, ""),
            ("10.0.0.1:6443", "10.0.0.1", 6443, ""),
            ("https://[2001:db8::1]:6443/k8s/clusters/c-1/", "2001:db8::1", 6443, "/k8s/clusters/c-1"),
        ] {
            let endpoint = ClusterEndpoint { host: host.to_owned(), port, base_path: base_path.to_owned() };
            assert_eq!(parse_server(text).unwrap(), endpoint, "{text}");
        }
        for wrong in
            ["http://a", "https://", "https://u:p@a", "https://a?b", "https://a#b", "https://a:0", "https://a:99999"]
        {
            assert!(parse_server(wrong).is_err(), "{wrong}");
        }
        assert!(!parse_server("https://user:hunter2@a").unwrap_err().contains("hunter2"));
        for secret in ["https://user:hunter2@a", "user:hunter2@a", "http://user:hunter2@a:1"] {
            let message = error(&["doctor", "--server", secret]).to_string();
            assert!(message.contains("--server") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn durations_are_numbers_with_descending_units() {
        for (text, milliseconds) in [("500ms", 500), ("3s", 3_000), ("2m", 120_000), ("1h30m", 5_400_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in
            ["", "3", "s", "3 s", "-3s", "1.5s", "3d", "1m1h", "1s1s", "99999999999999999999s", "999999999h", "3s "]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(parse_time("2026-03-01T13:00:00+01:00").unwrap(), "2026-03-01T12:00:00Z".parse().unwrap());
        assert!(parse_time("2999-01-01T00:00:00Z").unwrap_err().contains("future"));
        for wrong in ["2026-03-01", "12:00", "2026-03-01T12:00:00", ""] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unquoted_error_text_is_joined() {
        let Command::Explain(explain) = parse(["kubereach", "explain", "i/o", "timeout"]).unwrap().command else {
            panic!("explain")
        };
        assert_eq!(explain.text(), "i/o timeout");
    }

    #[test]
    fn the_help_texts_read_well() {
        let mut command = Arguments::command().term_width(80);
        insta::assert_snapshot!("help", command.render_long_help().to_string());
        for name in ["doctor", "verify", "explain"] {
            let help = command.find_subcommand_mut(name).unwrap().clone().term_width(80).render_long_help();
            insta::assert_snapshot!(format!("help_{name}"), help.to_string());
        }
    }
}
