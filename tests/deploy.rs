//! The files of `deploy/`: they are read as those who run them read them, and hold what keeps an agent or a watch small.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]
#![expect(clippy::print_stderr, reason = "what was not run is named")]

#[path = "deploy/watch.rs"]
mod watch;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser;
use kubereach_agent::AgentArguments;
use serde_json::Value;

#[test]
fn the_unit_is_hardened() {
    let text = read("agent/kubereach-agent.service");
    let unit = Unit::parse(&text);
    is_hardened(&unit, "kubereach-agent");
    for address in ["169.254.169.254", "169.254.170.2", "fd00:ec2::254"] {
        assert!(unit.values("IPAddressDeny")[0].split(' ').any(|denied| denied == address), "{address}");
    }
    // The C library of the static agent binds a UDP socket for each question to DNS: without that, no name resolves.
    assert_eq!(unit.values("SocketBindDeny"), ["tcp"]);
    systemd_agrees("kubereach-agent.service", &text.replace("/usr/local/bin/kubereach-agent", "/bin/true"), 20);
}

/// What every unit of ours has.
fn is_hardened(unit: &Unit, name: &str) {
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectControlGroups", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("StateDirectory", name),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(unit.values(key), [value], "{key}");
    }
    assert_eq!(unit.values("SystemCallFilter"), ["@system-service", "~@privileged @resources"]);
    assert!(unit.values("User").is_empty() && unit.values("ExecStartPre").is_empty());
}

/// systemd's own words on a unit, where it is here; the exposure that it sees is at most `threshold` tenths.
fn systemd_agrees(name: &str, text: &str, threshold: u32) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else {
        eprintln!("NOT RUN: {name}: systemd-analyze is missing");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains(name), "{said}");
    let threshold = format!("--threshold={threshold}");
    let output = Command::new("systemd-analyze").args(["security", "--offline=true", &threshold]).arg(&file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_units_command_is_one_that_the_agent_takes() {
    let unit = Unit::parse(&read("agent/kubereach-agent.service"));
    let [command] = unit.values("ExecStart") else { panic!("one command") };
    takes(&words(command));
}

#[test]
fn the_container_holds_one_file_and_no_root() {
    let text = read("agent/Containerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let of = |instruction: &str| -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' ')).collect()
    };
    assert_eq!(of("FROM"), ["scratch"]);
    assert_eq!(of("USER"), ["65534:65534"]);
    assert_eq!(of("ENTRYPOINT"), [r#"["/kubereach-agent"]"#]);
    let copies = of("COPY");
    assert_eq!(copies.len(), 3);
    // A volume that is mounted at /state for the first time takes over whose it is.
    assert!(copies.contains(&"--chown=65534:65534 root /"), "{copies:?}");
    assert!(read("agent/build").contains("mkdir -p \"$folder/root/state\""));
    assert!(of("RUN").is_empty() && of("EXPOSE").is_empty() && of("ADD").is_empty());
}

#[test]
fn the_manifest_meets_the_restricted_standard() {
    let objects = manifest("agent/kubernetes.yaml");
    let container = meets_the_restricted_standard(&objects);
    let deployment = &objects["Deployment"];
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["spec"]["strategy"]["type"]),
        (&1.into(), &"Recreate".into())
    );
    assert!(container["ports"].is_null());
    let pod = &deployment["spec"]["template"]["spec"];
    let kinds = pod["volumes"].as_array().unwrap().iter().map(|volume| volume.as_object().unwrap());
    for volume in kinds {
        assert!(
            volume.keys().all(|key| ["name", "secret", "persistentVolumeClaim"].contains(&key.as_str())),
            "{volume:?}"
        );
    }
}

/// What every pod of ours keeps to; its one container.
fn meets_the_restricted_standard(objects: &BTreeMap<String, Value>) -> Value {
    // https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    let namespace = &objects["Namespace"];
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(objects["ServiceAccount"]["automountServiceAccountToken"], false);
    let deployment = &objects["Deployment"];
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], objects["ServiceAccount"]["metadata"]["name"]);
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[key].is_null(), "{key}");
    }
    assert_eq!(
        (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]),
        (&true.into(), &65534.into())
    );
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let [container] = pod["containers"].as_array().unwrap().as_slice() else { panic!("one container") };
    let context = &container["securityContext"];
    assert_eq!(
        (&context["allowPrivilegeEscalation"], &context["readOnlyRootFilesystem"]),
        (&false.into(), &true.into())
    );
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert!(context["capabilities"]["add"].is_null());
    assert!(container["resources"]["limits"]["memory"].is_string());
    container.clone()
}

#[test]
fn the_manifests_network_policy_lets_nobody_in_and_keeps_metadata_out() {
    let objects = manifest("agent/kubernetes.yaml");
    let policy = &objects["NetworkPolicy"]["spec"];
    let labels = &objects["Deployment"]["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&policy["podSelector"]["matchLabels"], labels);
    assert_eq!(&objects["Deployment"]["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"], serde_json::json!([]));
    keeps_metadata_out(policy);
}

/// No rule of the policy leads to where clouds tell an instance its credentials.
fn keeps_metadata_out(policy: &Value) {
    let blocks: Vec<&Value> = policy["egress"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["to"].as_array().unwrap())
        .filter_map(|peer| peer.get("ipBlock"))
        .collect();
    let excepted: Vec<&str> =
        blocks.iter().flat_map(|block| block["except"].as_array().unwrap()).filter_map(Value::as_str).collect();
    assert_eq!(blocks.len(), 2);
    for range in ["169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "fe80::/10", "fd00:ec2::/32"] {
        assert!(excepted.contains(&range), "{range}");
    }
}

#[test]
fn the_manifests_command_is_one_that_the_agent_takes() {
    let objects = manifest("agent/kubernetes.yaml");
    let container = &objects["Deployment"]["spec"]["template"]["spec"]["containers"][0];
    let mut arguments = vec!["kubereach-agent".to_owned()];
    arguments.extend(container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()));
    takes(&arguments);
}

/// Reads a command line as the agent does, with something in place of what its surroundings fill in.
fn takes(words: &[String]) {
    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: AgentArguments,
    }
    let controller = nkeys::KeyPair::new_user().public_key();
    let filled = |word: &String| {
        let mut word = word.clone();
        for (name, value) in [
            ("${KUBEREACH_AGENT_NATS}", "tls://nats.example.com:4222"),
            ("${KUBEREACH_AGENT_NAME}", "bastion"),
            ("${KUBEREACH_AGENT_CONTROLLER_KEY}", &controller),
            ("$(CONTROLLER_KEY)", &controller),
            ("${CREDENTIALS_DIRECTORY}", "/run/credentials/kubereach-agent.service"),
            ("${STATE_DIRECTORY}", "/var/lib/kubereach-agent"),
        ] {
            word = word.replace(name, value);
        }
        assert!(!word.contains('$'), "{word}");
        word
    };
    let program = Program::try_parse_from(words.iter().map(filled)).unwrap_or_else(|error| panic!("{error}"));
    assert!(!program.arguments.stdio && !program.arguments.once);
}

/// Objects of a manifest by kind.
fn manifest(name: &str) -> BTreeMap<String, Value> {
    let text = read(name);
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let count = objects.len();
    let by_kind: BTreeMap<String, Value> =
        objects.into_iter().map(|object| (object["kind"].as_str().unwrap().to_owned(), object)).collect();
    assert_eq!(by_kind.len(), count);
    by_kind
}

/// A unit's settings, in order.
struct Unit(Vec<(String, Vec<String>)>);

impl Unit {
    fn parse(text: &str) -> Self {
        let mut settings: Vec<(String, Vec<String>)> = Vec::new();
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| !line.starts_with(['#', '['])) {
            let Some((key, value)) = line.split_once('=') else { continue };
            match settings.iter_mut().find(|(known, _)| known == key) {
                Some((_, values)) => values.push(value.to_owned()),
                None => settings.push((key.to_owned(), vec![value.to_owned()])),
            }
        }
        Self(settings)
    }

    fn values(&self, key: &str) -> &[String] {
        self.0.iter().find(|(known, _)| known == key).map_or(&[], |(_, values)| values)
    }
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
