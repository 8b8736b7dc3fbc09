//! The keys of remote vantages, read rightly and refused rightly.

use std::path::Path;

use kubereach_probes::EchoScheme;

use super::*;

const KEY: &str = "UD552R5ME77LIBNPUSNQFZ4GP4TS2EZWZRW6X3NSB4BV4LXPMUFVP4UE";

fn read(text: &str) -> Result<Plan, InputErrors> {
    let surroundings = Surroundings { environment: &|_| None, resolve: &|_| None };
    let text = text.replace("KEY", KEY);
    let whole = format!(
        "apiVersion: kubereach/v1\nclusters: {{ prod: {{ endpoint: https://prod.example.com }} }}\n\
         expect: [{{ cluster: prod, from: v, reachable: true }}]\n{text}\n"
    );
    read::read(&whole, Path::new("scenario.yaml"), &surroundings)
}

fn kind(vantage: &str) -> VantageKind {
    read(&format!("vantages: {{ v: {{ {vantage} }} }}")).unwrap_or_else(|errors| panic!("{errors}")).vantages[0]
        .kind
        .clone()
}

#[test]
fn every_kind_is_read_whole() {
    let VantageKind::Ssh(ssh) = kind("ssh: { host: ops@bastion, port: 2222, config: ./ssh_config, agent: /opt/agent }")
    else {
        panic!()
    };
    assert_eq!((ssh.host.as_str(), ssh.port, ssh.agent.as_deref()), ("ops@bastion", Some(2222), Some("/opt/agent")));
    assert_eq!(ssh.config.as_deref(), Some(Path::new("./ssh_config")));
    let digest = "0".repeat(64);
    let VantageKind::Ssm(ssm) = kind(&format!(
        "ssm: {{ instance: i-1, region: eu-west-1, profile: ops, download: {{ url: 'https://h/agent', sha256: '{digest}' }} }}"
    )) else {
        panic!()
    };
    assert_eq!((ssm.instance.as_str(), ssm.download.unwrap().sha256), ("i-1", digest));
    let VantageKind::Kubernetes(pod) = kind(
        "kubernetes: { kubeconfig: { path: k, context: c }, namespace: n, image: 'i:1', nodeSelector: { zone: a } }",
    ) else {
        panic!()
    };
    assert_eq!((pod.context.as_deref(), pod.image.as_str()), (Some("c"), "i:1"));
    assert_eq!(pod.node_selector, [("zone".to_owned(), "a".to_owned())]);
    let VantageKind::Agent(agent) = kind("agent: { name: eu-1, key: KEY }") else { panic!() };
    assert_eq!((agent.name.as_str(), agent.key.as_deref()), ("eu-1", Some(KEY)));
    // The contract's own form: what is missing is said when the agent is needed.
    let VantageKind::Agent(agent) = kind("agent: { name: eu-1 }") else { panic!() };
    assert_eq!(agent.key, None);
}

#[test]
fn a_vantage_without_echo_servers_of_its_own_has_the_scenarios() {
    let plan = read(
        "vantages: { v: { local: {}, egress: { addresses: [203.0.113.0/29] } }, \
         w: { local: {}, egress: { echo: ['http://[2001:db8::1]:8080/ip'] } } }\n\
         egress: { echo: [stun://stun.example, 'stun-tcp://stun.example:99', https://echo.example] }",
    )
    .unwrap();
    let [v, w] = &plan.vantages[..] else { panic!() };
    assert_eq!(v.egress.declared.len(), 1);
    let seen: Vec<_> = v.egress.echo.iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["stun://stun.example:3478", "stun-tcp://stun.example:99", "https://echo.example:443/"]);
    assert_eq!(
        (w.egress.echo[0].scheme, w.egress.echo[0].to_string().as_str()),
        (EchoScheme::Http, "http://[2001:db8::1]:8080/ip")
    );
}

#[test]
fn each_mistake_is_told_with_its_place_and_its_cure() {
    for (text, words) in [
        (
            "vantages: { v: { ssh: { host: -oProxyCommand=id } } }",
            ["cannot be a `host`", "one word that does not begin with `-`"],
        ),
        ("vantages: { v: { ssh: { host: a, agent: '/bin/x; id' } } }", ["cannot be a `agent`", "one word"]),
        (
            "vantages: { v: { ssh: { host: a, agent: '/bin/$(id)' } } }",
            ["cannot be the path of an agent", "absolute path"],
        ),
        ("vantages: { v: { ssh: { host: a, port: 0 } } }", ["is no port", "1 to 65535"]),
        (
            "vantages: { v: { ssm: { instance: i-1, download: { url: 'http://h/a', sha256: 'x' } } } }",
            ["no address to download", "https://"],
        ),
        (
            "vantages: { v: { ssm: { instance: i-1, download: { url: 'https://h/a', sha256: 'x' } } } }",
            ["no SHA-256", "sha256sum"],
        ),
        ("vantages: { v: { kubernetes: { namespace: n } } }", ["`image`", "kubernetes"]),
        ("vantages: { v: { ssh: { host: 'ops@bastion:2222' } } }", ["has a port in it", "write `port: 2222`"]),
        ("vantages: { v: { ssh: { host: '[2001:db8::1]:22' } } }", ["has a port in it", "write `port: 22`"]),
        ("vantages: { v: { ssh: { host: 'a;touch' } } }", ["cannot be a host of OpenSSH", "user@host"]),
        ("vantages: { v: { ssh: { host: '$(id)' } } }", ["cannot be a host of OpenSSH", "user@host"]),
        ("vantages: { v: { ssh: { host: 'ops@-oX=y' } } }", ["cannot be a host of OpenSSH", "user@host"]),
        ("vantages: { v: { ssh: { host: 'ops@' } } }", ["cannot be a host of OpenSSH", "user@host"]),
        ("vantages: { v: { ssh: { host: '[::1]' } } }", ["::1", "without brackets"]),
        ("vantages: { v: { ssh: { host: 'ops@[2001:db8::1]' } } }", ["has brackets", "without brackets"]),
        ("vantages: { v: { ssm: { instance: my-node } } }", ["no id of a managed instance", "i-0123456789abcdef0"]),
        ("vantages: { v: { ssm: { instance: 'i-' } } }", ["no id of a managed instance", "mi-"]),
        ("vantages: { v: { kubernetes: { namespace: Kube_Reach, image: i } } }", ["name of a namespace", "lower-case"]),
        ("vantages: { v: { kubernetes: { namespace: a-, image: i } } }", ["name of a namespace", "1 to 63"]),
        ("vantages: { v: { agent: { name: 'a.b' } } }", ["cannot be the name of an agent", "1 to 64"]),
        ("vantages: { v: { agent: { name: a, key: UABC } } }", ["no public key", "begins with `U`"]),
        ("vantages: { v: { local: {}, egress: { addresses: [203.0.113.1/24] } } }", ["203.0.113.1/24", "host bits"]),
        ("vantages: { v: { local: {} } }\negress: { echo: [ftp://h] }", ["its scheme is not known", "stun://"]),
        (
            "vantages: { v: { local: {} } }\negress: { echo: ['https://u:p@h/'] }",
            ["credentials do not belong here", "write"],
        ),
        ("vantages: { v: { local: {} } }\negress: { addresses: [192.0.2.1] }", ["addresses", "echo"]),
        (
            "vantages: { v: { local: {} } }\nnats: { servers: ['nats://nats.example:4222'], signingKey: k }",
            ["travel by TLS", "tls://host:port"],
        ),
        (
            "vantages: { v: { local: {} } }\nnats: { servers: ['tls://u:p@h:4222'], signingKey: k }",
            ["credentials do not belong here", "tls://"],
        ),
        ("vantages: { v: { local: {} } }\nnats: { servers: ['tls://h'] }", ["`signingKey`", "nats"]),
        (
            "vantages: { v: { local: {} } }\nnats: { servers: ['tls://h'], signingKey: k, key: f }",
            ["go together", "certificate"],
        ),
    ] {
        let errors = read(text).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| errors.contains(word)), "{text}\n{errors}");
        assert!(errors.contains("scenario.yaml:"), "{errors}");
        assert!(!errors.contains("p@h") || !errors.contains("u:p"), "a password: {errors}");
    }
}

#[test]
fn a_mistaken_url_is_never_repeated() {
    for text in [
        "egress: { echo: ['htps://h.example/ip?token=SESAME'] }",
        "egress: { echo: ['https://h.example?token=SESAME'] }",
        "egress: { echo: ['https://SESAME@h.example/'] }",
        "egress: { echo: 'https://h.example/ip?token=SESAME' }",
        "nats: { servers: ['tls://u:SESAME@h:4222'], signingKey: k }",
        "nats: { servers: ['htps://h/SESAME'], signingKey: k }",
        "nats: { servers: 'tls://u:SESAME@h:4222', signingKey: k }",
    ] {
        let errors =
            read(&format!("vantages: {{ v: {{ local: {{}} }} }}\n{text}")).map(|_| ()).unwrap_err().to_string();
        assert!(!errors.contains("SESAME") && errors.contains("scenario.yaml:5:"), "{text}\n{errors}");
        assert!(!errors.contains("this value"), "{errors}");
    }
}

#[test]
fn a_seed_that_is_pasted_anywhere_is_never_shown() {
    const SEED: &str = "SUAGZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    for text in [
        "vantages: { v: { agent: { name: a, key: SEED } } }",
        "vantages: { v: { agent: { name: SEED.x } } }",
        "vantages: { v: { agent: { name: 'a b', key: SEED } } }",
        "vantages: { v: { agent: { nome: SEED } } }",
        "vantages: { v: { ssh: { host: 'SEED:1' } } }",
    ] {
        let errors = read(&text.replace("SEED", SEED)).map(|_| ()).unwrap_err().to_string();
        assert!(!errors.contains(&SEED[..12]), "{text}\n{errors}");
    }
    let errors = read(&format!("vantages: {{ v: {{ agent: {{ name: a, key: {SEED} }} }} }}")).map(|_| ()).unwrap_err();
    assert!(errors.to_string().contains("this is the secret seed; write the public key"), "{errors}");
}

#[test]
fn hosts_without_a_port_and_whole_addresses_are_taken() {
    for host in ["bastion", "ops@bastion", "ops@192.0.2.7", "2001:db8::1", "ops@2001:db8::1", "::1"] {
        let VantageKind::Ssh(ssh) = kind(&format!("ssh: {{ host: '{host}' }}")) else { panic!() };
        assert_eq!(ssh.host, host);
    }
    for instance in ["i-0123456789abcdef0", "mi-0123456789abcdef0"] {
        let VantageKind::Ssm(ssm) = kind(&format!("ssm: {{ instance: {instance} }}")) else { panic!() };
        assert_eq!(ssm.instance, instance);
    }
}
