//! `kubernetes` vantages: the agent in a pod of another cluster.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    cluster::{FakeCluster, TOKEN, Trouble},
    house::{House, Ran, Reported, anywhere},
};

/// A house with an API server to reach, and a cluster with this trouble to reach it from.
fn build(trouble: Trouble) -> (House, FakeCluster) {
    let mut house = House::new();
    let api = house.api();
    let cluster = house.block_on(FakeCluster::start(trouble));
    let user = format!("{{ token: {TOKEN} }}");
    house.kubeconfig("pods.config", &format!("http://{}", cluster.address), &user);
    let dns = house.usual_dns();
    let vantage = "  pod: { kubernetes: { kubeconfig: { path: pods.config }, namespace: probes, image: 'kubereach-agent:1' } }\n\
                   expect: [{ cluster: prod, from: pod, reachable: true }]\n";
    house.scenario(&format!("https://127.0.0.1:{}", api.port()), dns, vantage);
    (house, cluster)
}

#[test]
fn a_pod_probes_and_nothing_stays_behind() {
    let (house, cluster) = build(Trouble::None);
    let found = house.verify(&["-v"]);
    assert_eq!(found.verdict(), (0, "match"), "{:#}", found.report);
    assert_eq!(found.stages("pod"), ["connected", "verified", "api-server"]);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    let asked: Vec<String> = cluster.asked().into_iter().filter(|one| !one.starts_with("MANIFEST")).collect();
    // What docs/vantages-kubernetes.md asks the administrator for, and nothing more.
    assert_eq!(asked, ["create jobs", "list pods", "get jobs", "get pods/log", "delete jobs"]);
    for text in [&found.ran.stdout, &found.ran.stderr] {
        assert!(!text.contains(TOKEN));
    }
}

#[test]
fn the_pod_may_do_as_little_as_can_be() {
    let (house, cluster) = build(Trouble::None);
    house.verify(&[]);
    let manifests = cluster.manifests();
    let spec = &manifests[0]["spec"];
    assert!(spec["activeDeadlineSeconds"].as_u64().is_some_and(|seconds| (30..600).contains(&seconds)), "{spec:#}");
    assert_eq!((&spec["ttlSecondsAfterFinished"], &spec["backoffLimit"]), (&60.into(), &0.into()));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    assert!(!manifests[0].to_string().contains(TOKEN));
}

#[test]
fn each_trouble_of_a_cluster_is_told_and_blames_no_target() {
    for (trouble, words) in [
        (Trouble::Forbidden("create jobs"), "the role needs to create jobs"),
        (Trouble::Forbidden("list pods"), "the role needs to list pods"),
        (Trouble::Forbidden("get pods/log"), "the role needs to get pods/log"),
        (Trouble::NoImage, "ErrImagePull: not found"),
        (Trouble::Older, "is older: it speaks version 0"),
        (Trouble::NoAgent, "its last line is \"hello from nginx\""),
    ] {
        let (house, cluster) = build(trouble);
        let found = house.verify(&[]);
        assert_eq!(found.verdict(), (3, "inconclusive"), "{trouble:?}");
        assert_eq!(found.codes("error"), ["inconclusive-vantage-unavailable"], "{trouble:?}");
        assert!(found.ran.stdout.contains(&words.replace('"', "\\\"")), "{trouble:?}: {}", found.ran.stdout);
        assert_eq!(cluster.jobs(), Vec::<String>::new(), "{trouble:?}");
    }
}

#[test]
fn a_pod_that_never_comes_is_given_up_when_the_run_ends() {
    for trouble in [Trouble::NoPod, Trouble::Endless] {
        let (house, cluster) = build(trouble);
        let found = house.verify(&["--timeout", "2s"]);
        assert_eq!(found.verdict(), (3, "inconclusive"), "{trouble:?}");
        assert!(found.ran.wall < Duration::from_secs(6), "{:?}", found.ran.wall);
        assert_eq!(cluster.jobs(), Vec::<String>::new(), "{trouble:?}");
    }
}

#[test]
fn an_interrupt_takes_the_pod_along() {
    let (house, cluster) = build(Trouble::Endless);
    let started = Instant::now();
    let child = house.command(&["verify", "scenario.yaml", "-o", "json"]).spawn().unwrap();
    while cluster.jobs().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10), "no job was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let found = Reported::read(Ran::from_output(child.wait_with_output().unwrap(), started));
    assert_eq!(found.verdict(), (3, "inconclusive"));
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_deleted_is_named() {
    let (house, cluster) = build(Trouble::Forbidden("delete jobs"));
    let found = house.verify(&[]);
    assert_eq!(found.verdict(), (0, "match"));
    let left = &cluster.jobs()[0];
    let command = format!("kubectl delete job --namespace probes {left}");
    assert!(found.ran.stderr.contains(&command), "{}", found.ran.stderr);
}

#[test]
fn a_cluster_that_is_not_there_or_takes_nobody_is_told() {
    let (house, cluster) = build(Trouble::None);
    let closed = crate::house::closed_port();
    for (server, user, words) in [
        (format!("http://{closed}"), "{ token: t }", "create jobs in namespace probes"),
        (format!("http://{}", anywhere()), "{ token: t }", "create jobs in namespace probes"),
        (format!("http://{}", cluster.address), "{ token: wrong }", "credentials of the kubeconfig are not accepted"),
    ] {
        house.kubeconfig("pods.config", &server, user);
        let found = house.verify(&[]);
        assert_eq!(found.verdict(), (3, "inconclusive"), "{server}");
        assert!(found.ran.stdout.contains(words), "{server}: {}", found.ran.stdout);
    }
    house.file("pods.config", "no: kubeconfig\n");
    assert_eq!(house.verify(&[]).verdict(), (3, "inconclusive"));
}

#[test]
fn no_secret_of_a_kubeconfig_is_in_what_is_said_of_it() {
    let (house, cluster) = build(Trouble::None);
    let server = format!("http://{}", cluster.address);
    let plugin = house.file("plugin", "#!/bin/sh\necho sesame-out; echo sesame-err >&2; exit $1\n");
    Command::new("chmod").arg("755").arg(&plugin).status().unwrap();
    let exec = |status: &str| {
        format!(
            "{{ exec: {{ apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: {}, args: ['{status}', sesame-arg] }} }}",
            plugin.display()
        )
    };
    for user in [
        "sesame-user".to_owned(),
        "{ token: [sesame-token] }".to_owned(),
        "{ token: sesame-token, nobody: [".to_owned(),
        exec("0"),
        exec("1"),
    ] {
        house.kubeconfig("pods.config", &server, &user);
        told_without_secrets(&house, &user);
    }
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: c\n  cluster: {{ server: '{server}', proxy-url: \
         'http://u:sesame-proxy@127.0.0.1:9' }}\ncontexts:\n- name: a\n  context: {{ cluster: c, user: u }}\nusers:\n- name: u\n  user: \
         {{ token: sesame-token }}\n"
    );
    house.file("pods.config", &text);
    told_without_secrets(&house, "proxy-url");
}

fn told_without_secrets(house: &House, what: &str) {
    let found = house.verify(&["-v"]);
    assert_eq!(found.verdict(), (3, "inconclusive"), "{what}");
    for text in [&found.ran.stdout, &found.ran.stderr] {
        assert!(!text.contains("sesame"), "{what}: {text}");
    }
    assert!(found.ran.stdout.contains("kubeconfig"), "{what}: {}", found.ran.stdout);
}
