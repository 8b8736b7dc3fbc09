//! `verify` and `doctor` with a live configuration from Azure: read at the start, followed after a change.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach::demo::servers::{
    ApiServer, ArmApi, ArmConduct, ArmFault, ArmLater, CertificateSpec, LabCa, Running, ServerSpec, serve,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    arm::TOKEN,
    arm_documents::{OWN, cluster_id},
    recorded::{Test, requests},
    verify::{free_addresses, report},
};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("azure_verify_reads_the_configuration_live", verify_reads_the_configuration_live),
    ("azure_verify_waits_for_new_ranges", verify_waits_for_new_ranges),
    ("azure_verify_goes_on_without_a_login", verify_goes_on_without_a_login),
    ("azure_a_silent_provider_does_not_outlast_the_run", a_silent_provider_does_not_outlast_the_run),
    ("azure_verify_refuses_a_cluster_that_is_not_there", verify_refuses_a_cluster_that_is_not_there),
    ("azure_doctor_finds_the_cluster_by_its_host", doctor_finds_the_cluster_by_its_host),
];

fn verify_reads_the_configuration_live() {
    let world = World::new(ArmApi { documents: documents(&[]), ..ArmApi::default() });
    let _api = world.api_server();
    let (report, code) = world.verify(&[]);
    let cell = &report["cells"][0];
    assert_eq!((code, &cell["observed"], &cell["provider"]), (0, &json!("reachable"), &json!("aks")), "{report:#}");
    assert!(!report["findings"].to_string().contains("inconclusive-facts-missing"), "{report:#}");
    assert!(world.asked() > 20, "the provider was asked {} times", world.asked());
}

/// The ranges were changed a moment ago, as the log says: what is not there yet is waited for, and then it is.
fn verify_waits_for_new_ranges() {
    let closed = || documents(&["198.51.100.7/32"]);
    let world = World::new(ArmApi { documents: closed(), ..ArmApi::default() });
    let (waiting, code) = world.verify(&["--no-wait"]);
    assert_eq!((code, &waiting["verdict"]), (4, &json!("propagating")), "{waiting:#}");
    drop(world);
    let later = ArmLater { after_ms: 2_000, after_requests: 0, documents: documents(&[]) };
    let world = World::new(ArmApi { documents: closed(), later: vec![later], ..ArmApi::default() });
    let child =
        world.command("verify", &["--wait", "40s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    let _api = world.api_server();
    let output = child.wait_with_output().unwrap();
    let report = report(&output);
    let cell = &report["cells"][0];
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(cell["rounds"].as_u64().unwrap() > 2, "{report:#}");
    assert!(cell["convergedAfterMs"].as_u64().is_some(), "{report:#}");
}

fn verify_goes_on_without_a_login() {
    let world = World::new(ArmApi { documents: documents(&[]), ..ArmApi::default() });
    let _api = world.api_server();
    let mut command = world.command("verify", &[]);
    // Nobody listens there.
    let output = command.env("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi/token").output().unwrap();
    let report = report(&output);
    let cell = &report["cells"][0];
    assert_eq!((&cell["configured"], &cell["observed"]), (&json!("unknown"), &json!("reachable")), "{report:#}");
    assert_eq!(output.status.code(), Some(0), "what could be probed is as intended: {report:#}");
    let findings = report["findings"].to_string();
    assert!(findings.contains("inconclusive-facts-missing") && findings.contains("az login"), "{report:#}");
}

fn a_silent_provider_does_not_outlast_the_run() {
    let silent = ArmFault { conduct: ArmConduct::Silent, ..ArmFault::default() };
    let world = World::new(ArmApi { documents: documents(&[]), faults: vec![silent], ..ArmApi::default() });
    let started = Instant::now();
    let output = world.command("verify", &["--timeout", "1s"]).output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let report = report(&output);
    assert_eq!(output.status.code(), Some(3), "{report:#}");
    assert!(report["findings"].to_string().contains("the run ended before"), "{report:#}");
}

fn verify_refuses_a_cluster_that_is_not_there() {
    let mut other = documents(&[]);
    other.get_mut("aks/show.json").unwrap()["id"] = json!(cluster_id().replace("prod", "other"));
    let world = World::new(ArmApi { documents: other, ..ArmApi::default() });
    let output = world.command("verify", &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    assert!(
        stderr.contains("scenario.yaml:3:1: there is no AKS cluster \"prod\" in the resource group rg-prod"),
        "{stderr}"
    );
    assert!(stderr.contains("az aks list -o table"), "{stderr}");
}

fn doctor_finds_the_cluster_by_its_host() {
    let mut stopped = documents(&[]);
    stopped.get_mut("aks/show.json").unwrap()["properties"]["powerState"] = json!({"code": "Stopped"});
    let world = World::new(ArmApi { documents: stopped, ..ArmApi::default() });
    // The name is that of an API server of AKS; nobody answers for it.
    let (wrong, code) = world.doctor(&[]);
    assert_eq!(code, 1, "{wrong:#}");
    assert!(wrong["findings"].to_string().contains("aks-cluster-stopped"), "{wrong:#}");
    assert!(world.asked() > 10, "the provider was asked {} times", world.asked());
    let before = world.asked();
    world.doctor(&["--no-provider-api"]);
    assert_eq!(world.asked(), before, "it was told not to ask");
}

/// A cluster on loopback, whose provider is on loopback, too.
struct World {
    runtime: Runtime,
    folder: TempDir,
    authority: Arc<LabCa>,
    api_address: SocketAddr,
    provider: SocketAddr,
    _running: Running,
}

impl World {
    fn new(api: ArmApi) -> Self {
        let runtime = Runtime::new().unwrap();
        let api = ArmApi { listen: vec!["127.0.0.1:0".parse().unwrap()], token: Some(TOKEN.to_owned()), ..api };
        let running = runtime.block_on(serve(&BTreeMap::new(), &[ServerSpec::Arm(api)])).unwrap();
        let provider = running.addresses()[0];
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(LabCa::new("the cluster's CA").unwrap());
        let [api_address, _] = free_addresses();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        let scenario = format!(
            "apiVersion: kubereach/v1\nclusters:\n  prod:\n    endpoint: https://{api_address}\n    ca: ./ca.pem\n    \
             aks: {{ subscription: {OWN}, resourceGroup: rg-prod, name: prod, endpointUrl: http://{provider} }}\n\
             vantages:\n  here: {{ local: {{}} }}\ncontrols: []\n\
             propagation: {{ interval: 300ms, consecutive: 2 }}\n\
             expect:\n  - {{ cluster: prod, from: here, reachable: true }}\n"
        );
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        let server = format!("https://{HOST}:{}", api_address.port());
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{"name": "prod", "cluster": {"server": server, "certificate-authority": "ca.pem"}}],
            "users": [{"name": "me", "user": {"token": "x"}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}]});
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { runtime, folder, authority, api_address, provider, _running: running }
    }

    fn api_server(&self) -> Running {
        let certificate = CertificateSpec { addresses: vec![self.api_address.ip()], ..CertificateSpec::default() };
        let authorities = BTreeMap::from([(certificate.authority.clone(), Arc::clone(&self.authority))]);
        let server = ServerSpec::Api(ApiServer::new(vec![self.api_address], certificate));
        self.runtime.block_on(serve(&authorities, &[server])).unwrap()
    }

    fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        process.arg(command);
        if command == "doctor" {
            // A resolver on which nobody listens: nothing is asked of any other.
            process.args(["--kubeconfig", "kubeconfig", "--no-controls", "--resolver", "system=127.0.0.1:9"]);
            process.env("AZURE_RESOURCE_MANAGER_ENDPOINT", format!("http://{}", self.provider));
        } else {
            process.arg("scenario.yaml");
        }
        process.args(["-o", "json"]).args(more).current_dir(self.folder.path());
        process
    }

    fn verify(&self, more: &[&str]) -> (Value, i32) {
        let output: Output = self.command("verify", more).output().unwrap();
        (report(&output), output.status.code().unwrap())
    }

    fn doctor(&self, more: &[&str]) -> (Value, i32) {
        let output = self.command("doctor", more).output().unwrap();
        (report(&output), output.status.code().unwrap())
    }

    /// How many calls the provider has had.
    fn asked(&self) -> usize {
        requests(self.provider).len()
    }
}

/// A public cluster that lets these in, everybody without any, and that was written to a moment ago.
fn documents(ranges: &[&str]) -> BTreeMap<String, Value> {
    let mut all = crate::arm_documents::subscription();
    let show = &mut all.get_mut("aks/show.json").unwrap()["properties"];
    show["fqdn"] = json!(HOST);
    show["privateFQDN"] = Value::Null;
    show["apiServerAccessProfile"] = json!({"authorizedIPRanges": ranges, "enablePrivateCluster": false});
    let changed = jiff::Timestamp::now().saturating_sub(jiff::SignedDuration::from_secs(5)).unwrap().to_string();
    for event in all.get_mut("aks/activity-log.json").unwrap()["value"].as_array_mut().unwrap() {
        event["eventTimestamp"] = json!(if ranges.is_empty() { "2026-01-01T10:00:01Z" } else { &changed });
    }
    all
}

const HOST: &str = "prod-x.hcp.westeurope.azmk8s.io";
