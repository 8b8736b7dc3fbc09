//! The page of the built binary, while what it watches is closed and opened.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach::{
    demo::servers::{ApiServer, CertificateSpec, LabCa, Running, ServerSpec, serve},
    watch::web::links,
};

use super::{browser::Browser, world::key};

/// A cell turns red when what it reaches is closed, and green when it is opened again.
pub(super) fn turns_red_and_green() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Arc::new(LabCa::new("kubernetes").unwrap());
    std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    let api = free();
    let open = || runtime.block_on(open(&authority, api));
    let mut running = Some(open());
    let page = free();
    let watch = Watch::start(folder.path(), api, page);

    let mut browser = Browser::start();
    browser.look(1200, 800, false);
    watch.wait_for(page);
    browser.open(&format!("http://{page}/"));
    let path = links::cell_path(&key("clusters", "prod", "here"));
    let cell = format!("document.querySelector('.matrix a[href=\"{path}\"]')?.closest('td')");
    let mut become_so = |class: &str| {
        let took = browser.wait_for(&format!("{cell}?.className === '{class}'"));
        println!("the page of a watch shows {class} after {took:?}");
    };
    become_so("match");
    drop(running.take());
    become_so("mismatch");
    running = Some(open());
    become_so("match");
    drop(running);

    // What happened is in the log, and on the cell's own page.
    browser.open(&format!("http://{page}{path}?range=1h"));
    browser.wait_for("document.querySelectorAll('.strip rect.bad').length > 0");
    let text = browser.text("document.querySelector('main').textContent");
    for kind in ["failed", "recovered"] {
        assert!(text.contains(kind), "{kind} is not in: {text}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The API server, at its address.
async fn open(authority: &Arc<LabCa>, at: SocketAddr) -> Running {
    let certificate = CertificateSpec { addresses: vec![at.ip()], ..CertificateSpec::default() };
    let server = ServerSpec::Api(ApiServer::new(vec![at], certificate));
    let authorities = BTreeMap::from([("prod".to_owned(), Arc::clone(authority))]);
    serve(&authorities, &[server]).await.unwrap()
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The built binary as a watch; it ends with this value.
struct Watch(Child);

impl Watch {
    fn start(folder: &Path, api: SocketAddr, page: SocketAddr) -> Self {
        let scenario = format!(
            "apiVersion: kubereach/v1\ncontrols: []\nclusters:\n  prod: {{ endpoint: 'https://{api}', ca: ca.pem }}\n\
             vantages:\n  here: {{ local: {{}} }}\nexpect: [{{ cluster: prod, from: here, reachable: true }}]\n"
        );
        let config = format!(
            "apiVersion: kubereach/v1\nwatch:\n  defaults: {{ every: 1s, jitter: 0s, confirm: 2 }}\n  \
             checks: [{{ scenario: clusters.yaml }}]\n  storage: {{ sqlite: history.db }}\n  web: {{ listen: '{page}' }}\n"
        );
        std::fs::write(folder.join("clusters.yaml"), scenario).unwrap();
        std::fs::write(folder.join("watch.yaml"), config).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_kubereach"))
            .args(["watch", "watch.yaml"])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What it says is shown where the case fails.
        let said = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| println!("watch: {line}")));
        Self(process)
    }

    fn wait_for(&self, page: SocketAddr) {
        let begun = Instant::now();
        while std::net::TcpStream::connect(page).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the watch {} does not listen", self.0.id());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
