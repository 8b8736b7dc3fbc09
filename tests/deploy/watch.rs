//! The files of `deploy/watch/`.

use std::{collections::BTreeMap, fs};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    serde::{Serialize, de::DeserializeOwned},
};
use kubereach::watch::config::{self, Storage};
use serde_json::{Value, json};

use super::{
    Unit, is_hardened, keeps_metadata_out, manifest, meets_the_restricted_standard, read, systemd_agrees, words,
};

const MANIFESTS: [&str; 2] = ["watch/kubernetes.yaml", "watch/kubernetes-postgres.yaml"];

#[test]
fn the_unit_is_hardened_and_reloads() {
    let text = read("watch/kubereach-watch.service");
    let unit = Unit::parse(&text);
    is_hardened(&unit, "kubereach-watch");
    let [command] = unit.values("ExecStart") else { panic!("one command") };
    assert_eq!(words(command), ["/usr/local/bin/kubereach", "watch", "/etc/kubereach/watch.yaml"]);
    assert_eq!(unit.values("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    // What the next start may mend (1) is tried again, and a wrong configuration (2) is not.
    assert_eq!(
        (unit.values("Restart"), unit.values("RestartPreventExitStatus")),
        (&["on-failure".to_owned()][..], &["2".to_owned()][..])
    );
    assert_eq!(unit.values("StartLimitIntervalSec"), ["0"]);
    // History is kept in the folder that systemd makes: `ProtectSystem` allows no other.
    assert_eq!(unit.values("WorkingDirectory"), ["/var/lib/kubereach-watch"]);
    systemd_agrees("kubereach-watch.service", &text.replace("/usr/local/bin/kubereach", "/bin/true"), 22);
}

#[test]
fn the_container_has_no_root() {
    let text = read("watch/Containerfile");
    let text = text.replace("\\\n", " ");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let of = |instruction: &str| -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' ')).collect()
    };
    assert_eq!(of("USER"), ["65534:65534"]);
    assert_eq!(of("ENTRYPOINT"), [r#"["/usr/local/bin/kubereach"]"#]);
    assert_eq!(of("CMD"), [r#"["watch", "/config/watch.yaml"]"#]);
    // What the program needs of a system: authorities, time zones, and the client of `ssh` vantages.
    for package in ["ca-certificates", "openssh-client", "tzdata"] {
        assert!(of("RUN")[0].split_whitespace().any(|word| word == package), "{package}");
    }
    assert!(of("COPY").contains(&"--chown=65534:65534 root /"));
    assert!(of("EXPOSE").is_empty() && of("ADD").is_empty());
}

#[test]
fn the_manifests_have_no_field_that_kubernetes_does_not_know() {
    for name in MANIFESTS {
        for (kind, object) in manifest(name) {
            let known = match kind.as_str() {
                "Namespace" => known::<Namespace>(&object),
                "ServiceAccount" => known::<ServiceAccount>(&object),
                "ConfigMap" => known::<ConfigMap>(&object),
                "PersistentVolumeClaim" => known::<PersistentVolumeClaim>(&object),
                "Deployment" => known::<Deployment>(&object),
                "Service" => known::<Service>(&object),
                "NetworkPolicy" => known::<NetworkPolicy>(&object),
                "PodDisruptionBudget" => known::<PodDisruptionBudget>(&object),
                other => panic!("{name}: {other}"),
            };
            assert_eq!(known, object, "{name}: {kind}");
            assert!(kind == "Namespace" || object["metadata"]["namespace"] == "kubereach", "{name}: {kind}");
        }
    }
    // The check can fail.
    let mut object = manifest(MANIFESTS[0])["Deployment"].clone();
    object["spec"]["template"]["spec"]["securityContex"] = json!({});
    assert_ne!(known::<Deployment>(&object), object);
}

/// What is left of an object when it has been read by its type.
fn known<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    let mut value = serde_json::to_value(&typed).unwrap();
    drop_defaults(&mut value, object);
    value
}

/// Fields that the type writes although nobody gave them.
fn drop_defaults(value: &mut Value, given: &Value) {
    match (value, given) {
        (Value::Object(map), Value::Object(given)) => {
            map.retain(|key, _| given.contains_key(key));
            map.iter_mut().for_each(|(key, value)| drop_defaults(value, &given[key.as_str()]));
        }
        (Value::Array(items), Value::Array(given)) => {
            items.iter_mut().zip(given).for_each(|(item, given)| drop_defaults(item, given));
        }
        _ => {}
    }
}

#[test]
fn the_manifests_meet_the_restricted_standard() {
    for name in MANIFESTS {
        let objects = manifest(name);
        let container = meets_the_restricted_standard(&objects);
        let deployment = &objects["Deployment"]["spec"];
        let pod = &deployment["template"]["spec"];
        let volumes: Vec<&str> = pod["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|volume| volume.as_object().unwrap().keys().map(String::as_str))
            .filter(|key| *key != "name")
            .collect();
        let (replicas, state) = match name {
            "watch/kubernetes.yaml" => (1, "persistentVolumeClaim"),
            _ => (3, "emptyDir"),
        };
        assert_eq!(volumes, ["configMap", "secret", state], "{name}");
        assert_eq!(deployment["replicas"], replicas, "{name}");
        // Two processes never write one SQLite file, not even while one follows the other.
        assert_eq!(deployment["strategy"]["type"] == "Recreate", replicas == 1, "{name}");
        // The one path that is answered without a token.
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz", "{name}");
        // Secrets come from the secret, and stand in no other object.
        for variable in container["env"].as_array().into_iter().flatten() {
            assert!(variable["value"].is_null() && variable["valueFrom"]["secretKeyRef"].is_object(), "{variable}");
        }
    }
}

#[test]
fn the_manifests_parts_fit_each_other() {
    for name in MANIFESTS {
        let objects = manifest(name);
        let deployment = &objects["Deployment"]["spec"];
        let labels = &deployment["template"]["metadata"]["labels"];
        let policy = &objects["NetworkPolicy"]["spec"];
        assert_eq!(&deployment["selector"]["matchLabels"], labels);
        assert_eq!(&objects["Service"]["spec"]["selector"], labels);
        assert_eq!(&policy["podSelector"]["matchLabels"], labels);
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        keeps_metadata_out(policy);
        let port = &deployment["template"]["spec"]["containers"][0]["ports"][0];
        assert_eq!(objects["Service"]["spec"]["ports"][0]["targetPort"], port["name"]);
        assert_eq!(policy["ingress"][0]["ports"][0]["port"], port["containerPort"]);
        // Nobody comes in from anywhere.
        assert!(policy["ingress"].as_array().unwrap().iter().all(|rule| rule["from"].is_array()));
        if let Some(budget) = objects.get("PodDisruptionBudget") {
            assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
        }
    }
}

/// What is needed for credentials stands there as comments; without their marks they are read like the rest.
#[test]
fn the_manifests_comments_fit() {
    for name in MANIFESTS {
        let text = read(name);
        for (annotation, uncommented) in [
            ("eks.amazonaws.com/role-arn", "  # annotations: { eks"),
            ("azure.workload.identity/client-id", "  # annotations: { azure"),
        ] {
            let text = text.replace(uncommented, &uncommented.replace("# ", ""));
            let account = object(&text, "ServiceAccount");
            assert_eq!(known::<ServiceAccount>(&account), account);
            assert!(account["metadata"]["annotations"][annotation].is_string(), "{name}: {annotation}");
        }
        let label = "      # For workload identity: labels: {";
        assert!(text.contains(label), "{name}");
        let with_label =
            text.replace(label, "      labels: {").replace("}\n      labels: *labels\n    spec", "}\n    spec");
        let deployment = object(&with_label, "Deployment");
        let (selected, labels) =
            (&deployment["spec"]["selector"]["matchLabels"], &deployment["spec"]["template"]["metadata"]["labels"]);
        assert_eq!(labels["azure.workload.identity/use"], "true", "{name}");
        assert!(selected.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value), "{name}");
        let begin = text.find("    # - to:").unwrap();
        let end = begin + text[begin..].find("    # The API servers").unwrap();
        let opened = format!("{}{}{}", &text[..begin], text[begin..end].replace("    # ", "    "), &text[end..]);
        let policy = object(&opened, "NetworkPolicy");
        assert_eq!(known::<NetworkPolicy>(&policy), policy);
        let agent = json!({ "to": [{ "ipBlock": { "cidr": "169.254.170.23/32" } }, { "ipBlock": { "cidr": "fd00:ec2::23/128" } }],
            "ports": [{ "protocol": "TCP", "port": 80 }] });
        assert!(policy["spec"]["egress"].as_array().unwrap().contains(&agent), "{name}");
    }
}

/// One object of a manifest's text.
fn object(text: &str, kind: &str) -> Value {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    objects.into_iter().find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn the_manifests_configuration_is_one_that_the_watch_takes() {
    for name in MANIFESTS {
        let objects = manifest(name);
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let files: BTreeMap<String, String> = serde_json::from_value(objects["ConfigMap"]["data"].clone()).unwrap();
        for (file, text) in files {
            // What mounts and the environment bring, in one folder.
            let text = text
                .replace("/secrets/", &format!("{here}/"))
                .replace("/state/", &format!("{here}/"))
                .replace("urlEnv: KUBEREACH_POSTGRES", &format!("urlFile: {here}/url"));
            fs::write(folder.path().join(file), text).unwrap();
        }
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        for (file, text) in [
            ("token", "0123456789abcdef0123456789abcdef"),
            ("url", "postgres://u@db/kubereach"),
            ("postgres-ca.pem", &ca),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let config =
            config::load(&folder.path().join("watch.yaml")).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let web = config.web.as_ref().unwrap();
        let port = &objects["Service"]["spec"]["ports"][0]["port"];
        assert_eq!(port, web.listen.port());
        assert!(web.token.is_some());
        let several = objects["Deployment"]["spec"]["replicas"] != 1;
        assert_eq!(matches!(config.storage, Storage::Postgres { .. }), several, "{name}");
    }
}
