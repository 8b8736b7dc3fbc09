//! `verify` and `doctor` with a live configuration: read at the start, followed while an update is under way.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use kubereach::demo::servers::{ApiServer, AwsApi, AwsFault, CertificateSpec, LabCa, Running, ServerSpec, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::recorded::Test;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("verify_reads_the_configuration_live", verify_reads_the_configuration_live),
    ("verify_waits_for_an_update_and_one_ttl", verify_waits_for_an_update_and_one_ttl),
    ("verify_reports_an_update_that_failed", verify_reports_an_update_that_failed),
    ("verify_goes_on_without_credentials", verify_goes_on_without_credentials),
    ("a_silent_provider_does_not_outlast_the_run", a_silent_provider_does_not_outlast_the_run),
    ("verify_refuses_a_cluster_that_is_not_there", verify_refuses_a_cluster_that_is_not_there),
    ("doctor_reads_the_configuration_when_something_is_wrong", doctor_reads_the_configuration_when_something_is_wrong),
];

fn verify_reads_the_configuration_live() {
    let world = World::new();
    let _api = world.api_server();
    let _provider = world.provider(world.provider_address, documents("Successful", true));
    let (report, code) = world.verify(&[]);
    let cell = &report["cells"][0];
    assert_eq!(
        (code, &cell["configured"], &cell["observed"]),
        (0, &json!("reachable"), &json!("reachable")),
        "{report:#}"
    );
    assert_eq!(cell["provider"], "eks");
}

/// The provider first says that the update is under way and the cluster is silent; then both change.
fn verify_waits_for_an_update_and_one_ttl() {
    let world = World::new();
    let provider = world.provider(world.provider_address, documents("InProgress", false));
    let child =
        world.command("verify", &["--wait", "40s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(1_500));
    drop(provider);
    let provider = world.provider(world.provider_address, documents("Successful", true));
    // The facts are read again before the cluster answers: two rounds may be quicker than the provider's client.
    for _ in 0..200 {
        if world.requests() > 10 {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    let api = world.api_server();
    let output = child.wait_with_output().unwrap();
    let report = report(&output);
    let cell = &report["cells"][0];
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(cell["configured"], "reachable", "the facts were read again: {report:#}");
    assert!(cell["rounds"].as_u64().unwrap() > 2, "{report:#}");
    assert!(cell["convergedAfterMs"].as_u64().is_some(), "{report:#}");
    // Without waiting, the same moment is still propagating.
    drop(provider);
    drop(api);
    let _provider = world.provider(world.provider_address, documents("InProgress", true));
    let (report, code) = world.verify(&["--no-wait"]);
    assert_eq!((code, &report["verdict"]), (4, &json!("propagating")), "{report:#}");
    assert_eq!(report["cells"][0]["findings"][0]["code"], "propagation-eks-update-in-progress", "{report:#}");
}

fn verify_reports_an_update_that_failed() {
    let world = World::new();
    let mut documents = documents("Failed", true);
    documents.get_mut("eks/describe-update-u-1.json").unwrap()["update"]["errors"] =
        json!([{"errorCode": "SubnetNotFound", "errorMessage": "subnet-9 is gone", "resourceIds": ["subnet-9"]}]);
    let _provider = world.provider(world.provider_address, documents);
    let (report, code) = world.verify(&["--no-wait"]);
    assert_eq!(code, 1, "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let failed =
        findings.iter().find(|finding| finding["code"] == "eks-update-failed").unwrap_or_else(|| panic!("{report:#}"));
    assert!(failed["evidence"].to_string().contains("SubnetNotFound"), "{failed:#}");
}

fn verify_goes_on_without_credentials() {
    let world = World::new();
    let _api = world.api_server();
    let mut command = world.command("verify", &[]);
    let output = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let report = report(&output);
    let cell = &report["cells"][0];
    assert_eq!((&cell["configured"], &cell["observed"]), (&json!("unknown"), &json!("reachable")), "{report:#}");
    assert_eq!(output.status.code(), Some(0), "what could be probed is as intended: {report:#}");
    let findings = report["findings"].to_string();
    assert!(findings.contains("inconclusive-facts-missing") && findings.contains("credentials"), "{report:#}");
}

fn a_silent_provider_does_not_outlast_the_run() {
    let world = World::new();
    let _silent = std::net::TcpListener::bind(world.provider_address).unwrap();
    for command in ["verify", "predict"] {
        let mut process = world.command(command, &[]);
        if command == "verify" {
            process.args(["--timeout", "1s"]);
        }
        let started = std::time::Instant::now();
        let child = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if command == "predict" {
            sleep(Duration::from_secs(1));
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        assert!(started.elapsed() < Duration::from_secs(8), "{command} took {:?}", started.elapsed());
        let report = report(&output);
        assert_eq!(output.status.code(), Some(3), "{command}: {report:#}");
        assert!(report["findings"].to_string().contains("the run ended before"), "{command}: {report:#}");
    }
}

fn verify_refuses_a_cluster_that_is_not_there() {
    let world = World::new();
    let _provider = world.provider(world.provider_address, BTreeMap::new());
    let output = world.command("verify", &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    assert!(stderr.contains("scenario.yaml:3:1: there is no EKS cluster \"prod\" in eu-west-1"), "{stderr}");
    assert!(stderr.contains("aws eks list-clusters --region eu-west-1"), "{stderr}");
}

fn doctor_reads_the_configuration_when_something_is_wrong() {
    let world = World::new();
    let mut closed = documents("Successful", true);
    closed.get_mut("eks/describe-cluster.json").unwrap()["cluster"]["status"] = json!("FAILED");
    let provider = world.provider(world.provider_address, closed);
    let asked = |world: &World| world.requests();
    // The API server is not there: doctor asks the provider.
    let (wrong, code) = world.doctor(&[]);
    assert_eq!(code, 1, "{wrong:#}");
    assert!(wrong["findings"].to_string().contains("eks-cluster-not-healthy"), "{wrong:#}");
    assert!(asked(&world) > 10, "the provider was asked {} times", asked(&world));
    drop(provider);
    let _provider = world.provider(world.provider_address, documents("Successful", true));
    world.doctor(&["--no-provider-api"]);
    assert_eq!(asked(&world), 0, "it was told not to ask");
    let _api = world.api_server();
    let (fine, code) = world.doctor(&[]);
    assert_eq!((code, asked(&world)), (0, 0), "nothing is wrong, so nobody is asked: {fine:#}");
}

/// A cluster on loopback, whose provider is on loopback, too.
struct World {
    runtime: Runtime,
    folder: TempDir,
    authority: Arc<LabCa>,
    api_address: SocketAddr,
    provider_address: SocketAddr,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(LabCa::new("the cluster's CA").unwrap());
        let [api_address, provider_address] = free_addresses();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        let scenario = format!(
            "apiVersion: kubereach/v1\nclusters:\n  prod:\n    endpoint: https://{api_address}\n    ca: ./ca.pem\n    \
             eks: {{ name: prod, region: eu-west-1, endpointUrl: http://{provider_address} }}\n\
             vantages:\n  here: {{ local: {{}} }}\ncontrols: []\n\
             propagation: {{ interval: 300ms, consecutive: 2 }}\n\
             expect:\n  - {{ cluster: prod, from: here, reachable: true }}\n"
        );
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{"name": "prod", "cluster": {"server": format!("https://{api_address}"), "certificate-authority": "ca.pem"}}],
            "users": [{"name": "me", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws",
                "args": ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "prod"]}}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}]});
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { runtime: Runtime::new().unwrap(), folder, authority, api_address, provider_address }
    }

    fn api_server(&self) -> Running {
        let certificate = CertificateSpec { addresses: vec![self.api_address.ip()], ..CertificateSpec::default() };
        let authorities = BTreeMap::from([(certificate.authority.clone(), Arc::clone(&self.authority))]);
        let server = ServerSpec::Api(ApiServer::new(vec![self.api_address], certificate));
        self.runtime.block_on(serve(&authorities, &[server])).unwrap()
    }

    fn provider(&self, address: SocketAddr, documents: BTreeMap<String, Value>) -> Running {
        let faults = if documents.is_empty() {
            let fault = |action: &str, status, code: &str| AwsFault {
                action: action.to_owned(),
                times: None,
                status,
                code: code.to_owned(),
                message: "no".to_owned(),
            };
            vec![fault("eks:DescribeCluster", 404, "ResourceNotFoundException")]
        } else {
            Vec::new()
        };
        let api = AwsApi { listen: vec![address], documents, faults, ..AwsApi::default() };
        // One that was there a moment ago may not have let go of the port.
        for _ in 0..50 {
            match self.runtime.block_on(serve(&BTreeMap::new(), &[ServerSpec::Aws(api.clone())])) {
                Ok(running) => return running,
                Err(_) => sleep(Duration::from_millis(50)),
            }
        }
        panic!("{address} stays in use")
    }

    fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        process.arg(command);
        if command == "doctor" {
            process.args(["--kubeconfig", "kubeconfig", "--no-controls"]);
            process.env("AWS_ENDPOINT_URL", format!("http://{}", self.provider_address));
        } else {
            process.arg("scenario.yaml");
        }
        process.args(["-o", "json"]).args(more).current_dir(self.folder.path());
        process
    }

    fn verify(&self, more: &[&str]) -> (Value, i32) {
        let output = self.command("verify", more).output().unwrap();
        (report(&output), output.status.code().unwrap())
    }

    fn doctor(&self, more: &[&str]) -> (Value, i32) {
        let output = self.command("doctor", more).output().unwrap();
        (report(&output), output.status.code().unwrap())
    }

    /// How many calls the provider has had.
    fn requests(&self) -> usize {
        crate::recorded::requests(self.provider_address).len()
    }
}

pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Two ports that nothing listens on at the moment.
pub(crate) fn free_addresses() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap())
}

/// A cluster that lets everybody in by its public endpoint, with its newest update in this state.
fn documents(status: &str, open: bool) -> BTreeMap<String, Value> {
    let cidrs = if open { json!(["0.0.0.0/0"]) } else { json!(["198.51.100.0/24"]) };
    let created = jiff::Timestamp::now().saturating_sub(jiff::SignedDuration::from_hours(1)).unwrap();
    let mut all = crate::documents::region();
    all.retain(|path, _| !path.starts_with("eks/"));
    all.insert(
        "eks/describe-cluster.json".to_owned(),
        json!({"cluster": {"name": "prod", "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod", "status": "ACTIVE",
            "endpoint": "https://x.gr7.eu-west-1.eks.amazonaws.com",
            "resourcesVpcConfig": {"vpcId": "vpc-1", "clusterSecurityGroupId": "sg-cluster",
                "subnetIds": ["subnet-2", "subnet-1"], "endpointPublicAccess": true,
                "endpointPrivateAccess": false, "publicAccessCidrs": cidrs}}}),
    );
    all.insert("eks/list-updates.json".to_owned(), json!({"updateIds": ["u-1"]}));
    all.insert(
        "eks/describe-update-u-1.json".to_owned(),
        json!({"update": {"id": "u-1", "status": status, "type": "EndpointAccessUpdate", "errors": [], "params": [],
            "createdAt": created.to_string()}}),
    );
    all
}
