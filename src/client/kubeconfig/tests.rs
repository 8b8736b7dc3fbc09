use std::fmt::Write;

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn load(&self, names: &[&str], context: Option<&str>) -> Result<KubeCluster, InputErrors> {
        let paths = names.iter().map(|name| self.0.path().join(name)).collect();
        load(&KubeconfigSelection { paths, context: context.map(str::to_owned) }, &nothing)
    }
}

fn base64(text: &str) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

const SIMPLE: &str = "apiVersion: v1
kind: Config
clusters:
- name: prod
  cluster:
    server: https://prod.example.com:6443
contexts:
- name: ops
  context: { cluster: prod, user: me }
users:
- name: me
  user: { token: hunter2 }
current-context: ops
";

#[test]
fn a_plain_file_is_read() {
    let cluster = Files::new(&[("config", SIMPLE)]).load(&["config"], None).unwrap();
    assert_eq!((cluster.name.as_str(), cluster.endpoint.port), ("prod", 6443));
    assert_eq!(cluster.environment.context.as_deref(), Some("ops"));
    assert!(!cluster.environment.skips_tls_verification);
    assert!(matches!(&cluster.credentials, Some(Credentials::Bearer(token)) if token == "hunter2"));
    assert!(!format!("{cluster:?}").contains("hunter2"));
}

#[test]
fn everything_that_kubectl_reads_is_read() {
    let made = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let text = format!(
        "clusters:
- name: prod
  cluster:
    server: https://10.0.0.1
    certificate-authority: ca.pem
    tls-server-name: kubernetes
    insecure-skip-tls-verify: yes
    proxy-url: http://user:hunter2@proxy.example.com:3128
contexts: [{{ name: ops, context: {{ cluster: prod, user: me }} }}]
current-context: ops
users:
- name: me
  user:
    client-certificate-data: {}
    client-key: key.pem
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./aws
      args: [eks, get-token, --region, eu-west-1]
      env: [{{ name: A, value: b }}]
      interactiveMode: Never
      provideClusterInfo: true
",
        base64(&pem)
    );
    let files = Files::new(&[("config", &text), ("ca.pem", &pem), ("key.pem", &key)]);
    let cluster = files.load(&["config"], None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(cluster.ca_pem.unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(cluster.server_name.as_deref(), Some("kubernetes"));
    assert!(cluster.environment.skips_tls_verification);
    assert!(cluster.environment.client_certificate_expires.is_some());
    let proxy = cluster.environment.proxy.used.unwrap();
    assert_eq!(proxy.target.unwrap().redacted(), "http://proxy.example.com:3128");
    assert!(matches!(cluster.credentials, Some(Credentials::ClientCertificate(..))));
    let plugin = cluster.environment.exec.unwrap();
    assert!(!plugin.found);
    assert_eq!(plugin.token_service.as_deref(), Some("sts.eu-west-1.amazonaws.com"));
    let exec = cluster.exec.unwrap();
    assert_eq!(Path::new(&exec.command), files.0.path().join("./aws"));
    assert_eq!(exec.environment, [("A".to_owned(), "b".to_owned())]);
    assert!(exec.cluster.is_some());
}

#[test]
fn files_are_merged_as_kubectl_does() {
    let second = SIMPLE
        .replace("prod.example.com", "second.example.com")
        .replace("current-context: ops", "current-context: other")
        + "---\nclusters: nonsense\n";
    let third = "contexts: [{ name: third, context: { cluster: prod } }]\ncurrent-context: third\n";
    let files = Files::new(&[
        ("first", "contexts: []\n"),
        ("config", SIMPLE),
        ("second", &second),
        ("third", third),
        ("empty", ""),
    ]);
    // The first file that says something wins; those that are not there are skipped.
    let names = ["first", "missing", "empty", "config", "second", "third"];
    let cluster = files.load(&names, None).unwrap();
    assert_eq!(cluster.endpoint.host, "prod.example.com");
    let cluster = files.load(&names, Some("third")).unwrap();
    assert_eq!(cluster.endpoint.host, "prod.example.com");
    assert!(cluster.credentials.is_none());
    let cluster = files.load(&["third", "second"], None).unwrap();
    assert_eq!(cluster.endpoint.host, "second.example.com");
    assert!(cluster.environment.kubeconfig.unwrap().ends_with("second"));
}

#[test]
fn the_files_are_chosen_as_kubectl_does() {
    let environment = |name: &str| match name {
        "KUBECONFIG" => Some(":/a:/b:/a:".to_owned()),
        "HOME" => Some("/home/me".to_owned()),
        _ => None,
    };
    let chosen = |flag: Option<&str>| KubeconfigSelection::choose(flag.map(Path::new), None, &environment).paths;
    assert_eq!(chosen(Some("/c")), [Path::new("/c")]);
    assert_eq!(chosen(None), [Path::new("/a"), Path::new("/b")]);
    let home = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
    assert_eq!(KubeconfigSelection::choose(None, None, &home).paths, [Path::new("/home/me/.kube/config")]);
    assert!(load(&KubeconfigSelection::choose(None, None, &nothing), &nothing).is_err());
}

#[test]
fn what_kubectl_could_not_use_is_explained() {
    let cluster = |fields: &str| {
        format!(
            "clusters:\n- name: prod\n  cluster: {{ {fields} }}\ncontexts: [{{ name: ops, context: {{ cluster: prod }} }}]\ncurrent-context: ops\n"
        )
    };
    let server = "server: 'https://prod.example.com'";
    let user = |fields: &str| SIMPLE.replace("{ token: hunter2 }", &format!("{{ {fields} }}"));
    let bad_pem = base64("-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n");
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("only a comment", "# nothing\n".to_owned()),
        ("not YAML", "clusters: [\n".to_owned()),
        ("not YAML, with a secret", "users: [{ user: { token: 'hunter2\n".to_owned()),
        ("a list", "- a\n".to_owned()),
        ("text", "hunter2\n".to_owned()),
        ("clusters is text", "clusters: hunter2\n".to_owned()),
        ("token is a list", user("token: [hunter2]")),
        ("two of a name", cluster(server).replace("contexts:", "- name: prod\n  cluster: {}\ncontexts:")),
        ("no current context", SIMPLE.replace("current-context: ops\n", "")),
        ("unknown current context", SIMPLE.replace("current-context: ops", "current-context: osp")),
        ("context without cluster", SIMPLE.replace("cluster: prod, user: me", "user: me")),
        ("context with unknown cluster", SIMPLE.replace("cluster: prod, user: me", "cluster: none")),
        ("context with unknown user", SIMPLE.replace("user: me }", "user: none }")),
        ("no server", cluster("")),
        ("server without scheme", cluster("server: 'prod.example.com:443'")),
        ("server http", cluster("server: 'http://prod.example.com'")),
        ("server with a password", cluster("server: 'https://me:hunter2@prod.example.com'")),
        ("server port 0", cluster("server: 'https://prod.example.com:0'")),
        ("bad base64", cluster(&format!("{server}, certificate-authority-data: '!!!'"))),
        ("base64 of something else", cluster(&format!("{server}, certificate-authority-data: aGVsbG8="))),
        ("bad PEM", cluster(&format!("{server}, certificate-authority-data: {bad_pem}"))),
        ("CA file missing", cluster(&format!("{server}, certificate-authority: none.pem"))),
        ("CA twice", cluster(&format!("{server}, certificate-authority: a, certificate-authority-data: aGVsbG8="))),
        ("bad boolean", cluster(&format!("{server}, insecure-skip-tls-verify: perhaps"))),
        ("bad server name", cluster(&format!("{server}, tls-server-name: 'a b'"))),
        ("bad client certificate", user("client-certificate-data: '!!!', client-key-data: aGk=")),
        ("token file missing", user("tokenFile: none")),
        ("exec is text", user("exec: hunter2")),
    ];
    let mut shown = String::new();
    for (name, text) in &cases {
        let files = Files::new(&[("config", text)]);
        let errors = files.load(&["config"], None).expect_err(name).to_string();
        let errors = errors.replace(&files.0.path().display().to_string(), "~");
        assert!(!errors.contains("hunter2"), "{name}: {errors}");
        let _ = writeln!(shown, "=== {name}\n{errors}\n");
    }
    let files = Files::new(&[("config", SIMPLE), ("binary", "")]);
    std::fs::write(files.0.path().join("binary"), b"clusters: \xff").unwrap();
    let lists: [(&str, &[&str], Option<&str>); 5] = [
        ("missing file", &["none"], None),
        ("all files missing", &["none", "neither"], None),
        ("not UTF-8", &["binary"], None),
        ("a folder", &["."], None),
        ("unknown context", &["config"], Some("opps")),
    ];
    for (name, paths, context) in lists {
        let errors = files.load(paths, context).expect_err(name).to_string();
        let _ = writeln!(shown, "=== {name}\n{}\n", errors.replace(&files.0.path().display().to_string(), "~"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn in_a_pod_the_service_account_is_pointed_out() {
    let environment = |name: &str| match name {
        "HOME" => Some("/nonexistent".to_owned()),
        "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    };
    let selection = KubeconfigSelection::choose(None, None, &environment);
    assert!(load(&selection, &environment).unwrap_err().to_string().contains("--server https://10.96.0.1:443"));
}
