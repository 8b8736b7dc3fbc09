mod parts;

use std::fmt::Write;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::report::CellTarget;

const SCENARIO: &str = "
apiVersion: kubereach/v1
clusters: { prod: { endpoint: https://prod.example.com }, stage: { endpoint: https://stage.example.com } }
vantages: { office: { local: {} }, ci: { model: { ip: 198.51.100.7 } } }
expect: [{ cluster: prod, from: [office, ci], reachable: true }, { cluster: stage, from: office, reachable: true }]
";

/// Every key of the configuration, less the scenario's own file.
const WHOLE: &str = "
apiVersion: kubereach/v1
watch:
  defaults: { every: 30s, jitter: 2s, spread: 10s, timezone: UTC, timeout: 20s, connectTimeout: 3s, confirm: 3, configurationEvery: 5m }
  checks:
    - { scenario: prod.yaml, every: 10s, jitter: 1s, timeout: 8s, connectTimeout: 2s, confirm: 2, configurationEvery: 1m }
    - { scenario: prod.yaml, name: office hours, cron: '*/5 8-18 * * MON-FRI', timezone: Europe/Berlin, spread: 60s }
  storage: { postgres: { urlFile: url.txt, ca: ca.pem } }
  retention: { rounds: 7d, rollups: 400d, events: 1d12h }
  maintenance:
    - { name: patch night, clusters: [prod], cron: '0 2 * * SUN', lasts: 2h, timezone: UTC }
    - { checks: office*, vantages: [office, ci], from: 2026-12-01T20:00:00Z, until: 2026-12-01T23:00:00+01:00 }
  alerts:
    receivers:
      ops: { alertmanager: { urls: ['http://127.0.0.1:9093/', 'http://127.0.0.1:9094'] }, timeout: 5s }
      hook: { webhook: { urlEnv: HOOK, secretFile: secret.txt } }
      pager: { command: [/bin/sh, page, --team, sre] }
    routes:
      - { clusters: [prod*], severity: warning, inconclusive: true, receivers: [ops, hook], repeat: 2h, labels: { team: sre } }
      - { receivers: pager }
  web: { listen: '0.0.0.0:8480', tokenFile: token.txt, behindProxy: true, publicUrl: 'https://reach.example.com/kube/' }
";

/// A folder with the files that [`WHOLE`] names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    for (name, text) in [
        ("prod.yaml", SCENARIO),
        ("url.txt", "postgres://watch:hunter2@db.example.com/kubereach\n"),
        ("secret.txt", "hunter2\n"),
        ("token.txt", "0123456789abcdef\n"),
        ("empty.txt", " \n"),
        ("ca.pem", &ca),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read_in(folder: &Path, text: &str) -> Result<WatchConfig, InputErrors> {
    let environment = |name: &str| match name {
        "HOOK" => Some("https://hooks.example.com/services/hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    read::read(text, &folder.join("watch.yaml"), &environment)
}

fn good(text: &str) -> WatchConfig {
    read_in(folder().path(), text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// The least that is a configuration, with more keys of `watch` and of its check.
fn least(watch: &str, check: &str) -> String {
    format!("apiVersion: kubereach/v1\nwatch:\n  checks:\n    - {{ scenario: prod.yaml{check} }}\n{watch}\n")
}

fn key(check: &str, cluster: &str, vantage: &str) -> CellKey {
    CellKey { check: check.into(), cluster: cluster.into(), vantage: vantage.into(), target: CellTarget::Kubernetes }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn to_json(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_key_is_read() {
    let config = good(WHOLE);
    let [first, second] = config.checks.as_slice() else { panic!("{config:?}") };
    assert_eq!((first.name.as_str(), second.name.as_str()), ("prod", "office hours"));
    let Schedule::Every { interval, jitter } = &first.schedule else { panic!() };
    assert_eq!((*interval, *jitter), (Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!((first.timeout, first.connect_timeout), (Duration::from_secs(8), Duration::from_secs(2)));
    assert_eq!((first.confirm, first.configuration_every), (2, Duration::from_mins(1)));
    let Schedule::Cron { zone, spread, .. } = &second.schedule else { panic!() };
    assert_eq!((zone.iana_name(), *spread), (Some("Europe/Berlin"), Duration::from_mins(1)));
    assert_eq!(second.timeout, Duration::from_secs(20));
    let Storage::Postgres { url, ca } = &config.storage else { panic!() };
    assert_eq!(url.expose_secret(), "postgres://watch:hunter2@db.example.com/kubereach");
    assert!(ca.as_ref().unwrap().ends_with("ca.pem"));
    assert_eq!(config.retention.rounds, Duration::from_hours(7 * 24));
    assert_eq!(config.retention.events, Duration::from_hours(36));
    assert_eq!(config.maintenance.len(), 2);
    assert_eq!(config.maintenance[1].matcher.checks, ["office*"]);
    let names: Vec<&str> = config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    assert_eq!(names, ["ops", "hook", "pager"]);
    let ReceiverKind::Alertmanager { urls } = &config.receivers[0].kind else { panic!() };
    assert_eq!(urls, &["http://127.0.0.1:9093", "http://127.0.0.1:9094"]);
    let ReceiverKind::Webhook { url, secret: Some(secret) } = &config.receivers[1].kind else { panic!() };
    assert!(url.expose_secret().ends_with("hunter2") && secret.expose_secret() == "hunter2");
    assert_eq!(config.receivers.iter().map(|one| one.timeout.as_secs()).collect::<Vec<_>>(), [5, 10, 10]);
    let [told, paged] = config.routes.as_slice() else { panic!() };
    assert_eq!((told.severity, told.inconclusive, told.repeat), (Severity::Warning, true, Duration::from_hours(2)));
    assert_eq!((told.receivers.len(), told.labels.len()), (2, 1));
    assert_eq!((paged.severity, paged.inconclusive, paged.repeat), (Severity::Error, false, Duration::from_hours(4)));
    assert_eq!(paged.receivers, ["pager"]);
    let web = config.web.as_ref().unwrap();
    assert_eq!(web.public_url.as_deref(), Some("https://reach.example.com/kube"));
    assert!(web.behind_proxy && web.token.as_ref().unwrap().expose_secret() == "0123456789abcdef");
    assert!(!format!("{config:?}").contains("hunter2"), "secrets stay out of what is printed for debugging");
}

#[test]
fn an_open_window_has_a_name_and_an_end() {
    let windows = "  maintenance:\n    - { name: patch night, clusters: [prod], cron: '0 2 * * SUN', lasts: 2h, timezone: UTC }\n    \
                   - { from: 2026-11-22T03:00:00Z, until: 2026-11-22T03:30:00Z }\n    \
                   - { name: often, clusters: [stage], vantages: [office], cron: '*/10 * * * *', lasts: 25m, timezone: UTC }";
    let config = good(&least(windows, ""));
    for (cluster, at, open) in [
        ("prod", "2026-11-22T01:59:59Z", None),
        ("prod", "2026-11-22T02:00:00Z", Some(("patch night", "2026-11-22T04:00:00Z"))),
        // Of two the one that ends last.
        ("prod", "2026-11-22T03:10:00Z", Some(("patch night", "2026-11-22T04:00:00Z"))),
        ("prod", "2026-11-22T04:00:00Z", None),
        ("third", "2026-11-22T03:29:59Z", Some(("", "2026-11-22T03:30:00Z"))),
        ("third", "2026-11-22T03:30:00Z", None),
        // It begins again before it has ended: the last begin counts.
        ("stage", "2026-11-22T12:21:00Z", Some(("often", "2026-11-22T12:45:00Z"))),
    ] {
        let expected = open.map(|(name, until)| (name, time(until)));
        assert_eq!(config.maintenance_of(&key("prod", cluster, "office"), time(at)), expected, "{cluster} {at}");
        assert_eq!(config.in_maintenance(&key("prod", cluster, "office"), time(at)), open.is_some(), "{cluster} {at}");
    }
}

#[test]
fn everything_but_the_checks_has_a_default() {
    let config = good(&least("", ""));
    let check = &config.checks[0];
    let Schedule::Every { interval, jitter } = &check.schedule else { panic!() };
    assert_eq!((*interval, *jitter), (Duration::from_secs(30), Duration::from_secs(2)));
    assert_eq!((check.timeout, check.confirm), (Duration::from_secs(20), 3));
    assert!(matches!(&config.storage, Storage::Sqlite { path } if path.ends_with("kubereach.db")));
    assert_eq!(config.retention, Retention::default());
    assert!(config.receivers.is_empty() && config.routes.is_empty() && config.maintenance.is_empty());
    let web = config.web.unwrap();
    assert!(web.listen.ip().is_loopback() && web.token.is_none());
    assert!(good(&least("  web: false", "")).web.is_none());
    assert!(good(&least("  web: true", "")).web.is_some());
    // What nobody wrote for this check gives way to its interval.
    let check = &good(&least("", ", every: 1s")).checks[0];
    let Schedule::Every { jitter, .. } = &check.schedule else { panic!() };
    assert_eq!((check.timeout, check.connect_timeout), (Duration::from_secs(1), Duration::from_secs(1)));
    assert_eq!(*jitter, Duration::from_millis(100));
    // Without routes every receiver is told of everything.
    let config =
        good(&least("  alerts: { receivers: { a: { command: [/bin/true] }, b: { command: [/bin/true] } } }", ""));
    assert_eq!(config.routes[0].receivers, ["a", "b"]);
    assert!(config.routes[0].matcher.matches(&key("x", "y", "z")));
}

/// What is wrong, where, and a part of the message or its help.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("  chekcs: []", "", "did you mean `checks`?"),
    ("", ", evry: 3s", "did you mean `every`?"),
    ("", ", every: 500ms", "from `1s` to `168h`"),
    ("", ", every: 3", "write `3s`"),
    ("", ", every: 5s, timeout: 6s", "`timeout` is longer than `every`"),
    ("  defaults: { every: 5s, timeout: 6s }", "", "`timeout` is longer than `every`"),
    ("", ", timeout: 1s, connectTimeout: 2s", "`connectTimeout` is longer than `timeout`"),
    ("", ", every: 5s, jitter: 3s", "more than half"),
    ("", ", every: 5s, cron: '* * * * *'", "both `every` and `cron`"),
    ("", ", jitter: 1s, cron: '* * * * *'", "`jitter` goes with `every`"),
    ("", ", spread: 1s", "`spread` goes with `cron`"),
    ("", ", spread: 90s, cron: '* * * * *'", "`spread` is longer than"),
    ("", ", cron: '61 * * * *'", "is no cron expression"),
    ("", ", cron: '0 0 30 2 *'", "no such time ever comes"),
    ("", ", cron: 'every day'", "is no cron expression"),
    ("", ", cron: '* * * * *', timezone: Europe/Berlni", "time zone `Europe/Berlni` is not known"),
    ("", ", confirm: 0", "a number from 1 to 100"),
    ("", ", configurationEvery: 1s", "shorter than `10s`"),
    ("", ", name: a/b", "cannot be the name of a check"),
    ("    - scenario: prod.yaml", "", "two checks named `prod`"),
    ("    - scenario: none.yaml", "", "cannot read the scenario: no such file"),
    ("    - name: x", "", "lacks its `scenario`"),
    ("  storage: {}", "", "does not say where history goes"),
    ("  storage: { sqlite: nowhere/a.db }", "", "does not exist"),
    ("  storage: { sqlite: . }", "", "is no file"),
    ("  storage: { sqlite: a.db, postgres: { urlFile: url.txt } }", "", "at once"),
    ("  storage: { postgres: {} }", "", "lacks its `url`"),
    ("  storage: { postgres: { url: 'mysql://db/x' } }", "", "no connection URL of PostgreSQL"),
    ("  storage: { postgres: { urlEnv: NOWHERE } }", "", "no variable `NOWHERE`"),
    ("  storage: { postgres: { urlFile: empty.txt } }", "", "`urlFile` is empty"),
    ("  storage: { postgres: { urlFile: url.txt, ca: url.txt } }", "", "holds no certificate"),
    ("  retention: { rounds: 5m }", "", "less than an hour"),
    ("  retention: { rounds: 14 }", "", "lacks a unit"),
    ("  maintenance: [{ name: x }]", "", "does not say when it is"),
    ("  maintenance: [{ from: 2026-12-01T20:00:00Z }]", "", "lacks its `until`"),
    ("  maintenance: [{ from: yesterday, until: 2026-12-01T20:00:00Z }]", "", "`yesterday` is no time"),
    ("  maintenance: [{ from: 2026-12-02T20:00:00Z, until: 2026-12-01T20:00:00Z }]", "", "ends before it begins"),
    ("  maintenance: [{ cron: '0 2 * * SUN' }]", "", "lacks its `lasts`"),
    ("  maintenance: [{ cron: '0 2 * * SUN', lasts: 0s }]", "", "lasts for no time"),
    ("  maintenance: [{ cron: '0 2 * * SUN', lasts: 1h, until: 2026-12-01T20:00:00Z }]", "", "at once"),
    ("  maintenance: [{ clusters: [prdo], cron: '0 2 * * SUN', lasts: 1h }]", "", "did you mean `prod`?"),
    ("  maintenance: [{ clusters: [], cron: '0 2 * * SUN', lasts: 1h }]", "", "`clusters` is empty"),
    ("  alerts: { receivers: {} }", "", "no receiver"),
    ("  alerts: { receivers: { a: {} } }", "", "does not say how it is told"),
    ("  alerts: { receivers: { a: { webhok: {} } } }", "", "did you mean `webhook`?"),
    ("  alerts: { receivers: { a: { command: [/bin/true], webhook: { url: 'http://a' } } } }", "", "at once"),
    ("  alerts: { receivers: { a: { command: [page] } } }", "", "absolute path"),
    ("  alerts: { receivers: { a: { command: [] } } }", "", "absolute path"),
    (
        "  alerts: { receivers: { a: { command: [/nonexistent/page] } } }",
        "",
        "`/nonexistent/page` of `command` does not exist",
    ),
    ("  alerts: { receivers: { a: { command: [/bin] } } }", "", "does not exist"),
    ("  alerts: { receivers: { a: { command: [/proc/version] } } }", "", "cannot be executed"),
    ("", ", cron: '61 * * * *', timezone: Europe/Berlni", "time zone `Europe/Berlni` is not known"),
    ("", ", cron: '61 * * * *', timezone: Europe/Berlni", "is no cron expression"),
    ("  maintenance: [{ cron: '61 2 * * *', lasts: 1h, timezone: Mars }]", "", "is no cron expression"),
    ("  alerts: { receivers: { a: { alertmanager: { urls: [] } } } }", "", "`urls` is empty"),
    ("  alerts: { receivers: { a: { alertmanager: { urls: ['http://u:p@h'] } } } }", "", "without credentials"),
    ("  alerts: { receivers: { a: { webhook: { url: 'ftp://h' } } } }", "", "no `http` or `https` URL"),
    ("  alerts: { receivers: { a: { webhook: { url: 'http://h', secret: hunter2 } } } }", "", "no key `secret`"),
    ("  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [] }", "", "`routes` is empty"),
    ("  alerts: { receivers: { ops: { command: [/bin/true] } }, routes: [{ receivers: [opps] }] }", "", "mean `ops`?"),
    ("  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ severity: error }] }", "", "its `receivers`"),
    (
        "  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ receivers: a, severity: bad }] }",
        "",
        "`bad`",
    ),
    (
        "  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ receivers: a, repeat: 1s }] }",
        "",
        "than `1m`",
    ),
    (
        "  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ receivers: a, labels: { 1a: b } }] }",
        "",
        "`1a`",
    ),
    (
        "  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ receivers: a, vantages: offce }] }",
        "",
        "`office`?",
    ),
    (
        "  alerts: { receivers: { a: { command: [/bin/true] } }, routes: [{ receivers: a, labels: { cluster: b } }] }",
        "",
        "the watch's own",
    ),
    ("  web: { listen: '0.0.0.0:8480' }", "", "nobody would be asked who they are"),
    ("  web: { listen: '[::]:8480', behindProxy: false }", "", "nobody would be asked who they are"),
    ("  web: { listen: localhost }", "", "no address to listen on"),
    ("  web: { tokenFile: empty.txt }", "", "`tokenFile` is empty"),
    ("  web: { tokenFile: secret.txt }", "", "too short"),
    ("  web: { tokenFile: token.txt, tokenEnv: HOOK }", "", "at once"),
    ("  web: { publicUrl: 'https://u:hunter2@h' }", "", "without credentials"),
    ("  web: maybe", "", "`true` or `false`"),
];

#[test]
fn each_mistake_is_told_with_its_place() {
    let folder = folder();
    for (watch, check, part) in MISTAKES {
        let errors = read_in(folder.path(), &least(watch, check)).expect_err(watch);
        let text = errors.to_string();
        assert!(text.contains(part), "{watch}{check}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(errors.0.iter().all(|error| error.file.is_some()), "{text}");
        let own = errors.0.iter().filter(|error| error.file.as_deref() == Some(&folder.path().join("watch.yaml")));
        assert!(own.clone().all(|error| error.position.is_some()), "{text}");
        assert!(errors.0.len() <= 2, "{text}");
    }
    for (text, part) in [
        ("", "is empty"),
        ("apiVersion: kubereach/v1\n", "lacks its `watch`"),
        ("watch: { checks: [{ scenario: prod.yaml }] }\n", "lacks its `apiVersion`"),
        ("apiVersion: kubereach/v1\nwatch: {}\n", "nothing is checked"),
        ("apiVersion: kubereach/v1\nwatch: { checks: [] }\n", "nothing is checked"),
        ("apiVersion: kubereach/v1\nwatch: { checks: prod.yaml }\n", "must be a list"),
        ("apiVersion: kubereach/v1\nwatch: { checks: [prod.yaml] }\n", "must be a mapping"),
        (
            "apiVersion: kubereach/v1\nwatch: { checks: [{ scenario: prod.yaml, scenario: prod.yaml }] }\n",
            "second time",
        ),
    ] {
        let told = read_in(folder.path(), text).unwrap_err().to_string();
        assert!(told.contains(part), "{text}: {told}");
    }
}

#[test]
fn all_mistakes_come_at_once_with_their_own_files() {
    let folder = folder();
    std::fs::write(folder.path().join("prod.yaml"), SCENARIO.replace("reachable: true", "reachable: maybe")).unwrap();
    let text = least("  retention: { rounds: 5 }\n  web: { listen: x }", ", every: 3");
    let errors = read_in(folder.path(), &text).unwrap_err();
    let places: Vec<(String, usize)> = errors
        .0
        .iter()
        .map(|error| {
            let file = error.file.as_ref().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            (file, error.position.unwrap().0)
        })
        .collect();
    let expected = [("watch.yaml", 4), ("watch.yaml", 5), ("watch.yaml", 6), ("prod.yaml", 5), ("prod.yaml", 5)];
    assert_eq!(places, expected.map(|(file, line)| (file.to_owned(), line)));
    assert!(errors.0[3].help.as_deref().unwrap().contains("named at line 4 of "), "{errors}");
}

#[test]
fn no_secret_is_ever_shown() {
    let folder = folder();
    let hook = "https://hooks.example.com/services/hunter2";
    for line in [
        format!("  alerts: {{ receivers: {{ a: {{ webhook: '{hook}' }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ webhook: {{ url: ['{hook}'] }} }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ webhook: {{ url: '{hook}', secretFil: x }} }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ webhook: {{ url: '{hook}', url: x }} }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ alertmanager: {{ urls: '{hook}' }} }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ alertmanager: {{ urls: ['{hook}?x'] }} }} }} }}"),
        format!("  alerts: {{ receivers: {{ a: {{ webhook: {{ url: {hook}, [ }} }} }}"),
        format!("  web: {{ publicUrl: '{hook}#x' }}"),
        "  storage: { postgres: { url: 'host=db password=hunter2' } }".to_owned(),
        "  storage: { postgres: 'host=db password=hunter2' }".to_owned(),
        "  storage: { postgres: { url: 'mysql://u:hunter2@db' } }".to_owned(),
        "  web: { token: hunter2 }".to_owned(),
        "  alerts: { receivers: { a: { webhook: { urlFile: url.txt, secret: hunter2 } } } }".to_owned(),
        "  alerts: { receivers: { a: { webhook: { urlFile: url.txt } } } }".to_owned(),
    ] {
        let told = read_in(folder.path(), &least(&line, "")).expect_err(&line).to_string();
        assert!(!told.contains("hunter2"), "{line}: {told}");
    }
}

#[test]
fn the_schema_and_the_reader_agree() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let wrong =
        |text: &str| -> Vec<String> { validator.iter_errors(&to_json(text)).map(|error| error.to_string()).collect() };
    for text in [
        WHOLE.to_owned(),
        least("", ""),
        least("  web: false", ", cron: '* * * * *'"),
        least("  storage: { sqlite: a.db }", ""),
    ] {
        good(&text);
        assert!(wrong(&text).is_empty(), "{text}\n{:?}", wrong(&text));
    }
    // Those mistakes that are of shape.
    let told: Vec<&str> = MISTAKES
        .iter()
        .filter(|(watch, check, _)| {
            let text = least(watch, check);
            serde_saphyr::from_str::<serde_json::Value>(&text).is_ok() && !wrong(&text).is_empty()
        })
        .map(|(.., part)| *part)
        .collect();
    assert!(told.len() >= 38, "{}: {told:#?}", told.len());
}

#[test]
fn the_schema_knows_the_keys_of_the_reader() {
    let schema = schema();
    let mut known: Vec<Vec<String>> = Vec::new();
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        if let Some(properties) = value.get("properties").and_then(serde_json::Value::as_object)
            && value.get("additionalProperties") == Some(&serde_json::Value::Bool(false))
        {
            let mut keys: Vec<String> = properties.keys().cloned().collect();
            keys.sort();
            known.push(keys);
        }
        match value {
            serde_json::Value::Object(map) => open.extend(map.values()),
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    for (name, keys) in keys::ALL {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        assert!(known.contains(&keys), "{name}: {keys:?}");
    }
}

#[test]
fn the_guide_names_every_key() {
    let guide = include_str!("../../../docs/watch.md");
    for (mapping, keys) in keys::ALL {
        for key in *keys {
            assert!(guide.contains(&format!("`{key}`")), "docs/watch.md does not tell of `{key}` of {mapping}");
        }
    }
}

#[test]
fn the_guides_example_is_read() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/watch.yaml");
    let text = std::fs::read_to_string(&example).unwrap();
    let config = load(&example).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.checks.len() >= 2 && !config.receivers.is_empty() && !config.maintenance.is_empty());
    let validator = jsonschema::validator_for(&schema()).unwrap();
    assert!(validator.is_valid(&to_json(&text)));
}

#[test]
fn names_fit_patterns() {
    for (pattern, name, fits) in [
        ("prod", "prod", true),
        ("prod", "prod2", false),
        ("prod*", "prod2", true),
        ("*prod", "my-prod", true),
        ("*", "", true),
        ("a*b*c", "abc", true),
        ("a*b*c", "a-b-b-c-c", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("**", "x", true),
        ("", "x", false),
        ("ü*", "übung", true),
    ] {
        assert_eq!(matches_name(pattern, name), fits, "{pattern} {name}");
    }
    let hostile = "*a".repeat(5_000);
    assert!(!matches_name(&format!("{hostile}b"), &"a".repeat(10_000)));
    let matcher =
        Matcher { clusters: vec!["prod*".into()], vantages: vec!["office".into(), "ci".into()], ..Matcher::default() };
    assert!(matcher.matches(&key("any", "prod-1", "ci")));
    assert!(!matcher.matches(&key("any", "prod-1", "home")) && !matcher.matches(&key("any", "stage", "ci")));
}

#[test]
fn maintenance_windows_open_and_close() {
    let config = good(WHOLE);
    let prod = key("prod", "prod", "office");
    // Every Sunday from 2:00 to 4:00 UTC.
    for (at, open) in [
        ("2026-11-22T01:59:59.999Z", false),
        ("2026-11-22T02:00:00Z", true),
        ("2026-11-22T03:59:59.999Z", true),
        ("2026-11-22T04:00:00Z", false),
        ("2026-11-23T03:00:00Z", false),
    ] {
        assert_eq!(config.in_maintenance(&prod, time(at)), open, "{at}");
        assert!(!config.in_maintenance(&key("prod", "stage", "office"), time(at)));
    }
    let office = key("office hours", "stage", "ci");
    assert!(!config.in_maintenance(&office, time("2026-12-01T19:59:59Z")));
    assert!(config.in_maintenance(&office, time("2026-12-01T20:00:00Z")));
    assert!(!config.in_maintenance(&office, time("2026-12-01T22:00:00Z")));
    assert!(!config.in_maintenance(&prod, time("2026-12-01T20:00:00Z")));
}

#[test]
fn large_files_are_bounded() {
    let mut text = least("", "");
    for index in 0..500 {
        let _ = writeln!(text, "  unknown{index}: 1");
    }
    assert_eq!(read_in(folder().path(), &text).unwrap_err().0.len(), 101);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watch.yaml");
    std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("larger than 1 MiB"));
    let mut text = "apiVersion: kubereach/v1\nwatch:\n  checks:\n".to_owned();
    for index in 0..10_001 {
        let _ = writeln!(text, "    - name: n{index}");
    }
    assert!(read_in(folder.path(), &text).unwrap_err().to_string().contains("more than 10000 checks"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = read_in(Path::new("/nonexistent"), &text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in 0_usize..2600, length in 0_usize..40, piece in "[ -~\n\u{e4}]{0,12}") {
        let begin = at.min(WHOLE.len());
        let end = (begin + length).min(WHOLE.len());
        let text = format!("{}{piece}{}", &WHOLE[..begin], &WHOLE[end..]);
        let _ = read_in(Path::new("/nonexistent"), &text).map_err(|errors| errors.to_string());
    }
}
