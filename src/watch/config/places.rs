//! Reading where history goes, and where the page is to be found.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

use super::{Storage, Web, keys, read::Reader};
use crate::input::{Entry, Fields, Kind, MEBIBYTE, Node, Reading, quoted, read_text};

impl Reader<'_> {
    pub(super) fn storage(&mut self, fields: &Fields<'_>) -> Option<Storage> {
        let Some(entry) = fields.entry("storage") else {
            return self.sqlite(self.resolved(DATABASE), fields.position);
        };
        let fields = self.fields(&entry.value, "`storage`", keys::STORAGE)?;
        match (fields.entry("sqlite"), fields.entry("postgres")) {
            (Some(sqlite), None) => {
                let path = self.path(&sqlite.value, "`sqlite`")?;
                self.sqlite(path, sqlite.value.position)
            }
            (None, Some(postgres)) => self.postgres(postgres),
            (Some(_), Some(later)) => {
                self.error(later.position, "`storage` is `sqlite` and `postgres` at once", "keep one");
                None
            }
            (None, None) => {
                let help = "write `storage: { sqlite: ./kubereach.db }`";
                self.error(entry.position, "`storage` does not say where history goes", help);
                None
            }
        }
    }

    /// The file need not be there, but it must be possible to make it.
    fn sqlite(&mut self, path: PathBuf, place: (usize, usize)) -> Option<Storage> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let writable = |path: &Path, flags| nix::unistd::access(path, flags | nix::unistd::AccessFlags::W_OK);
        let wrong = if !folder.is_dir() {
            Some(format!("the folder of the database, {}, does not exist", folder.display()))
        } else if let Err(error) = writable(folder, nix::unistd::AccessFlags::X_OK) {
            let reason = error.desc().to_lowercase();
            Some(format!("nothing can be written into the folder of the database, {}: {reason}", folder.display()))
        } else if path.exists() && !path.is_file() {
            Some(format!("the database {} is no file", path.display()))
        } else {
            let refused = path.exists().then(|| writable(&path, nix::unistd::AccessFlags::R_OK)).and_then(Result::err);
            refused.map(|error| {
                format!("the database {} cannot be written: {}", path.display(), error.desc().to_lowercase())
            })
        };
        if let Some(message) = wrong {
            let help = "write `storage: { sqlite: /var/lib/kubereach/kubereach.db }`, in a folder that this account may write to";
            self.error(place, message, help);
            return None;
        }
        Some(Storage::Sqlite { path })
    }

    fn postgres(&mut self, entry: &Entry) -> Option<Storage> {
        let fields = self.fields(&entry.value, "`postgres`", keys::POSTGRES)?;
        let url = self.secret(&fields, "`postgres`", ["url", "urlFile", "urlEnv"]);
        let ca = fields.get("ca").and_then(|node| self.authority(node));
        let url = url?;
        let parsed = url::Url::parse(url.expose_secret()).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "postgres" | "postgresql") && url.has_host()) {
            let message = "the URL of `postgres` is no connection URL of PostgreSQL";
            let help = "it has the form `postgres://user:password@host:5432/database`; signs such as `@` in a password are written as `%40`";
            let error = self.source.error_without_snippet(entry.position, message).help(help);
            self.errors.push(error);
            return None;
        }
        Some(Storage::Postgres { url, ca })
    }

    fn authority(&mut self, node: &Node) -> Option<PathBuf> {
        let path = self.path(node, "`ca`")?;
        let wrong = match read_text(&path, "CA file", MEBIBYTE) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Some(path),
            Ok(_) => "it holds no certificate".to_owned(),
            Err(error) => error.message,
        };
        let message = format!("`ca`, the file {}: {wrong}", path.display());
        self.error(node.position, message, "give the path of a PEM file with the server's authorities");
        None
    }

    pub(super) fn web(&mut self, fields: &Fields<'_>) -> Option<Web> {
        let default = || Web { listen: LISTEN, token: None, behind_proxy: false, public_url: None };
        let Some(node) = fields.get("web") else { return Some(default()) };
        if matches!(node.kind, Kind::Scalar { plain: true, .. }) {
            return self.boolean(node, "`web`")?.then(default);
        }
        let fields = self.fields(node, "`web`", keys::WEB)?;
        let listen = fields.get("listen").and_then(|node| {
            let text = self.text(node, "`listen`")?;
            let address = text.parse::<SocketAddr>().ok();
            if address.is_none() {
                let message = format!("{} is no address to listen on", quoted(&text));
                self.error(node.position, message, "write an address with its port: `127.0.0.1:8480` or `[::1]:8480`");
            }
            address
        });
        let token = ["tokenFile", "tokenEnv"].iter().any(|key| fields.entry(key).is_some());
        let token = token.then(|| self.secret(&fields, "`web`", ["", "tokenFile", "tokenEnv"])).flatten();
        if let Some(token) = &token {
            self.check_token(&fields, token);
        }
        let behind_proxy =
            fields.get("behindProxy").and_then(|node| self.boolean(node, "`behindProxy`")).unwrap_or(false);
        let asks = ["tokenFile", "tokenEnv"].iter().any(|key| fields.entry(key).is_some()) || behind_proxy;
        if let Some(listen) = listen
            && !listen.ip().to_canonical().is_loopback()
            && !asks
        {
            let message =
                format!("`listen` is {listen}, which others can reach, and nobody would be asked who they are");
            let help = "add `tokenFile: FILE`, or `behindProxy: true` where a reverse proxy asks for credentials, or listen on `127.0.0.1:8480`";
            self.error(fields.place("listen"), message, help);
        }
        let public_url = fields.get("publicUrl").and_then(|node| {
            let help = "write `https://reach.example.com`, without credentials and query";
            Some(self.plain_url(node, "`publicUrl`", help)?.trim_end_matches('/').to_owned())
        });
        Some(Web { listen: listen.unwrap_or(LISTEN), token, behind_proxy, public_url })
    }

    /// A token travels in a header and in a cookie.
    fn check_token(&mut self, fields: &Fields<'_>, token: &SecretString) {
        let token = token.expose_secret();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/=".contains(letter);
        if token.len() < SHORTEST_TOKEN || token.len() > LONGEST_TOKEN || !token.chars().all(plain) {
            let place = if fields.entry("tokenFile").is_some() { "tokenFile" } else { "tokenEnv" };
            let message = "the token that a visitor must show is too short or holds signs that no token may hold";
            let help = format!(
                "use {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits and `-._~+/=`: `openssl rand -hex 32` makes one"
            );
            self.error(fields.place(place), message, help);
        }
    }
}

const DATABASE: &str = "kubereach.db";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8480);
const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 256;
