//! `kubereach doctor`.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use kubereach::demo::servers::{CertificateSpec, DnsAnswer, DnsReply, HttpProxy, ServerSpec};

use crate::house::{HOST, House, Reported, anywhere, closed_port};

fn url(host: &str, address: SocketAddr) -> String {
    format!("https://{host}:{}", address.port())
}

fn system(dns: SocketAddr) -> String {
    format!("system={dns}")
}

#[test]
fn a_healthy_cluster_is_a_match() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    house.kubeconfig("config", &url(HOST, api), "{ token: hunter2 }");
    let found = house.doctor(&["--kubeconfig", "config", "--resolver", &system(dns)]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.vantages(), ["here"]);
    assert_eq!(found.stages("here"), ["connected", "verified", "api-server"]);
    let cell = found.cell("here");
    assert_eq!(cell["cluster"], "prod");
    assert_eq!(cell["endpoint"], url(HOST, api));
    assert_eq!(cell["dns"][0]["server"], dns.to_string());
    assert_eq!(cell["attempts"][0]["http"]["version"], "v1.33.1");
    assert_eq!(cell["attempts"][0]["http"]["authenticated"], false);
    assert_eq!(cell["rounds"], 1);
    assert!(cell.get("connectivity").is_none(), "a healthy run looked further: {cell:#}");
    assert!(found.codes("error").is_empty() && found.codes("warning").is_empty(), "{:#}", found.report["findings"]);
    assert!(!found.ran.stdout.contains("hunter2"));
}

#[test]
fn the_server_can_be_given_instead_of_a_kubeconfig() {
    let mut house = House::new();
    let api = house.api();
    let literal = house.doctor(&["--server", &api.to_string(), "--ca", "ca.pem"]);
    assert_eq!(literal.verdict(), (0, "match"));
    assert_eq!(literal.cell("here")["cluster"], "127.0.0.1");
    assert_eq!(literal.cell("here")["dns"], serde_json::json!([]));
    let dns = house.usual_dns();
    let named = house.doctor(&["--server", &url(HOST, api), "--ca", "ca.pem", "--resolver", &system(dns)]);
    assert_eq!(named.verdict(), (0, "match"));
}

#[test]
fn a_closed_port_is_refused_at_once() {
    let house = House::new();
    let found = house.doctor(&["--server", &closed_port().to_string(), "--ca", "ca.pem"]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.stages("here"), ["refused", "skipped", "skipped"]);
    assert_eq!(found.codes("error")[0], "net-port-closed");
    assert!(found.ran.wall < Duration::from_secs(3), "{:?}", found.ran.wall);
}

#[test]
fn a_name_that_does_not_exist_is_told() {
    let mut house = House::new();
    let dns = house.dns(vec![DnsAnswer { reply: DnsReply::Nxdomain, ..DnsAnswer::default() }]);
    let found = house.doctor(&["--server", &format!("https://{HOST}"), "--ca", "ca.pem", "--resolver", &system(dns)]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.cell("here")["dns"][0]["outcome"], "nxdomain");
    assert_eq!(found.cell("here")["attempts"], serde_json::json!([]));
    assert!(found.codes("error")[0].starts_with("dns-"), "{:?}", found.codes("error"));
}

#[test]
fn another_authority_is_untrusted() {
    let mut house = House::new();
    let api = house.api();
    let found = house.doctor(&["--server", &api.to_string(), "--ca", "other.pem"]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    // The handshake goes on, so that the answer of the untrusted peer is evidence.
    assert_eq!(found.stages("here"), ["connected", "untrusted", "api-server"]);
    assert!(found.codes("error")[0].starts_with("tls-"), "{:?}", found.codes("error"));
    assert_eq!(found.cell("here")["attempts"][0]["tls"]["chain"][0]["issuer"], "CN=kubernetes");
}

#[test]
fn the_name_to_expect_can_be_given() {
    let mut house = House::new();
    let api = house.api_that(|server| {
        server.certificate = CertificateSpec { names: vec!["inner.test".to_owned()], ..CertificateSpec::default() };
    });
    let arguments = ["--server", &api.to_string(), "--ca", "ca.pem"];
    let found = house.doctor(&arguments);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.stages("here")[1], "name-mismatch");
    assert_eq!(found.codes("error")[0], "tls-name-not-in-certificate");
    let good = house.doctor(&[&arguments[..], &["--tls-server-name", "inner.test"]].concat());
    assert_eq!(good.verdict(), (0, "match"));
    assert_eq!(good.cell("here")["attempts"][0]["tls"]["serverName"], "inner.test");
    let bad = house.doctor(&[&arguments[..], &["--tls-server-name", "outer.test"]].concat());
    assert_eq!(bad.stages("here")[1], "name-mismatch");
    // The kubeconfig's own setting does the same.
    let server = format!("{}', tls-server-name: 'inner.test", url("127.0.0.1", api));
    house.kubeconfig("config", &server, "{}");
    assert_eq!(house.doctor(&["--kubeconfig", "config"]).verdict(), (0, "match"));
}

#[test]
fn an_expired_certificate_is_certain() {
    let mut house = House::new();
    let api = house.api_that(|server| {
        (server.certificate.valid_from_hours, server.certificate.valid_until_hours) = (-48, -24);
    });
    let found = house.doctor(&["--server", &api.to_string(), "--ca", "ca.pem"]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.stages("here")[1], "expired");
    let finding = &found.report["findings"][0];
    assert_eq!(
        (finding["code"].as_str(), finding["confidence"].as_str()),
        (Some("tls-certificate-expired"), Some("certain"))
    );
}

#[test]
fn several_kubeconfigs_are_merged() {
    let mut house = House::new();
    let (good, bad) = (house.api(), closed_port());
    house.kubeconfig("one", &url("127.0.0.1", good), "{}");
    house.file(
        "two",
        format!(
            "clusters: [{{ name: prod, cluster: {{ server: '{bad}' }} }}, {{ name: test, cluster: {{ server: 'https://{bad}' }} }}]\n\
             contexts: [{{ name: test, context: {{ cluster: test }} }}, {{ name: again, context: {{ cluster: prod }} }}]\n\
             current-context: test\n"
        ),
    );
    let environment = [("KUBECONFIG", "one:missing:two")];
    let first = house.doctor_with(&[], &environment);
    assert_eq!((first.verdict(), first.cell("here")["cluster"].as_str()), ((0, "match"), Some("prod")));
    // A context of the second file, with the cluster that the first file defined first.
    assert_eq!(house.doctor_with(&["--context", "again"], &environment).verdict(), (0, "match"));
    let test = house.doctor_with(&["--context", "test"], &environment);
    assert_eq!((test.verdict(), test.cell("here")["cluster"].as_str()), ((1, "mismatch"), Some("test")));
    // The other order makes the other context the current one.
    let reversed = house.doctor_with(&[], &[("KUBECONFIG", "two:one")]);
    assert_eq!(reversed.cell("here")["cluster"], "test");
    // And the flag wins over the variable.
    assert_eq!(house.doctor_with(&["--kubeconfig", "one"], &[("KUBECONFIG", "two")]).verdict(), (0, "match"));
}

#[test]
fn without_flag_and_variable_the_home_is_looked_into() {
    let mut house = House::new();
    let api = house.api();
    std::fs::create_dir_all(house.folder().join("home/.kube")).unwrap();
    std::fs::copy(house.folder().join("ca.pem"), house.folder().join("home/.kube/ca.pem")).unwrap();
    house.kubeconfig("home/.kube/config", &url("127.0.0.1", api), "{}");
    assert_eq!(house.doctor(&[]).verdict(), (0, "match"));
}

/// A proxy that knows the cluster's name, and only that.
fn proxy(house: &mut House, differs: impl FnOnce(&mut HttpProxy)) -> SocketAddr {
    let hosts = BTreeMap::from([(HOST.to_owned(), anywhere().ip())]);
    let mut proxy = HttpProxy { listen: vec![anywhere()], hosts, ..HttpProxy::default() };
    differs(&mut proxy);
    house.serve(ServerSpec::HttpProxy(proxy))
}

fn through_proxy(house: &House, api: SocketAddr, dns: SocketAddr, environment: &[(&str, &str)]) -> Reported {
    let arguments = ["--server", &url(HOST, api), "--ca", "ca.pem", "--resolver", &system(dns)];
    house.doctor_with(&arguments, environment)
}

#[test]
fn the_path_of_kubectl_and_the_direct_one_are_both_shown() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let proxy = proxy(&mut house, |proxy| proxy.credentials = Some("me:hunter2".to_owned()));
    let with_password = format!("http://me:hunter2@{proxy}");
    let found = through_proxy(&house, api, dns, &[("HTTPS_PROXY", &with_password)]);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.vantages(), ["here", "here-direct"]);
    let here = found.cell("here");
    assert_eq!(here["proxy"]["url"], format!("http://{proxy}"));
    assert_eq!(here["proxy"]["tunnel"]["outcome"], "established");
    assert_eq!(here["attempts"][0]["address"], serde_json::Value::Null);
    assert_eq!(found.cell("here-direct")["intended"], "unspecified");
    assert_eq!(found.stages("here-direct"), ["connected", "verified", "api-server"]);
    assert!(!format!("{:?}", found.ran).contains("hunter2"));
    // The text form says no more.
    let mut command = house.command(&["doctor", "--no-controls", "-v", "--server", &url(HOST, api), "--ca", "ca.pem"]);
    command.args(["--resolver", &system(dns)]).env("HTTPS_PROXY", &with_password);
    let text = crate::house::Ran::new(&mut command);
    assert_eq!(text.status, Some(0));
    assert!(text.stdout.contains(&format!("http://{proxy}")) && !format!("{text:?}").contains("hunter2"));
}

#[test]
fn a_proxy_that_denies_is_a_mismatch_although_the_direct_path_works() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let proxy = proxy(&mut house, |proxy| proxy.deny = vec![HOST.to_owned()]);
    let found = through_proxy(&house, api, dns, &[("https_proxy", &format!("http://{proxy}"))]);
    assert_eq!(found.verdict(), (1, "mismatch"));
    assert_eq!(found.cell("here")["proxy"]["tunnel"]["outcome"], "denied");
    assert_eq!(found.cell("here-direct")["verdict"], "match");
    assert_eq!(found.codes("error")[0], "client-proxy-not-bypassed");
}

#[test]
fn a_wrong_proxy_password_is_told_from_a_missing_one() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let proxy = proxy(&mut house, |proxy| proxy.credentials = Some("me:hunter2".to_owned()));
    for credentials in ["", "me:wrong-secret@"] {
        let found = through_proxy(&house, api, dns, &[("HTTPS_PROXY", &format!("http://{credentials}{proxy}"))]);
        assert_eq!(found.verdict(), (1, "mismatch"));
        assert_eq!(found.cell("here")["proxy"]["tunnel"]["status"], 407);
        assert!(!format!("{:?}", found.ran).contains("wrong-secret"));
    }
}

#[test]
fn a_bypassed_proxy_is_shown_beside_the_path_that_kubectl_takes() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let proxy = proxy(&mut house, |_| {});
    let environment = [("HTTPS_PROXY", format!("http://{proxy}")), ("NO_PROXY", ".kubereach.test".to_owned())];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let found = through_proxy(&house, api, dns, &environment);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.vantages(), ["here", "here-proxied"]);
    assert!(found.cell("here").get("proxy").is_none());
    assert_eq!(found.cell("here-proxied")["proxy"]["tunnel"]["outcome"], "established");
}

#[test]
fn a_loopback_address_is_never_asked_through_a_proxy() {
    let mut house = House::new();
    let api = house.api();
    let environment = [("HTTPS_PROXY", format!("http://{}", closed_port()))];
    let environment = [(environment[0].0, environment[0].1.as_str())];
    let found = house.doctor_with(&["--server", &api.to_string(), "--ca", "ca.pem"], &environment);
    assert_eq!(found.verdict(), (0, "match"));
    assert_eq!(found.vantages()[0], "here");
    assert!(found.cell("here").get("proxy").is_none());
}

#[test]
fn credentials_are_sent_only_when_asked_and_never_shown() {
    let mut house = House::new();
    let api = house.api();
    let plugin = house.file(
        "plugin",
        "#!/bin/sh\n: > ran\nprintf '%s' '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"hunter2\"}}'\n",
    );
    std::fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let user = "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never } }";
    house.kubeconfig("config", &url("127.0.0.1", api), user);
    let without = house.doctor(&["--kubeconfig", "config"]);
    assert_eq!(without.verdict(), (0, "match"));
    assert_eq!(without.cell("here")["attempts"][0]["http"]["authenticated"], false);
    assert!(!house.folder().join("ran").exists(), "the plugin ran unasked");
    let with = house.doctor(&["--kubeconfig", "config", "--auth"]);
    assert_eq!(with.verdict(), (0, "match"));
    assert_eq!(with.cell("here")["attempts"][0]["http"]["authenticated"], true);
    assert!(house.folder().join("ran").exists());
    assert!(!format!("{:?}", with.ran).contains("hunter2"));
    // Another authority: the token stays here.
    house.file("ca.pem", std::fs::read(house.folder().join("other.pem")).unwrap());
    let untrusted = house.doctor(&["--kubeconfig", "config", "--auth"]);
    assert_eq!(untrusted.stages("here")[1], "untrusted");
    assert_eq!(untrusted.cell("here")["attempts"][0]["http"]["authenticated"], false);
}

#[test]
fn resolvers_stand_side_by_side_and_only_the_system_one_decides() {
    let mut house = House::new();
    let (api, dns) = (house.api(), house.usual_dns());
    let other = house.dns(vec![DnsAnswer::addresses(vec!["127.0.0.9".parse().unwrap()])]);
    let resolvers = [system(dns), format!("vpc={other}")];
    let arguments =
        ["--server", &url(HOST, api), "--ca", "ca.pem", "--resolver", &resolvers[0], "--resolver", &resolvers[1]];
    let found = house.doctor(&arguments);
    assert_eq!(found.verdict(), (0, "match"));
    let cell = found.cell("here");
    let answers: Vec<_> =
        cell["dns"].as_array().unwrap().iter().map(|answer| (&answer["resolver"], &answer["addresses"][0])).collect();
    assert_eq!(answers, [(&"system".into(), &"127.0.0.1".into()), (&"vpc".into(), &"127.0.0.9".into())]);
    let attempts = cell["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[1]["decides"], &attempts[1]["resolvers"]), (&false.into(), &serde_json::json!(["vpc"])));
}
