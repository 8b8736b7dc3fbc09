//! Who gets a page: methods, hosts, tokens, sizes; over real connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use super::{every_state, hostile, links};
use crate::{
    report::every_variant,
    watch::{
        board::Board,
        config::{MaintenanceTime, MaintenanceWindow, Matcher, Retention, Storage, WatchConfig, Web},
        metrics::Metrics,
        record::{Detail, DetailId},
        store::{Batch, Store},
        web::{Sources, listen, serve},
    },
};

/// A page that listens, on a board with a cell of every state.
struct Served {
    address: SocketAddr,
    sources: Sources,
    stop: watch::Sender<bool>,
    config: watch::Sender<Arc<WatchConfig>>,
    folder: tempfile::TempDir,
}

impl Served {
    async fn with(token: Option<&str>, public_url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let storage = Storage::Sqlite { path: folder.path().join("history.db") };
        let store = Store::open(&storage).await.unwrap();
        let web = Web {
            listen: address,
            token: token.map(SecretString::from),
            behind_proxy: false,
            public_url: public_url.map(str::to_owned),
        };
        let config = WatchConfig {
            file: folder.path().join("watch.yaml"),
            checks: Vec::new(),
            storage,
            retention: Retention::default(),
            maintenance: Vec::new(),
            receivers: Vec::new(),
            routes: Vec::new(),
            web: Some(web),
        };
        let board = Arc::new(Board::default());
        for cell in every_state().cells.iter().chain(&hostile().cells) {
            board.put(cell.as_ref().clone());
        }
        let metrics = Arc::new(Metrics::new(&config));
        let (config, receiver) = watch::channel(Arc::new(config));
        let (stop, stopped) = watch::channel(false);
        let sources = Sources { board, store, metrics, config: receiver };
        tokio::spawn(serve(listener, sources.clone(), stopped));
        Self { address, sources, stop, config, folder }
    }

    /// Sends these lines as a request's head, and gives the whole answer.
    async fn ask(&self, lines: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = format!("Host: {}", self.address);
        let mut lines = lines.to_vec();
        if !lines.iter().any(|line| line.to_lowercase().starts_with("host:")) {
            lines.push(&host);
        }
        lines.retain(|line| *line != "Host: none");
        let request = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            whole: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn status(&self, lines: &[&str]) -> u16 {
        self.ask(lines).await.status
    }
}

struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    whole: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.whole.lines().find_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let served = Served::with(None, None).await;
    for (accept, newer) in [
        ("Accept: */*", false),
        ("Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
        ("Accept: application/openmetrics-text;q=0,text/plain", false),
        ("Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5", true),
        ("Accept: text/plain;q=0.5, Application/OpenMetrics-Text", true),
    ] {
        let answer = served.ask(&["GET /metrics HTTP/1.1", accept]).await;
        let kind = if newer { "application/openmetrics-text; version=1.0.0" } else { "text/plain; version=0.0.4" };
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{accept}: {}", answer.head);
        assert!(answer.header("vary").unwrap().contains("Accept"), "{}", answer.head);
        assert_eq!(answer.body.ends_with("# EOF\n"), newer, "{accept}");
        assert_eq!(answer.body.contains("# TYPE kubereach_history_rounds_written counter"), newer, "{accept}");
    }
}

#[tokio::test]
async fn every_address_answers_as_it_should() {
    let served = Served::with(None, None).await;
    let hostile = links::cell_path(&hostile().cells[0].key);
    for (address, status, content) in [
        ("/", 200, "text/html"),
        ("/?verdict=mismatch&cluster=prod", 200, "text/html"),
        ("/?verdict=fine", 400, "text/html"),
        ("/?page=0", 400, "text/html"),
        ("/?page=99999999999", 200, "text/html"),
        ("/index.json", 200, "application/json"),
        ("/cells/main/prod/office/kubernetes", 200, "text/html"),
        ("/cells/main/prod/office/kubernetes?range=7d", 200, "text/html"),
        ("/cells/main/prod/office/kubernetes?range=1y", 200, "text/html"),
        ("/cells/main/prod/office/kubernetes?range=2y", 400, "text/html"),
        ("/cells/main/prod/office/kubernetes.json", 200, "application/json"),
        ("/cells/main/prod/nowhere/kubernetes.json", 404, "application/json"),
        ("/cells/main/prod/nowhere/kubernetes", 404, "text/html"),
        ("/cells/main/prod/%FF/kubernetes", 400, "text/html"),
        ("/clusters/main/prod", 200, "text/html"),
        ("/clusters/main/prod.json", 200, "application/json"),
        ("/clusters/main/..%2f..%2fetc", 404, "text/html"),
        ("/events", 200, "text/html"),
        ("/events?before=5&kind=failed", 200, "text/html"),
        ("/events.json?cluster=x", 400, "application/json"),
        ("/events/1", 404, "text/html"),
        ("/events/x", 404, "text/html"),
        ("/metrics", 200, "text/plain; version=0.0.4"),
        ("/healthz", 200, "application/json"),
        ("/readyz", 503, "application/json"),
        ("/nowhere", 404, "text/html"),
        ("//elsewhere.example/", 404, "text/plain"),
        (&hostile, 200, "text/html"),
    ] {
        let answer = served.ask(&[&format!("GET {address} HTTP/1.1")]).await;
        assert_eq!(answer.status, status, "{address}: {}", answer.body);
        assert!(answer.header("content-type").unwrap().starts_with(content), "{address}: {}", answer.head);
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{address}: {}", answer.head);
        }
        let head = served.ask(&[&format!("HEAD {address} HTTP/1.1")]).await;
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{address}");
        if content == "application/json" {
            let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(json["schema"], "kubereach.watch/v1", "{address}");
        }
    }
    let json = served.ask(&["GET / HTTP/1.1", "Accept: application/json"]).await;
    assert!(json.body.starts_with('{'), "{}", json.body);
    let style = served.ask(&["GET / HTTP/1.1"]).await.body;
    let (_, rest) = style.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = served.ask(&[&format!("GET {} HTTP/1.1", rest.split_once('"').unwrap().0)]).await;
    assert!(
        style.status == 200 && style.head.contains("immutable") && style.head.contains("text/css"),
        "{}",
        style.head
    );
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let served = Served::with(None, None).await;
    assert!(served.ask(&["GET /readyz HTTP/1.1"]).await.body.contains("the configuration is not taken yet"));
    served.sources.board.change_health(|health| health.configured_at = Some(super::now()));
    assert_eq!(served.status(&["GET /readyz HTTP/1.1"]).await, 200);
    served.sources.board.change_health(|health| health.store = Some((super::now(), "disk is full".to_owned())));
    let answer = served.ask(&["GET /readyz HTTP/1.1"]).await;
    assert!(answer.status == 503 && answer.body.contains("disk is full"), "{}", answer.body);
    assert_eq!(served.status(&["GET /healthz HTTP/1.1"]).await, 200);
}

/// Whether it runs is told to every name; how it is, to those alone that lead here.
#[tokio::test]
async fn how_it_is_is_not_told_to_other_names() {
    let served = Served::with(None, None).await;
    let whole = served.ask(&["GET /healthz HTTP/1.1"]).await.body;
    assert!(whole.contains("\"process\"") && whole.contains("\"status\":\"ok\""), "{whole}");
    assert_eq!(served.ask(&["GET /healthz HTTP/1.1", "Host: evil.example"]).await.body, "{\"status\":\"ok\"}");
    // Behind a proxy on another address nobody is known by being there.
    let mut config = served.config.borrow().as_ref().clone();
    let web = config.web.as_mut().unwrap();
    (web.listen, web.behind_proxy) = ("192.0.2.1:8480".parse().unwrap(), true);
    served.config.send_replace(Arc::new(config));
    assert_eq!(served.ask(&["GET /healthz HTTP/1.1"]).await.body, "{\"status\":\"ok\"}");
}

/// A cell that another process probes, or this one before it began anew.
#[tokio::test]
async fn what_another_process_found_is_read_from_the_history() {
    let served = Served::with(None, None).await;
    let page = "GET /cells/main/prod/stale/kubernetes HTTP/1.1";
    assert!(!served.ask(&[page]).await.body.contains("Findings of the last round"));
    let mut cell = every_variant::report().cells[0].clone();
    cell.vantage = "stale".to_owned();
    let detail = Detail { id: DetailId(1), cell: Arc::new(cell.clone()) };
    let batch = Batch { details: vec![detail], ..Batch::default() };
    served.sources.store.commit(&batch).await.unwrap();
    let read = served.ask(&[page]).await.body;
    let title = crate::report::words::visible(&cell.findings[0].title);
    assert!(read.contains("Findings of the last round") && read.contains("What was seen"), "{title}: {read}");
    let json = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap();
    let found = json(&served.ask(&["GET /cells/main/prod/stale/kubernetes.json HTTP/1.1"]).await.body);
    assert_eq!(found["detail"]["findings"][0]["code"], cell.findings[0].code);
    assert_eq!((&found["lastRound"]["detail"], &found["detailError"]), (&"1".into(), &serde_json::Value::Null));
    let cluster = json(&served.ask(&["GET /clusters/main/prod.json HTTP/1.1"]).await.body);
    let vantages: Vec<_> = cluster["resolvers"].as_array().unwrap().iter().map(|one| &one["vantage"]).collect();
    assert!(vantages.contains(&&"stale".into()), "{cluster}");

    served.sources.store.close().await;
    let unread = json(&served.ask(&["GET /cells/main/prod/stale/kubernetes.json HTTP/1.1"]).await.body);
    assert!(unread["detailError"].is_string() && unread["detail"].is_null(), "{unread}");
    let cluster = json(&served.ask(&["GET /clusters/main/prod.json HTTP/1.1"]).await.body);
    assert!(cluster["resolversError"].is_string() && cluster["cells"].is_array(), "{cluster}");
}

#[tokio::test]
async fn an_open_window_is_named_with_its_end() {
    let served = Served::with(None, None).await;
    let mut config = served.config.borrow().as_ref().clone();
    let now = Timestamp::now();
    config.maintenance = vec![MaintenanceWindow {
        name: "patch night".to_owned(),
        matcher: Matcher { vantages: vec!["ci".to_owned()], ..Matcher::default() },
        when: MaintenanceTime::Once { from: now, until: now + Duration::from_hours(1) },
    }];
    served.config.send_replace(Arc::new(config));
    let matrix = served.ask(&["GET / HTTP/1.1"]).await.body;
    assert!(matrix.contains("Maintenance: patch night until ") && matrix.contains(" UTC (2 cells)"), "{matrix}");
    let page = |vantage: &str| format!("GET /cells/main/prod/{vantage}/kubernetes HTTP/1.1");
    let inside = served.ask(&[&page("ci")]).await.body;
    assert!(inside.contains("<dt>Maintenance</dt><dd>patch night until "), "{inside}");
    assert!(!served.ask(&[&page("office")]).await.body.contains("<dt>Maintenance</dt>"));
}

#[tokio::test]
async fn nothing_but_reading_is_possible() {
    let served = Served::with(None, None).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        for address in ["/", "/events", "/metrics", "/healthz", "/nowhere"] {
            let address = if method == "CONNECT" { "localhost:80" } else { address };
            let answer = served.ask(&[&format!("{method} {address} HTTP/1.1")]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {address}");
        }
    }
    assert_eq!(served.status(&["GET / HTTP/1.1", "Content-Length: 5"]).await, 413);
    assert_eq!(served.status(&["GET / HTTP/1.1", "Transfer-Encoding: chunked"]).await, 413);
    assert_eq!(served.status(&[&format!("GET /?cluster={} HTTP/1.1", "x".repeat(5_000))]).await, 414);
    let many: Vec<String> = (0..100).map(|index| format!("X-{index}: y")).collect();
    let many: Vec<&str> = std::iter::once("GET / HTTP/1.1").chain(many.iter().map(String::as_str)).collect();
    assert_eq!(served.status(&many).await, 431);
}

#[tokio::test]
async fn names_that_were_made_to_lead_here_are_refused() {
    let served = Served::with(None, Some("https://watch.example.com")).await;
    let port = served.address.port();
    for (host, status) in [
        ("localhost".to_owned(), 200),
        (format!("LocalHost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("watch.example.com".to_owned(), 200),
        ("evil.example".to_owned(), 421),
        ("127.0.0.1.evil.example".to_owned(), 421),
        ("localhost.evil.example".to_owned(), 421),
        ("192.0.2.1".to_owned(), 421),
        (String::new(), 400),
        ("a b".to_owned(), 400),
        ("none".to_owned(), 400),
    ] {
        for page in ["/", "/metrics", "/index.json", "/nowhere"] {
            let own = served.status(&[&format!("GET {page} HTTP/1.1"), &format!("Host: {host}")]).await;
            let own = if page == "/nowhere" && own == 404 { 200 } else { own };
            assert_eq!(own, status, "{host} {page}");
        }
    }
    assert_eq!(served.status(&["GET http://evil.example/ HTTP/1.1", "Host: localhost"]).await, 421);
}

#[tokio::test]
async fn a_token_opens_every_page_and_nothing_else_does() {
    let served = Served::with(Some("correct horse"), None).await;
    for page in ["/", "/index.json", "/events", "/metrics", "/readyz", "/nowhere", "/cells/main/prod/office/kubernetes"]
    {
        let get = format!("GET {page} HTTP/1.1");
        for (header, open) in [
            ("X: y", false),
            ("Authorization: Bearer correct horse", true),
            ("authorization: bearer correct horse", true),
            ("Authorization: Bearer wrong", false),
            ("Authorization: Bearer", false),
            ("Authorization: Bearer correct horse battery", false),
            ("Authorization: Basic Y29ycmVjdCBob3JzZQ==", false),
            ("Cookie: kubereach_watch=correct horse", false),
            ("Cookie: kubereach_watch=", false),
        ] {
            let status = served.status(&[&get, header]).await;
            assert_eq!(status != 401, open, "{page} {header}: {status}");
        }
    }
    served.sources.board.change_health(|health| health.reload = Some("watch.yaml: line 3".to_owned()));
    for header in ["Host: any.example", "Authorization: Bearer wrong", "Cookie: kubereach_watch=x"] {
        let brief = served.ask(&["GET /healthz HTTP/1.1", header]).await;
        assert_eq!((brief.status, brief.body.as_str()), (200, "{\"status\":\"ok\"}"), "{header}");
    }
    let whole = served.ask(&["GET /healthz HTTP/1.1", "Authorization: Bearer correct horse"]).await;
    assert!(whole.body.contains("\"status\":\"ok\"") && whole.body.contains("watch.yaml: line 3"), "{}", whole.body);

    let wrong = served.ask(&["GET /?token=wrong HTTP/1.1"]).await;
    assert!(wrong.status == 401 && wrong.header("set-cookie").is_none(), "{}", wrong.head);
    let right = served.ask(&["GET /?verdict=match&token=correct+horse HTTP/1.1"]).await;
    assert_eq!((right.status, right.header("location")), (303, Some("/?verdict=match")));
    let cookie = right.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("correct"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}", cookie.split_once(';').unwrap().0);
    assert_eq!(served.status(&["GET / HTTP/1.1", &cookie, "Host: any.example"]).await, 200);
    // A redirect stays on this host, whatever the path looks like.
    let sly = served.ask(&["GET //elsewhere.example/?token=correct+horse HTTP/1.1"]).await;
    assert_eq!((sly.status, sly.header("location")), (404, None));

    // Another token: what the old one opened is closed.
    let mut config = served.config.borrow().as_ref().clone();
    config.web.as_mut().unwrap().token = Some(SecretString::from("another"));
    served.config.send_replace(Arc::new(config));
    assert_eq!(served.status(&["GET / HTTP/1.1", &cookie]).await, 401);
    assert_eq!(served.status(&["GET / HTTP/1.1", "Authorization: Bearer another"]).await, 200);
}

/// Below a path of a proxy, whether that takes the path away or not; and at the machine itself.
#[tokio::test]
async fn pages_can_stand_below_a_path() {
    let served = Served::with(Some("correct horse"), Some("https://reach.example.com/kube")).await;
    let bearer = "Authorization: Bearer correct horse";
    for address in
        ["/", "/kube", "/kube/", "/kube?verdict=match", "/kube/cells/main/prod/office/kubernetes", "/kube/nowhere"]
    {
        let page = served.ask(&[&format!("GET {address} HTTP/1.1"), bearer]).await;
        assert_eq!(page.status, if address.ends_with("nowhere") { 404 } else { 200 }, "{address}");
        assert!(
            page.body.contains(" href=\"/kube/events\"") && page.body.contains(" src=\"/kube/assets/"),
            "{address}"
        );
        assert!(!page.body.contains(" href=\"/events\""), "{address}");
    }
    assert_eq!(served.status(&["GET /kubes HTTP/1.1", bearer]).await, 404);
    let entered = served.ask(&["GET /kube/events?token=correct+horse HTTP/1.1"]).await;
    assert_eq!(entered.header("location"), Some("/kube/events"));
    assert!(entered.header("set-cookie").unwrap().ends_with("; Secure"));
    assert_eq!(served.status(&["GET /kube/healthz HTTP/1.1"]).await, 200);
    assert_eq!(served.status(&["GET /kube/events HTTP/1.1"]).await, 401);
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_out_and_a_stop_is_prompt() {
    let served = Served::with(None, None).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
        silent.push(stream);
    }
    let answer = tokio::time::timeout(Duration::from_secs(5), served.status(&["GET / HTTP/1.1"])).await.unwrap();
    assert_eq!(answer, 200);
    served.stop.send_replace(true);
    let gone = async {
        while TcpStream::connect(served.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    served.folder.close().unwrap();
}
