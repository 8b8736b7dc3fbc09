//! `kubereach demo`: the main job on this machine alone, against servers that the demo starts itself.

pub mod servers;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use servers::{
    ApiServer, CertificateSpec, DnsAnswer, DnsServer, DnsView, LabCa, Running, ServerError, ServerSpec, serve,
};

/// The scenario that the demo runs, as shipped.
pub const SCENARIO: &str = include_str!("../../scenarios/demo.yaml");

/// The demo's servers and files; both are gone when it is dropped.
#[derive(Debug)]
pub struct Demo {
    /// The scenario, with the ports that were free.
    pub scenario: String,
    /// Folder that holds `demo.yaml` and `demo-ca.pem`.
    pub folder: PathBuf,
    _running: Running,
}

impl Demo {
    /// Where the scenario stands.
    #[must_use]
    pub fn scenario_file(&self) -> PathBuf {
        self.folder.join("demo.yaml")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A server did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts the servers and writes the scenario beside the certificate of its cluster.
pub async fn start() -> Result<Demo, DemoError> {
    let ca = Arc::new(LabCa::new("kubereach demo cluster CA")?);
    let (running, api_port, dns_port) = bind(&ca).await?;
    let folder = private_folder()?;
    let scenario = SCENARIO
        .replace(&format!(":{API_PORT}"), &format!(":{api_port}"))
        .replace(&format!(":{DNS_PORT}"), &format!(":{dns_port}"));
    let demo = Demo { scenario, folder, _running: running };
    write(&demo.folder.join("demo-ca.pem"), ca.certificate_pem())?;
    write(&demo.scenario_file(), &demo.scenario)?;
    Ok(demo)
}

/// The shipped ports when they are free, else the next ones.
async fn bind(ca: &Arc<LabCa>) -> Result<(Running, u16, u16), DemoError> {
    let authorities = BTreeMap::from([("prod".to_owned(), Arc::clone(ca))]);
    let mut port = 0;
    loop {
        let (api_port, dns_port) = (API_PORT + port, DNS_PORT + port);
        match serve(&authorities, &cluster(api_port, dns_port)).await {
            Ok(running) => return Ok((running, api_port, dns_port)),
            Err(ServerError::Bind { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && port < MOST_PORTS_TRIED =>
            {
                port += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn cluster(api_port: u16, dns_port: u16) -> Vec<ServerSpec> {
    let certificate = CertificateSpec {
        names: [HOST, "kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned).to_vec(),
        ..CertificateSpec::default()
    };
    let expired = CertificateSpec { valid_from_hours: -24 * 365, valid_until_hours: -24, ..certificate.clone() };
    let at = |addresses: &[[u8; 4]], port| {
        addresses.iter().map(|address| SocketAddr::new(IpAddr::from(*address), port)).collect::<Vec<_>>()
    };
    let view = |server: [u8; 4], addresses: &[[u8; 4]]| DnsView {
        servers: vec![IpAddr::from(server)],
        names: BTreeMap::from([(
            HOST.to_owned(),
            vec![DnsAnswer::addresses(addresses.iter().copied().map(IpAddr::from).collect())],
        )]),
        ..DnsView::default()
    };
    vec![
        ServerSpec::Api(ApiServer::new(at(&[PRIVATE[0], PRIVATE[1], PUBLIC[0]], api_port), certificate)),
        ServerSpec::Api(ApiServer::new(at(&[PUBLIC[1]], api_port), expired)),
        ServerSpec::Dns(DnsServer {
            listen: at(&[PRIVATE_DNS, PUBLIC_DNS], dns_port),
            views: vec![view(PRIVATE_DNS, &PRIVATE), view(PUBLIC_DNS, &PUBLIC)],
        }),
    ]
}

/// A folder of our own that nobody else can have prepared.
fn private_folder() -> Result<PathBuf, DemoError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let unique = jiff::Timestamp::now().as_nanosecond();
    let path = std::env::temp_dir().join(format!("kubereach-demo-{}-{unique}", std::process::id()));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(|source| DemoError::Write { path: path.clone(), source })?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    std::fs::write(path, text).map_err(|source| DemoError::Write { path: path.to_owned(), source })
}

const HOST: &str = "prod.demo.kubereach.test";
const API_PORT: u16 = 16443;
const DNS_PORT: u16 = 16053;
const PRIVATE: [[u8; 4]; 2] = [[127, 20, 1, 10], [127, 20, 1, 11]];
const PUBLIC: [[u8; 4]; 2] = [[127, 30, 1, 10], [127, 30, 1, 11]];
const PRIVATE_DNS: [u8; 4] = [127, 20, 0, 53];
const PUBLIC_DNS: [u8; 4] = [127, 30, 0, 53];
const MOST_PORTS_TRIED: u16 = 50;
