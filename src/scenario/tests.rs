use std::fmt::Write;

use kubereach_probes::ProxyScheme;
use proptest::prelude::*;

use super::*;
use crate::report::{Intended, Provider, Via};

const HEAD: &str = "apiVersion: kubereach/v1\n";
const CLUSTERS: &str = "clusters: { prod: { endpoint: https://prod.example.com } }\n";
const VANTAGES: &str = "vantages: { here: { local: {} } }\n";
const EXPECT: &str = "expect: [{ cluster: prod, from: here, reachable: true }]\n";

fn read(text: &str) -> Result<Plan, InputErrors> {
    let surroundings = Surroundings {
        environment: &|name| (name == "HOME").then(|| "/home/nobody".to_owned()),
        resolve: &|name| (name == "dns.example.com").then(|| IpAddr::from([192, 0, 2, 53])),
    };
    read::read(text, Path::new("scenario.yaml"), &surroundings)
}

/// The contract's own example, less the files that it names.
const CONTRACT: &str = "
apiVersion: kubereach/v1
clusters:
  prod:
    endpoint: https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com
    eks: { name: prod, region: eu-west-1, profile: ops, endpointUrl: http://127.0.0.1:5000 }
    addresses: [10.20.1.10, 10.20.2.10]
    serverName: null
    facts: ./facts/prod
    intent:
      publicAccess:  { enabled: true, allow: [203.0.113.0/24, 2001:db8::/48] }
      privateAccess: { enabled: true, allow: [10.20.0.0/16] }
  other:
    aks: { subscription: 0000, resourceGroup: rg, name: prod, endpointUrl: http://127.0.0.1:5001 }
resolvers:
  public: [9.9.9.9, 1.1.1.1]
  vpc: [169.254.169.253]
  named: [dns.example.com:5353]
vantages:
  laptop:  { local: {} }
  wifi:    { local: { sourceIp: 192.0.2.7 } }
  bastion: { ssh: { host: ops@bastion.example.com } }
  proxy:   { proxy: { url: http://proxy.example.com:3128 } }
  node:    { ssm: { instance: i-0123456789abcdef0, region: eu-west-1 } }
  remote:  { agent: { name: eu-west-1a } }
  ci:      { model: { ip: 198.51.100.7 } }
  nodes:   { model: { instance: i-0123456789abcdef0 } }
expect:
  - { cluster: prod, from: [laptop, ci], reachable: true,  via: public }
  - { cluster: prod, from: bastion,      reachable: true,  via: private }
  - { cluster: prod, from: wifi,         reachable: false }
propagation: { window: 2m, interval: 5s, consecutive: 3 }
";

#[test]
fn the_contract_is_read_whole() {
    let plan = read(CONTRACT).unwrap_or_else(|errors| panic!("{errors}"));
    let prod = &plan.clusters[0];
    assert_eq!(prod.endpoint.as_ref().unwrap().host, "0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com");
    assert_eq!((prod.provider, plan.clusters[1].provider), (Provider::Eks, Provider::Aks));
    assert_eq!(prod.facts.as_deref(), Some(Path::new("./facts/prod")));
    assert_eq!(prod.addresses.len(), 2);
    assert_eq!(prod.line, 4);
    assert_eq!(prod.intent.as_ref().unwrap().private_access.as_ref().unwrap().line, 12);
    assert!(plan.clusters[1].endpoint.is_none());
    assert_eq!(plan.resolvers[0].servers[1].to_string(), "1.1.1.1:53");
    assert_eq!(plan.resolvers[2].servers[0].to_string(), "192.0.2.53:5353");
    let kinds: Vec<&str> = plan.vantages.iter().map(|vantage| vantage.kind.label()).collect();
    assert_eq!(kinds, ["local", "local", "ssh", "proxy", "ssm", "agent", "model", "model"]);
    let VantageKind::Proxy(proxy) = &plan.vantages[3].kind else { panic!() };
    assert_eq!((proxy.scheme, proxy.port), (ProxyScheme::Http, 3128));
    assert_eq!(plan.propagation.window, Some(std::time::Duration::from_mins(2)));
    assert_eq!(plan.controls, None);

    let cells: Vec<(&str, Intended, Option<Via>, &str)> = plan
        .cells
        .iter()
        .map(|cell| (plan.vantages[cell.vantage].name.as_str(), cell.intended, cell.via, cell.origin.as_str()))
        .collect();
    assert_eq!(
        cells[..4],
        [
            ("laptop", Intended::Reachable, Some(Via::Public), "expect, line 29"),
            ("ci", Intended::Reachable, Some(Via::Public), "expect, line 29"),
            ("bastion", Intended::Reachable, Some(Via::Private), "expect, line 30"),
            ("wifi", Intended::Unreachable, None, "expect, line 31"),
        ]
    );
    let derived: Vec<&str> = cells[4..].iter().map(|cell| cell.0).collect();
    assert_eq!(derived, ["proxy", "node", "remote", "nodes"]);
    // The model address is outside `allow`, but expected reachable.
    assert_eq!(plan.contradictions.len(), 1);
    let message = &plan.contradictions[0].message;
    assert!(
        message.contains("line 29") && message.contains("line 11") && message.contains("198.51.100.7"),
        "{message}"
    );
}

#[test]
fn shipped_scenarios_are_read_and_fit_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        count += 1;
        // The demo's authority is made by each demo, in a folder of its own.
        let text = std::fs::read_to_string(&path).unwrap().replace("    ca: demo-ca.pem", "");
        let plan = parse(&text, &path).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!plan.cells.is_empty(), "{}", path.display());
        assert!(plan.contradictions.is_empty(), "{}: {:?}", path.display(), plan.contradictions);
        let value = to_json(&text);
        let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
    assert!(count >= 5);
}

/// A scenario as an editor sees it: plain scalars typed by YAML's core schema.
fn to_json(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_schema_and_the_reader_agree_about_shapes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let base = [HEAD, CLUSTERS, VANTAGES, EXPECT].concat();
    let replaced = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        base.replace(from, to)
    };
    let local = "local: {}";
    let endpoint = "endpoint: https://prod.example.com";
    let good = [
        CONTRACT.replace("0000", "\"0000\""),
        base.clone(),
        replaced(local, "local: null"),
        replaced(local, "local: {}, resolvers: { system: [192.0.2.53] }"),
        replaced(local, "proxy: { url: \"socks5h://p:1080\" }"),
        replaced("from: here", "from: [here, here]"),
        format!("{base}controls: []\n"),
        format!("{base}controls: [\"a.example:443\"]\nclasses: {{ private: [192.0.2.0/24], public: [10.0.0.1] }}\n"),
        format!("{base}resolvers: {{ public: 9.9.9.9 }}\n"),
        format!("{base}propagation: {{ window: 1h30m, interval: 500ms }}\n"),
        replaced(endpoint, "endpoint: https://prod.example.com, intent: { publicAccess: { allow: [] } }"),
    ];
    for text in good {
        let parsed = read(&text);
        assert!(parsed.is_ok(), "{text}\n{}", parsed.unwrap_err());
        let wrong: Vec<String> = validator.iter_errors(&to_json(&text)).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{text}\n{wrong:?}");
    }
    let bad = [
        base.replace(HEAD, ""),
        replaced("kubereach/v1", "kubereach/v2"),
        base.replace(CLUSTERS, "clusters: {}\n"),
        base.replace(VANTAGES, "vantages: {}\n"),
        base.replace(VANTAGES, ""),
        replaced(endpoint, "endpoint: http://prod.example.com"),
        replaced(endpoint, "endpoint: https://u:p@prod.example.com"),
        replaced(endpoint, "serverName: x"),
        replaced(endpoint, "endpoint: https://a, kubeconfig: { context: x }"),
        replaced(endpoint, "eks: { name: a }, aks: { subscription: a, resourceGroup: b, name: c }"),
        replaced(endpoint, "eks: { region: a }"),
        replaced(endpoint, "endpoint: https://a, intent: {}"),
        replaced(endpoint, "endpoint: https://a, adresses: []"),
        replaced(endpoint, "endpoint: https://a, addresses: [x]"),
        replaced(local, ""),
        replaced(local, "local: {}, ssh: { host: a }"),
        replaced(local, "kubernetes: {}"),
        replaced(local, "proxy: { url: \"gopher://p\" }"),
        replaced(local, "proxy: { url: \"p:3128\" }"),
        replaced(local, "proxy: {}"),
        replaced(local, "model: {}"),
        replaced(local, "ssh: { host: \"-oProxyCommand=x\" }"),
        replaced(local, "local: { netns: a/b }"),
        replaced("reachable: true", "reachable: maybe"),
        replaced(", reachable: true", ""),
        replaced("from: here", "from: []"),
        replaced("reachable: true", "reachable: true, via: mixed"),
        format!("{base}controls: [a.example]\n"),
        format!("{base}propagation: {{ consecutive: 0 }}\n"),
        format!("{base}propagation: {{ window: 5 }}\n"),
        format!("{base}propagation: {{ window: 3d }}\n"),
        format!("{base}resolvers: {{ public: [] }}\n"),
        format!("{base}classes: {{ private: [x] }}\n"),
        format!("{base}extra: 1\n"),
    ];
    for text in bad {
        assert!(read(&text).is_err(), "the reader takes {text}");
        assert!(!validator.is_valid(&to_json(&text)), "the schema takes {text}");
    }
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&schema()));
}

/// Each file under `tests/input/` once, as a person sees the errors.
#[test]
fn bad_scenarios_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/input");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 8);
    let mut shown = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let errors = read(&text).expect_err("bad input was taken");
        let name = path.file_name().unwrap().to_string_lossy();
        let _ = writeln!(shown, "=== {name}\n{errors}\n");
        assert!(!shown.contains("hunter2"), "a secret is shown:\n{shown}");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn strings_stay_strings() {
    let text = format!(
        "{HEAD}clusters: {{ no: {{ eks: {{ name: 123, region: no }} }} }}\nvantages: {{ 1: {{ local: }} }}\nexpect: [{{ cluster: no, from: 1, reachable: true }}]\n"
    );
    let plan = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.clusters[0].name, "no");
    assert_eq!(plan.vantages[0].name, "1");
    assert!(matches!(&plan.clusters[0].provider_block, Some(ProviderBlock::Eks { name, .. }) if name == "123"));
}

#[test]
fn json_and_a_byte_order_mark_are_read() {
    let text = r#"{"apiVersion": "kubereach/v1", "clusters": {"a": {"endpoint": "https://a.example"}},
        "vantages": {"v": {"local": {}}}, "expect": [{"cluster": "a", "from": ["v"], "reachable": false}]}"#;
    assert_eq!(read(&format!("\u{feff}{text}")).unwrap().cells[0].intended, Intended::Unreachable);
}

#[test]
fn contradictions_keep_what_was_said_first() {
    let text = "apiVersion: kubereach/v1
clusters:
  prod:
    endpoint: https://prod.example.com
    intent:
      publicAccess: { enabled: false }
      privateAccess: { enabled: true, allow: [10.0.0.0/8] }
vantages:
  a: { local: {} }
  b: { model: { ip: 10.0.0.1 } }
  c: { model: { ip: 198.51.100.1 } }
expect:
  - { cluster: prod, from: a, reachable: true }
  - { cluster: prod, from: a, reachable: true, via: private }
  - { cluster: prod, from: a, reachable: false }
  - { cluster: prod, from: a, reachable: true, via: public }
  - { cluster: prod, from: b, reachable: false }
  - { cluster: prod, from: c, reachable: true }
";
    let plan = read(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.cells.len(), 3);
    assert_eq!((plan.cells[0].intended, plan.cells[0].via), (Intended::Reachable, Some(Via::Private)));
    let messages: Vec<&str> = plan.contradictions.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "line 13 expects it reachable via private, line 15 expects it unreachable",
            "line 16 expects it reachable via public, but line 6 says publicAccess is not enabled",
            "line 13 expects it reachable via private, line 16 expects it reachable via public",
            "line 17 expects it unreachable, but intent.privateAccess, line 7 allows 10.0.0.1",
            "line 18 expects it reachable, but intent.publicAccess, line 6 does not allow 198.51.100.1",
        ]
    );
}

#[test]
fn files_are_found_beside_the_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    std::fs::write(folder.path().join("ca.pem"), &ca).unwrap();
    let kube = "apiVersion: v1
clusters: [{ name: k, cluster: { server: 'https://k.example.com:6443', certificate-authority: ca.pem, tls-server-name: inner } }]
contexts: [{ name: x, context: { cluster: k } }]
current-context: x
";
    std::fs::write(folder.path().join("config"), kube).unwrap();
    let text = format!(
        "{HEAD}clusters:\n  a: {{ endpoint: https://a.example, ca: ./ca.pem }}\n  k: {{ kubeconfig: {{ path: config, context: x }} }}\n{VANTAGES}expect: [{{ cluster: a, from: here, reachable: true }}]\n"
    );
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, text).unwrap();
    let plan = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(plan.clusters[0].ca_pem.as_deref().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    assert_eq!(plan.clusters[1].endpoint.as_ref().unwrap().port, 6443);
    assert_eq!(plan.clusters[1].ca_pem, plan.clusters[0].ca_pem);
    assert_eq!(plan.clusters[1].server_name.as_deref(), Some("inner"));

    std::fs::write(folder.path().join("config"), "clusters: [{ name: k }]\n").unwrap();
    let errors = load(&path).unwrap_err();
    assert_eq!(errors.0[0].file.as_deref(), Some(folder.path().join("config").as_path()));
    assert!(errors.0[0].help.as_deref().unwrap().contains("named at line 4"), "{errors}");
}

#[test]
fn many_errors_are_cut_short() {
    let mut text = [HEAD, CLUSTERS, VANTAGES, EXPECT].concat();
    for index in 0..500 {
        let _ = writeln!(text, "unknown{index}: 1");
    }
    let errors = read(&text).unwrap_err();
    assert_eq!(errors.0.len(), 101);
    assert!(errors.to_string().contains("400 more errors"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = read(&text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "[a-c:{}\\[\\],&*!|>'\"#%@~ \n\t-]{0,80}") {
        let _ = read(&text).map_err(|errors| errors.to_string());
    }

    /// A good scenario with a piece exchanged.
    #[test]
    fn no_damage_makes_the_reader_panic(at in 0_usize..1600, length in 0_usize..40, piece in "[ -~\n\u{e4}]{0,12}") {
        let begin = at.min(CONTRACT.len());
        let end = (begin + length).min(CONTRACT.len());
        let text = format!("{}{piece}{}", &CONTRACT[..begin], &CONTRACT[end..]);
        let _ = read(&text).map_err(|errors| errors.to_string());
    }
}

#[test]
fn nobody_is_asked_before_the_file_is_right() {
    // The reserved name would take its time, or even be answered, if it were looked up.
    let wrong = "apiVersion: kubereach/v1\nresolvers: { public: [name.invalid] }\nclusters: { p: { endpoint: 'https://a:0' } }\n\
                 vantages: { v: { local: {} } }\nexpect: [{ cluster: p, from: v, reachable: true }]\n";
    let message = parse(wrong, Path::new("scenario.yaml")).unwrap_err().to_string();
    assert!(message.contains("port 0") && !message.contains("name.invalid` has no address"), "{message}");
}
