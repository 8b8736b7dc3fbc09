//! Pulls from kubereach's own Azure Resource Manager: what goes wrong, how fast it is, what it asks, whose token it shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kubereach::{
    demo::servers::{ArmApi, ArmConduct, ArmFault, ArmIdentity, ArmLater, Running, ServerSpec, serve},
    facts::{
        arm::{Action, AksRequest, Credential, PullError, pull, pull_cluster},
        write::{Pulled, write},
    },
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    arm_documents::{HUB, NODES, OWN, expected, id, subscription},
    moto::files,
    recorded::{Test, answerer, assert_at_the_same_time, assert_holds, requests, told},
    same::differences,
};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("azure_every_body_arrives_whole", every_body_arrives_whole),
    ("azure_pages_make_the_same_documents", pages_make_the_same_documents),
    ("azure_two_pulls_give_the_same_bytes", two_pulls_give_the_same_bytes),
    ("azure_a_denied_action_leaves_only_its_own_file_out", a_denied_action_leaves_only_its_own_file_out),
    ("azure_a_denied_resource_leaves_only_itself_out", a_denied_resource_leaves_only_itself_out),
    ("azure_readers_of_groups_get_what_is_there", readers_of_groups_get_what_is_there),
    ("azure_an_action_that_fails_leaves_only_its_own_file_out", an_action_that_fails_leaves_only_its_own_file_out),
    ("azure_throttling_is_waited_out", throttling_is_waited_out),
    ("azure_what_ends_a_pull_is_told_clearly", what_ends_a_pull_is_told_clearly),
    ("azure_what_is_no_resource_manager_ends_a_pull", what_is_no_resource_manager_ends_a_pull),
    ("azure_an_endless_answer_ends", an_endless_answer_ends),
    ("azure_a_token_goes_to_one_host_only", a_token_goes_to_one_host_only),
    ("azure_no_token_is_repeated", no_token_is_repeated),
    ("azure_tokens_are_renewed", tokens_are_renewed),
    ("azure_every_credential_is_found", every_credential_is_found),
    ("azure_clusters_are_found", clusters_are_found),
    ("azure_effective_routes_are_asked_for_when_told", effective_routes_are_asked_for_when_told),
    ("azure_of_a_kubeconfig_only_the_authority_is_kept", of_a_kubeconfig_only_the_authority_is_kept),
    ("azure_a_change_is_followed", a_change_is_followed),
    ("azure_nothing_but_the_role_is_asked", nothing_but_the_role_is_asked),
    ("azure_calls_run_at_the_same_time", calls_run_at_the_same_time),
    ("azure_the_command_writes_and_tells", the_command_writes_and_tells),
    ("azure_a_silent_provider_can_be_interrupted", a_silent_provider_can_be_interrupted),
];

/// The identity endpoint that the environment of this process names. It gives [`TOKEN`].
pub(crate) fn identity() -> (Runtime, Running) {
    let endpoint = std::env::var("IDENTITY_ENDPOINT").unwrap();
    let address = endpoint.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let header = std::env::var("IDENTITY_HEADER").unwrap();
    let runtime = Runtime::new().unwrap();
    let identity = Some(ArmIdentity { header, seconds: 3_600 });
    let api = ArmApi { listen: vec![address], token: Some(TOKEN.to_owned()), identity, ..ArmApi::default() };
    let running = runtime.block_on(serve(&BTreeMap::new(), &[ServerSpec::Arm(api)])).unwrap();
    (runtime, running)
}

fn every_body_arrives_whole() {
    let house = House::new(ArmApi::default());
    let pulled = house.pull().unwrap();
    assert_same(&pulled);
    let manifest = &pulled.manifest;
    assert_eq!((manifest.account.as_deref(), manifest.region.as_deref()), (Some(OWN), Some("westeurope")));
    assert_eq!((manifest.provider.as_deref(), manifest.cluster.as_deref()), (Some("aks"), Some("prod")));
    assert!(manifest.denied.is_empty() && manifest.failed.is_empty(), "{manifest:?}");
    let text: String = pulled.documents.values().map(ToString::to_string).collect();
    assert!(!text.contains("hunter2") && !text.contains("jane@"), "a secret got through");
    let show = &pulled.documents["aks/show.json"]["properties"];
    assert_eq!(show["httpProxyConfig"]["httpProxy"], "http://proxy.example.com:3128/");
    // All of it is read again.
    let bytes = pulled.documents.iter().map(|(path, document)| (path.into(), document.to_string().into_bytes()));
    let facts = kubereach::facts::from_documents(Path::new("facts"), bytes).unwrap();
    assert!(facts.unrecognised.is_empty(), "{:?}", facts.unrecognised);
    assert_eq!(facts.managed_cluster.unwrap().name, "prod");
    // The order of ranges and of name servers is the provider's.
    assert_eq!(show["apiServerAccessProfile"]["authorizedIPRanges"][1], "AzureCloud.westeurope");
    let networks = pulled.documents["network/virtual-networks.json"]["value"].as_array().unwrap();
    let spoke = networks.iter().find(|network| network["name"] == "vnet-spoke").unwrap();
    assert_eq!(spoke["properties"]["dhcpOptions"]["dnsServers"], json!(["10.0.0.9", "10.0.0.1"]));
}

fn pages_make_the_same_documents() {
    for page_size in [1, 2] {
        let house = House::new(ArmApi { page_size: Some(page_size), ..ArmApi::default() });
        let pulled = house.pull().unwrap();
        assert_same(&pulled);
        let lists = format!("/subscriptions/{OWN}/providers/Microsoft.Network/virtualNetworks");
        let pages = house.requests().iter().filter(|asked| asked["path"] == lists.as_str()).count();
        assert_eq!(pages, 2_usize.div_ceil(page_size));
        let text: String = pulled.documents.values().map(ToString::to_string).collect();
        assert!(!text.contains("nextLink") && !text.contains("skiptoken"), "a link was kept");
    }
}

fn two_pulls_give_the_same_bytes() {
    let house = House::new(ArmApi { unordered: true, ..ArmApi::default() });
    let home = tempfile::tempdir().unwrap();
    write(&house.pull().unwrap(), home.path()).unwrap();
    let first = files(home.path());
    std::thread::sleep(Duration::from_millis(1_100));
    let again = write(&house.pull().unwrap(), home.path()).unwrap();
    assert_eq!((again.changed, again.removed), (0, 0));
    assert_eq!(files(home.path()), first);
}

fn a_denied_action_leaves_only_its_own_file_out() {
    let words = "The client 'x' with object id 'y' does not have authorization to perform action 'z'.";
    let deny = |action: &str| ArmFault { action: action.to_owned(), ..fault(403, "AuthorizationFailed", words) };
    let faults = vec![
        deny("Microsoft.Network/routeTables/read"),
        deny("Microsoft.Network/privateDnsZones/ALL/read"),
        deny("Microsoft.Insights/*"),
    ];
    let pulled = House::new(ArmApi { faults, ..ArmApi::default() }).pull().unwrap();
    let denied: Vec<(&str, &str)> =
        pulled.manifest.denied.iter().map(|denied| (denied.action.as_str(), denied.message.as_str())).collect();
    let words = format!("AuthorizationFailed: {words}");
    assert_eq!(
        denied,
        [
            ("Microsoft.Insights/eventtypes/values/read", words.as_str()),
            ("Microsoft.Network/privateDnsZones/ALL/read", words.as_str()),
            ("Microsoft.Network/routeTables/read", words.as_str()),
        ]
    );
    assert!(pulled.manifest.failed.is_empty(), "{:?}", pulled.manifest);
    let mut left: BTreeSet<String> = expected().into_keys().collect();
    for path in ["network/route-tables.json", "network/private-dns-records.json", "aks/activity-log.json"] {
        assert!(left.remove(path));
    }
    assert_eq!(pulled.documents.keys().cloned().collect::<BTreeSet<_>>(), left);
    // Without the cluster the rest is still worth something.
    let faults = vec![deny("Microsoft.ContainerService/managedClusters/read")];
    let pulled = House::new(ArmApi { faults, ..ArmApi::default() }).pull().unwrap();
    assert!(!pulled.documents.contains_key("aks/show.json"));
    assert!(pulled.documents.contains_key("network/virtual-networks.json"));
}

fn a_denied_resource_leaves_only_itself_out() {
    let deny = ArmFault { resource: "/vnet-hub".to_owned(), ..fault(403, "AuthorizationFailed", "no") };
    let gone =
        ArmFault { resource: "/pip-out".to_owned(), ..fault(404, "ResourceNotFound", "The Resource was not found.") };
    let pulled = House::new(ArmApi { faults: vec![deny, gone], ..ArmApi::default() }).pull().unwrap();
    let names = |path: &str| -> Vec<String> {
        let items = pulled.documents[path]["value"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("network/virtual-networks.json"), ["vnet-other", "vnet-spoke", "vnet-dns"]);
    assert_eq!(names("network/public-ip-addresses.json"), ["managed"]);
    // Nothing leads to the gateway any more, and that there is none is not known either way.
    assert_eq!(pulled.documents["network/virtual-network-gateways.json"], json!({"value": []}));
    let denied = &pulled.manifest.denied;
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(
        (denied[0].action.as_str(), denied[0].message.as_str()),
        ("Microsoft.Network/virtualNetworks/read", "AuthorizationFailed: no")
    );
    let failed = &pulled.manifest.failed;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].message, "ResourceNotFound: The Resource was not found.");
}

/// The role is assigned on the groups, not on the subscription.
fn readers_of_groups_get_what_is_there() {
    let deny =
        ArmFault { resource: format!("/{OWN}/providers/"), ..fault(403, "AuthorizationFailed", "over scope '/s'") };
    let pulled = House::new(ArmApi { faults: vec![deny], ..ArmApi::default() }).pull().unwrap();
    let lists = BTreeMap::from([
        ("vnet-spoke", "virtual-networks"),
        ("nsg-nodes", "network-security-groups"),
        ("kube-apiserver", "private-endpoints"),
        ("kubernetes", "load-balancers"),
        ("fw", "azure-firewalls"),
    ]);
    for (name, stem) in lists {
        // A list would say that there are no others.
        assert!(!pulled.documents.contains_key(&format!("network/{stem}.json")), "{stem}");
        let one = pulled.documents.get(&format!("network/{stem}-{name}.json"));
        assert_eq!(one.unwrap_or_else(|| panic!("{stem}-{name} is missing"))["name"], name);
    }
    assert!(pulled.documents.contains_key("network/virtual-networks-vnet-hub.json"), "its peer");
    // Links, records and the nodes' interfaces are lists of what was asked about.
    let links = &pulled.documents["network/private-dns-zone-links.json"]["value"];
    assert_eq!(links.as_array().unwrap().len(), 2, "{links}");
    let interfaces = &pulled.documents["network/network-interfaces.json"]["value"];
    assert!(interfaces.as_array().unwrap().len() >= 2, "{interfaces}");
    assert!(pulled.manifest.denied.iter().any(|denied| denied.action == "Microsoft.Network/virtualNetworks/read"));
    assert!(pulled.manifest.failed.is_empty(), "{:?}", pulled.manifest);
}

fn an_action_that_fails_leaves_only_its_own_file_out() {
    let fails = |action: &str, status, code: &str| ArmFault {
        action: action.to_owned(),
        ..fault(status, code, "The subscription is not registered\r\nfor it")
    };
    let faults = vec![
        fails("Microsoft.Network/azureFirewalls/read", 409, "MissingSubscriptionRegistration"),
        fails("Microsoft.Network/natGateways/read", 404, ""),
        ArmFault {
            conduct: ArmConduct::NextLink("/%".to_owned()),
            ..fails("Microsoft.Network/loadBalancers/read", 0, "")
        },
    ];
    let pulled = House::new(ArmApi { faults, ..ArmApi::default() }).pull().unwrap();
    let failed: Vec<String> =
        pulled.manifest.failed.iter().map(|failed| format!("{} {}", failed.action, failed.message)).collect();
    assert_eq!(
        failed[0],
        "Microsoft.Network/azureFirewalls/read MissingSubscriptionRegistration: The subscription is not registered"
    );
    assert!(failed[1].starts_with("Microsoft.Network/loadBalancers/read "), "{failed:?}");
    assert_eq!(failed[2], "Microsoft.Network/natGateways/read HTTP 404");
    assert!(pulled.manifest.denied.is_empty());
    let there = |name: &str| pulled.documents.contains_key(&format!("network/{name}.json"));
    assert!(!there("azure-firewalls") && !there("load-balancers") && !there("nat-gateways") && there("route-tables"));
}

fn throttling_is_waited_out() {
    let faults = vec![
        ArmFault {
            action: "Microsoft.Network/virtualNetworks/read".to_owned(),
            resource: format!("{OWN}/providers"),
            times: Some(2),
            retry_after: Some(1),
            ..fault(429, "TooManyRequests", "slow down")
        },
        ArmFault {
            action: "Microsoft.ContainerService/managedClusters/read".to_owned(),
            times: Some(2),
            ..fault(503, "ServerTimeout", "busy")
        },
        ArmFault { action: "Microsoft.Network/routeTables/read".to_owned(), times: Some(1), ..fault(500, "", "") },
        ArmFault {
            action: "Microsoft.Network/azureFirewalls/read".to_owned(),
            retry_after: Some(3_600),
            ..fault(429, "TooManyRequests", "come back in an hour")
        },
    ];
    let house = House::new(ArmApi { faults, ..ArmApi::default() });
    let begun = Instant::now();
    let pulled = house.pull().unwrap();
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
    let failed = &pulled.manifest.failed;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].message, "TooManyRequests: come back in an hour");
    assert!(pulled.documents.contains_key("network/virtual-networks.json"));
    let tries =
        |path: &str| house.requests().iter().filter(|asked| asked["path"].as_str().unwrap().ends_with(path)).count();
    assert_eq!(
        (tries("/virtualNetworks"), tries("/managedClusters/prod"), tries("/routeTables"), tries("/azureFirewalls")),
        (3, 3, 2, 1)
    );
}

fn what_ends_a_pull_is_told_clearly() {
    let house = House::new(ArmApi::default());
    let ask = |request: AksRequest| house.runtime.block_on(pull(&request, drop)).unwrap_err();
    let error = ask(AksRequest { name: Some("other".to_owned()), ..house.request() });
    assert!(matches!(&error, PullError::NotFound { name, .. } if name == "other"), "{error}");
    assert!(
        error.to_string().contains("the resource group rg-prod")
            && error.help().unwrap().contains("az aks list -o table")
    );
    let error =
        ask(AksRequest { name: None, resource_group: None, host: Some("x.example".to_owned()), ..house.request() });
    assert_eq!(error.to_string(), "no AKS cluster that the login sees has the API server x.example");
    let error = ask(AksRequest { subscription: None, ..house.request() });
    assert_eq!(error.to_string(), "no subscription is given, and the login sees 2");
    assert!(error.help().unwrap().contains("az account list"), "{error}");
    let error = ask(AksRequest { endpoint_url: Some("http://management.example".to_owned()), ..house.request() });
    assert!(matches!(error, PullError::Endpoint(_)), "{error}");
    // A port on which nobody listens any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(AksRequest { endpoint_url: Some(format!("http://{nobody}")), ..house.request() });
    assert!(
        matches!(&error, PullError::Unreachable { endpoint, .. } if *endpoint == format!("http://{nobody}")),
        "{error}"
    );
    // A token that is not good stays so.
    let house = House::new(ArmApi { token: Some("another-token".to_owned()), ..ArmApi::default() });
    let error = house.pull().unwrap_err();
    assert!(
        matches!(&error, PullError::Credentials(words) if words.starts_with("InvalidAuthenticationToken")),
        "{error}"
    );
    // A failure of the cluster's own API is told as it is.
    let cluster = ArmFault { resource: "managedClusters/prod".to_owned(), ..fault(400, "BadRequest", "words") };
    let error = House::new(ArmApi { faults: vec![cluster], ..ArmApi::default() }).pull().unwrap_err();
    assert!(matches!(&error, PullError::Failed { message, .. } if message.ends_with("BadRequest: words")), "{error}");
}

/// Whoever answers, the facts of the earlier pull stay, and the command fails.
fn what_is_no_resource_manager_ends_a_pull() {
    let house = House::new(ArmApi::default());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("facts/prod");
    let output = house.command(home.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", told(&output));
    let first = files(&folder);
    for head in [
        "200 OK\r\ncontent-type: text/html",
        "302 Found\r\nlocation: http://portal.invalid/login",
        "401 Unauthorized",
        "403 Forbidden\r\ncontent-type: text/html",
        "404 Not Found",
    ] {
        for body in ["<html><body>Log in</body></html>", "{}", "[]", "\u{0}", ""] {
            let other = answerer(&format!("HTTP/1.1 {head}"), body);
            let output = command(other, home.path()).output().unwrap();
            let (stdout, stderr) = told(&output);
            assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{head} {body} {stderr}");
            let begin = format!("error: what answers at http://{other} is no Azure Resource Manager: ");
            assert!(stderr.starts_with(&begin), "{head} {body}: {stderr}");
            assert_eq!(files(&folder), first);
        }
    }
}

fn an_endless_answer_ends() {
    let endless =
        ArmFault { resource: "managedClusters".to_owned(), conduct: ArmConduct::Endless, ..ArmFault::default() };
    let house = House::new(ArmApi { faults: vec![endless], ..ArmApi::default() });
    let begun = Instant::now();
    let error = house.pull().unwrap_err().to_string();
    assert!(error.contains("larger than 64 MiB"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Neither a link nor a redirect nor the place of a result makes us show the token to anybody else.
fn a_token_goes_to_one_host_only() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let place = format!("http://{}/subscriptions?api-version=2022-12-01", other.local_addr().unwrap());
    for conduct in [ArmConduct::NextLink(place.clone()), ArmConduct::Redirect(place.clone())] {
        let fault =
            ArmFault { action: "Microsoft.Network/virtualNetworks/read".to_owned(), conduct, ..ArmFault::default() };
        let pulled = House::new(ArmApi { faults: vec![fault.clone()], ..ArmApi::default() }).pull().unwrap();
        let failed = pulled.manifest.failed.first().unwrap();
        assert_eq!(failed.action, "Microsoft.Network/virtualNetworks/read");
        assert!(["which is not", "not followed"].iter().any(|words| failed.message.contains(words)), "{failed:?}");
        assert!(!pulled.documents.contains_key("network/virtual-networks.json"), "a part of a list is none");
        let spoke = pulled.documents.get("network/virtual-networks-vnet-spoke.json");
        let whole = spoke.is_some_and(|spoke| spoke["properties"]["subnets"].is_array());
        assert_eq!(whole, matches!(fault.conduct, ArmConduct::NextLink(_)), "asked for by its id");
    }
    assert!(other.accept().is_err(), "somebody else was asked");
}

fn no_token_is_repeated() {
    for (code, status) in [("AuthorizationFailed", 403), ("BadRequest", 400), ("{token}", 409)] {
        let echo = ArmFault {
            action: "Microsoft.Network/*".to_owned(),
            ..fault(status, code, "Refused: Authorization: Bearer {token} and {token}")
        };
        let house = House::new(ArmApi { faults: vec![echo], ..ArmApi::default() });
        let home = tempfile::tempdir().unwrap();
        let output = house.command(home.path(), &["-v"]).output().unwrap();
        let (stdout, stderr) = told(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let manifest = std::fs::read_to_string(home.path().join("facts/prod/manifest.json")).unwrap();
        for text in [stdout, stderr, manifest] {
            assert!(text.contains("Refused") && !text.contains(TOKEN) && !text.contains("Bearer"), "{text}");
            assert!(!text.contains("the-header-of-the-tests"), "{text}");
        }
    }
}

/// A server that insists on the tokens it gave: for an hour, for so short that each call needs a new one, withdrawn.
fn tokens_are_renewed() {
    for seconds in [3_600, 20] {
        let identity = Some(ArmIdentity { header: "a-secret-header".to_owned(), seconds });
        let ended = ArmFault {
            times: Some(1),
            resource: "Microsoft.Network".to_owned(),
            ..fault(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            )
        };
        let house = House::new(ArmApi { token: None, identity, faults: vec![ended], ..ArmApi::default() });
        let home = tempfile::tempdir().unwrap();
        let mut command = house.command(home.path(), &["-v"]);
        command
            .env("IDENTITY_ENDPOINT", format!("http://{}/msi/token", house.server))
            .env("IDENTITY_HEADER", "a-secret-header");
        let output = command.output().unwrap();
        let (stdout, stderr) = told(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("is asked with the managed identity"), "{stderr}");
        assert!(!stdout.contains("Failed") && !stdout.contains("Not allowed"), "{stdout}");
        let text = format!("{stdout}{stderr}");
        assert!(!text.contains("kubereach-fake-token") && !text.contains("a-secret-header"), "{text}");
        // With the wrong header there is no token.
        let mut command = house.command(home.path(), &[]);
        command.env("IDENTITY_ENDPOINT", format!("http://{}/msi/token", house.server));
        let output = command.output().unwrap();
        let (_, stderr) = told(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("error: no Azure login: ") && stderr.contains("az login"), "{stderr}");
        assert!(!stderr.contains("the-header-of-the-tests"), "{stderr}");
    }
}

fn every_credential_is_found() {
    let house = House::new(ArmApi::default());
    let home = tempfile::tempdir().unwrap();
    let tools = home.path().join("bin");
    std::fs::create_dir(&tools).unwrap();
    let az = |script: &str| {
        let file = tools.join("az");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let run = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = house.command(home.path(), more);
        command.env_remove("IDENTITY_ENDPOINT").env_remove("IDENTITY_HEADER");
        command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), told(&output).1)
    };
    // The command's login; what it prints is the token and nothing of it is told.
    let ends = jiff::Timestamp::now().as_second() + 3_600;
    az(&format!(
        r#"[ "$1 $2" = "account get-access-token" ] || exit 3
case "$*" in *"--scope https://management.azure.com/.default"*"{OWN}"*) ;; *) echo "ERROR: $*" >&2; exit 4 ;; esac
echo '{{"accessToken": "{TOKEN}", "expires_on": {ends}, "tokenType": "Bearer"}}'"#
    ));
    let (code, stderr) = run(&["-v"], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("is asked with the login of the az command") && !stderr.contains(TOKEN), "{stderr}");
    // Nobody is logged in.
    az("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    let (code, stderr) = run(&["--credential", "azure-cli"], &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("Please run 'az login'") && stderr.contains("help: log in (az login)"), "{stderr}");
    // It prints something else, which may hold a token all the same.
    az(&format!(r#"echo '{{"accessToken": "{TOKEN}", "expires_on": "{TOKEN}", "tokenType": 7}}'"#));
    let (code, stderr) = run(&[], &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("is no token") && !stderr.contains(TOKEN), "{stderr}");
    // What the environment speaks for goes first; a secret that is wrong is not told. Nobody can be asked about it: the
    // authority is a port on which nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let authority = format!("https://{nobody}");
    let principal = [("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t"), ("AZURE_AUTHORITY_HOST", authority.as_str())];
    let secret: Vec<_> = principal.iter().copied().chain([("AZURE_CLIENT_SECRET", "hunter2-hunter2")]).collect();
    let federated = home.path().join("token");
    std::fs::write(&federated, "hunter2-hunter2").unwrap();
    let federated = federated.to_str().unwrap();
    let workload: Vec<_> = principal.iter().copied().chain([("AZURE_FEDERATED_TOKEN_FILE", federated)]).collect();
    for (variables, kind, name) in [
        (&secret, "client-secret", "ClientSecretCredential"),
        (&workload, "workload-identity", "WorkloadIdentityCredential"),
    ] {
        for more in [&["-v"][..], &["-v", "--credential", kind][..]] {
            let (code, stderr) = run(more, variables);
            assert_eq!(code, Some(2), "{stderr}");
            assert!(stderr.contains(name) && !stderr.contains("hunter2"), "{stderr}");
        }
        let (code, stderr) = run(&["--credential", kind], &[]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("not set: AZURE_CLIENT_ID, AZURE_TENANT_ID, "), "{stderr}");
    }
    std::fs::remove_file(tools.join("az")).unwrap();
    let (code, stderr) = run(&["--credential", "azure-cli"], &[]);
    assert_eq!(
        (code, stderr.lines().next().unwrap()),
        (Some(2), "error: no Azure login: the az command is not on the PATH")
    );
}

fn clusters_are_found() {
    let house = House::new(ArmApi::default());
    let all = AksRequest { subscription: None, resource_group: None, name: None, ..house.request() };
    let found = |request: AksRequest| {
        let pulled = house.runtime.block_on(pull_cluster(&request, drop)).unwrap();
        assert_eq!(pulled.documents["aks/show.json"]["name"], "prod");
        assert_eq!(pulled.manifest.account.as_deref(), Some(OWN));
    };
    for host in ["PROD-x.hcp.westeurope.azmk8s.io", "prod-x.privatelink.westeurope.azmk8s.io."] {
        found(AksRequest { host: Some(host.to_owned()), ..all.clone() });
    }
    let name = Some("prod".to_owned());
    found(AksRequest { subscription: Some(OWN.to_owned()), name: name.clone(), ..all.clone() });
    found(AksRequest { subscription: Some(format!("Subscription {OWN}")), name: name.clone(), ..all.clone() });
    let unknown = AksRequest { subscription: Some("no such".to_owned()), name, ..all };
    let error = house.runtime.block_on(pull_cluster(&unknown, drop)).unwrap_err();
    assert_eq!(error.to_string(), "\"no such\" is no subscription that the login sees");
    // With one subscription none need be given; with two clusters of a name the group must be.
    let mut documents = subscription();
    documents.retain(|path, _| path.starts_with("aks/"));
    let mut twin = documents["aks/show.json"].clone();
    twin["id"] = json!(twin["id"].as_str().unwrap().replace("rg-prod", "rg-twin"));
    documents.insert("aks/twin.json".to_owned(), twin);
    let house = House::with(ArmApi::default(), documents);
    let request = AksRequest { subscription: None, ..house.request() };
    assert!(house.runtime.block_on(pull_cluster(&request, drop)).is_ok());
    let request = AksRequest { resource_group: None, ..request };
    let error = house.runtime.block_on(pull_cluster(&request, drop)).unwrap_err();
    assert!(error.to_string().contains("rg-prod, rg-twin"), "{error}");
}

fn effective_routes_are_asked_for_when_told() {
    let house = House::new(ArmApi { polls: 2, ..ArmApi::default() });
    let request = AksRequest { effective_routes: true, ..house.request() };
    let pulled = house.runtime.block_on(pull(&request, drop)).unwrap();
    for path in ["network/effective-route-table-vm-a.json", "network/effective-network-security-groups-vm-a.json"] {
        let faults = differences(&subscription()[path], &pulled.documents[path]);
        assert!(faults.is_empty(), "{path}: {faults:?}");
    }
    // Interfaces in other networks, and those of no machine, are left alone.
    let posted: Vec<Value> = house.requests().into_iter().filter(|asked| asked["method"] == "POST").collect();
    assert_eq!(posted.len(), 2, "{posted:?}");
    assert!(pulled.manifest.failed.is_empty(), "{:?}", pulled.manifest);
    let deny = ArmFault {
        action: "Microsoft.Network/networkInterfaces/effectiveRouteTable/action".to_owned(),
        ..fault(403, "AuthorizationFailed", "no")
    };
    let house = House::new(ArmApi { faults: vec![deny], ..ArmApi::default() });
    let request = AksRequest { effective_routes: true, ..house.request() };
    let pulled = house.runtime.block_on(pull(&request, drop)).unwrap();
    assert_eq!(pulled.manifest.denied[0].action, "Microsoft.Network/networkInterfaces/effectiveRouteTable/action");
}

fn of_a_kubeconfig_only_the_authority_is_kept() {
    let path = "aks/certificate-authority.json";
    let data = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    let mut documents = subscription();
    documents.insert(path.to_owned(), json!({ "certificateAuthorityData": data }));
    let house = House::with(ArmApi::default(), documents.clone());
    assert!(!house.runtime.block_on(pull(&house.request(), drop)).unwrap().documents.contains_key(path));
    let request = AksRequest { certificate_authority: true, ..house.request() };
    let pulled = house.runtime.block_on(pull(&request, drop)).unwrap();
    assert_eq!(pulled.documents[path], json!({ "certificateAuthorityData": data }));
    assert!(!format!("{pulled:?}").contains("fake-user-token"), "the user's secret was kept");
    // What is no certificate is not passed on, and says nothing of what it is.
    documents.insert(path.to_owned(), json!({"certificateAuthorityData": STANDARD.encode("a secret")}));
    let house = House::with(ArmApi::default(), documents);
    let request = AksRequest { certificate_authority: true, ..house.request() };
    let pulled = house.runtime.block_on(pull(&request, drop)).unwrap();
    assert!(!pulled.documents.contains_key(path));
    let action = "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action";
    assert_eq!(pulled.manifest.failed[0].action, action);
    assert!(!format!("{pulled:?}").contains("fake-user-token") && !format!("{pulled:?}").contains("a secret"));
}

/// While a change is under way only what changes is asked for.
fn a_change_is_followed() {
    let mut changed = subscription().remove("aks/show.json").unwrap();
    changed["properties"]["apiServerAccessProfile"]["authorizedIPRanges"] = json!(["198.51.100.7/32"]);
    let later =
        ArmLater { after_ms: 0, after_requests: 4, documents: BTreeMap::from([("aks/show.json".to_owned(), changed)]) };
    let house = House::new(ArmApi { later: vec![later], ..ArmApi::default() });
    let ranges = || {
        let pulled = house.runtime.block_on(pull_cluster(&house.request(), drop)).unwrap();
        assert_eq!(pulled.documents.keys().collect::<Vec<_>>(), ["aks/activity-log.json", "aks/show.json"]);
        let show = &pulled.documents["aks/show.json"]["properties"]["apiServerAccessProfile"];
        show["authorizedIPRanges"].as_array().unwrap().len()
    };
    assert_eq!((ranges(), ranges(), ranges()), (3, 3, 1));
    assert_eq!(house.requests().len(), 6);
}

fn nothing_but_the_role_is_asked() {
    let house = House::new(ArmApi::default());
    house.pull().unwrap();
    let by_host = AksRequest {
        subscription: None,
        resource_group: None,
        name: None,
        host: Some("prod-x.hcp.westeurope.azmk8s.io".to_owned()),
        ..house.request()
    };
    house.runtime.block_on(pull(&by_host, drop)).unwrap();
    let asked: BTreeSet<String> =
        house.requests().iter().map(|asked| asked["action"].as_str().unwrap().to_owned()).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aks-role.json");
    let role: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let granted: BTreeSet<String> =
        role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, granted);
    // Each with the version of its action, and by GET alone.
    for asked in house.requests() {
        let action = Action::by_permission(asked["action"].as_str().unwrap()).unwrap();
        assert_eq!((asked["method"].as_str(), asked["apiVersion"].as_str()), (Some("GET"), Some(action.api_version())));
        assert_ne!(asked["path"], id(HUB, "rg-hub", "virtualNetworks/vnet-beyond"), "three peerings away");
    }
    let scale_sets = format!("{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss");
    let asked = house.requests();
    let interfaces = asked
        .iter()
        .filter(|asked| asked["action"].as_str().unwrap().contains("virtualMachineScaleSets/networkInterfaces"));
    for asked in interfaces {
        assert!(asked["path"].as_str().unwrap().contains(&scale_sets), "{asked}");
    }
}

/// The longest chain is four calls: the networks, the hub, the network behind it, its security group.
fn calls_run_at_the_same_time() {
    let house = House::new(ArmApi { latency_ms: 100, ..ArmApi::default() });
    assert_at_the_same_time(house.server, "calls of Azure", 4, || house.pull().map(drop).unwrap(), drop);
}

fn the_command_writes_and_tells() {
    let denied =
        ArmFault { action: "Microsoft.Network/routeTables/read".to_owned(), ..fault(403, "AuthorizationFailed", "no") };
    let house = House::new(ArmApi { faults: vec![denied], ..ArmApi::default() });
    let home = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| house.command(home.path(), more).output().unwrap();
    let output = run(&["-v"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text:?}");
    assert!(text.0.starts_with(&format!("AKS cluster prod in westeurope, subscription {OWN}\n")), "{}", text.0);
    assert!(text.0.contains("Microsoft.Network/routeTables/read  where packets go"), "{}", text.0);
    assert!(text.0.contains("docs/aks-role.json allows exactly what kubereach reads"), "{}", text.0);
    assert!(text.1.contains("Microsoft.Network/publicIPPrefixes/read: 1 found\n"), "{}", text.1);
    let first = files(&home.path().join("facts/prod"));
    let again = told(&run(&[]));
    assert!(again.0.contains("unchanged since the last pull") && again.1.is_empty(), "{again:?}");
    assert_eq!(files(&home.path().join("facts/prod")), first);
    // A folder of somebody else's is refused before anything is asked.
    let asked = house.requests().len();
    std::fs::write(home.path().join("thesis.tex"), "x").unwrap();
    let refused = run(&["--out", "."]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(house.requests().len(), asked);
}

fn a_silent_provider_can_be_interrupted() {
    let silent = ArmFault { conduct: ArmConduct::Silent, ..ArmFault::default() };
    let house = House::new(ArmApi { faults: vec![silent], ..ArmApi::default() });
    let home = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let child = house.command(home.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while house.requests().is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!((output.status.code(), told(&output).1.trim()), (Some(2), "error: interrupted: nothing was written"));
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "something was written");
}

/// A server and what is needed to ask it.
struct House {
    runtime: Runtime,
    server: SocketAddr,
    _running: Running,
}

impl House {
    fn new(api: ArmApi) -> Self {
        Self::with(api, subscription())
    }

    /// Only the token of the tests is good, unless the server gives its own.
    fn with(api: ArmApi, documents: BTreeMap<String, Value>) -> Self {
        let runtime = Runtime::new().unwrap();
        let token = api.token.clone().or_else(|| api.identity.is_none().then(|| TOKEN.to_owned()));
        let api = ArmApi { listen: vec!["127.0.0.1:0".parse().unwrap()], documents, token, ..api };
        let running = runtime.block_on(serve(&BTreeMap::new(), &[ServerSpec::Arm(api)])).unwrap();
        Self { server: running.addresses()[0], runtime, _running: running }
    }

    fn request(&self) -> AksRequest {
        AksRequest {
            subscription: Some(OWN.to_owned()),
            resource_group: Some("rg-prod".to_owned()),
            name: Some("prod".to_owned()),
            endpoint_url: Some(format!("http://{}", self.server)),
            credential: Credential::ManagedIdentity,
            ..AksRequest::default()
        }
    }

    fn pull(&self) -> Result<Pulled, PullError> {
        self.runtime.block_on(pull(&self.request(), drop))
    }

    /// What the server was asked so far.
    fn requests(&self) -> Vec<Value> {
        requests(self.server)
    }

    /// The built binary, asked to pull.
    fn command(&self, folder: &Path, more: &[&str]) -> Command {
        let mut command = command(self.server, folder);
        command.args(more);
        command
    }
}

/// The built binary, asked to pull from there.
fn command(server: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let endpoint = format!("http://{server}");
    command.args([
        "facts",
        "pull",
        "aks",
        "-g",
        "rg-prod",
        "-n",
        "prod",
        "--subscription",
        OWN,
        "--endpoint-url",
        &endpoint,
    ]);
    command.current_dir(folder);
    command
}

fn fault(status: u16, code: &str, message: &str) -> ArmFault {
    ArmFault { status, code: code.to_owned(), message: message.to_owned(), ..ArmFault::default() }
}

/// Every document that the server has came through, but for secrets, the order of lists, and what is none of a pull's
/// business.
fn assert_same(pulled: &Pulled) {
    let expected = expected();
    assert_eq!(pulled.documents.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_holds(pulled, expected);
}

/// What the tests' identity endpoint gives.
pub(crate) const TOKEN: &str = "the-only-good-token-of-the-tests";
