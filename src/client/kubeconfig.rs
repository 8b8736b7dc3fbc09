//! Kubeconfig files, merged and checked as kubectl does, every error with its file and place.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode, Kubeconfig};
use kubereach_probes::Credentials;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    ClientEnvironment, ClusterEndpoint,
    exec::{ExecCommand, Interactive, decode_data},
    parse_server_url,
    pem::{base64_certificates_pem, certificates_pem, expiry},
    proxy::proxy_for,
};
use crate::input::{
    Documents, InputError, InputErrors, Kind, Limits, MEBIBYTE, Node, Source, closest, listed, quoted, read_bytes,
    read_text, read_tree,
};

/// Which files to read and which context of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeconfigSelection {
    /// `--kubeconfig` alone, else the KUBECONFIG list, else `~/.kube/config`. A single file must exist; of several,
    /// those that do not exist are skipped unless none does.
    pub paths: Vec<PathBuf>,
    /// The context; `current-context` when `None`.
    pub context: Option<String>,
}

impl KubeconfigSelection {
    /// Chooses the files as kubectl does. Empty names in KUBECONFIG are skipped.
    #[must_use]
    pub fn choose(flag: Option<&Path>, context: Option<String>, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut paths: Vec<PathBuf> = match flag {
            Some(path) => vec![path.to_owned()],
            None => environment("KUBECONFIG")
                .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
                .unwrap_or_default(),
        };
        if paths.is_empty() {
            paths.extend(environment("HOME").map(|home| Path::new(&home).join(".kube/config")));
        }
        let mut seen = Vec::new();
        paths.retain(|path| {
            let new = !seen.contains(path);
            if new {
                seen.push(path.clone());
            }
            new
        });
        Self { paths, context }
    }
}

/// The cluster of a context, with everything that decides how kubectl would reach it.
#[derive(Clone, Debug)]
pub struct KubeCluster {
    /// Name of the cluster in the kubeconfig.
    pub name: String,
    /// Where its API server is.
    pub endpoint: ClusterEndpoint,
    /// PEM text of its certificate authorities; the system's roots when absent.
    pub ca_pem: Option<String>,
    /// Name for SNI and certificate.
    pub server_name: Option<String>,
    /// What kubeconfig and environment say beyond that.
    pub environment: ClientEnvironment,
    /// Static credentials of the user; to be sent only when asked.
    pub credentials: Option<Credentials>,
    /// The exec plugin of the user; to be run only when asked, see [`super::exec::exec_credentials`].
    pub exec: Option<ExecCommand>,
}

/// Reads and merges the files, chooses the context, checks what it names.
pub fn load(
    selection: &KubeconfigSelection,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<KubeCluster, InputErrors> {
    let files = read_files(selection, environment)?;
    let mut merged = Kubeconfig::default();
    let mut errors = Vec::new();
    for file in &files {
        match convert(file) {
            Ok(config) => {
                merged = merged.merge(config).map_err(|error| {
                    InputError::new(format!("the file does not fit the ones before it: {error}")).in_file(&file.path)
                })?;
            }
            Err(found) => errors.extend(found),
        }
    }
    if !errors.is_empty() {
        return Err(InputErrors::bounded(errors));
    }
    resolve(selection, &files, &merged, environment)
}

/// A file that was read, with its tree for positions.
struct ReadFile {
    path: PathBuf,
    text: String,
    root: Node,
}

impl ReadFile {
    fn source(&self) -> Source<'_> {
        Source::new(&self.path, &self.text)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }
}

fn read_files(
    selection: &KubeconfigSelection,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<ReadFile>, InputErrors> {
    if selection.paths.is_empty() {
        return Err(no_kubeconfig(
            InputError::new("there is no kubeconfig: neither KUBECONFIG nor HOME is set"),
            environment,
        ));
    }
    let single = selection.paths.len() == 1;
    let mut files = Vec::new();
    let mut errors = Vec::new();
    let mut missing = Vec::new();
    for path in &selection.paths {
        let not_there = std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if not_there && !path.starts_with("~") {
            missing.push(path);
            continue;
        }
        match read_one(path) {
            Ok(Some(file)) => files.push(file),
            Ok(None) if single => {
                return Err(no_kubeconfig(InputError::new("the kubeconfig is empty").in_file(path), environment));
            }
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(InputErrors(errors));
    }
    if files.is_empty() {
        let error = match missing.as_slice() {
            [path] if single => InputError::new("the kubeconfig does not exist").in_file(*path),
            [] => InputError::new("all files of KUBECONFIG are empty"),
            paths => {
                let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                InputError::new(format!(
                    "no file of KUBECONFIG holds a configuration; not there: {}",
                    listed(names.iter().map(String::as_str))
                ))
            }
        };
        return Err(no_kubeconfig(error, environment));
    }
    Ok(files)
}

/// Says what kubectl would do without a configuration, because its own words mislead.
fn no_kubeconfig(error: InputError, environment: &dyn Fn(&str) -> Option<String>) -> InputErrors {
    let help = match (environment("KUBERNETES_SERVICE_HOST"), environment("KUBERNETES_SERVICE_PORT")) {
        (Some(host), Some(port)) if !host.is_empty() => format!(
            "in this pod kubectl would use the service account; name the server: --server https://{host}:{port} --ca /var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
        ),
        _ => "kubectl would then try localhost:8080 and say that it was refused; give --kubeconfig, set KUBECONFIG, or name the server with --server".to_owned(),
    };
    error.help(help).into()
}

fn read_one(path: &Path) -> Result<Option<ReadFile>, InputError> {
    let text = read_text(path, "kubeconfig", LARGEST)?;
    let root = {
        let source = Source::new(path, &text);
        let tree = read_tree(&source, &text, LIMITS).map_err(without_snippet)?;
        tree.root
    };
    Ok(root.filter(|root| !root.is_null()).map(|root| ReadFile { path: path.to_owned(), text, root }))
}

/// A line of a kubeconfig is shown only where it is known to hold no secret.
fn without_snippet(mut error: InputError) -> InputError {
    error.text = None;
    error
}

/// The parts of a file that matter, as kube's types, with relative paths resolved against the file's folder.
fn convert(file: &ReadFile) -> Result<Kubeconfig, Vec<InputError>> {
    let mut reader = Reader { source: file.source(), errors: Vec::new() };
    let mut value = Map::new();
    if !matches!(file.root.kind, Kind::Map(_)) {
        reader.wrong(&file.root, "a kubeconfig", "a mapping with `clusters`, `contexts` and `users`");
        return Err(reader.errors);
    }
    value.extend(
        reader
            .text(&file.root, "current-context", "current-context")
            .filter(|text| text != "")
            .map(|text| ("current-context".to_owned(), text)),
    );
    for (list, item, fields) in LISTS {
        let items = reader.named_list(&file.root, list, item, fields, file.folder());
        value.insert((*list).to_owned(), Value::Array(items));
    }
    if !reader.errors.is_empty() {
        return Err(reader.errors);
    }
    serde_json::from_value(Value::Object(value)).map_err(|_| {
        // The error's own text may repeat a secret.
        vec![InputError::new("the kubeconfig does not have the shape that kubectl expects").in_file(&file.path)]
    })
}

struct Reader<'a> {
    source: Source<'a>,
    errors: Vec<InputError>,
}

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, what: &str, expected: &str) {
        let found = match &node.kind {
            Kind::Null => "nothing",
            // Never the text itself: it may be a token in the wrong place.
            Kind::Scalar { .. } => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        };
        let message = format!("{what} must be {expected}, but {found} stands here");
        self.errors.push(self.source.error_without_snippet(node.position, message));
    }

    /// The text of a key; `None` when it is absent or not text.
    fn text(&mut self, node: &Node, key: &str, what: &str) -> Option<Value> {
        let value = node.get(key)?;
        match &value.kind {
            Kind::Null => None,
            Kind::Scalar { text, .. } => Some(Value::String(text.to_string())),
            _ => {
                self.wrong(value, &format!("`{what}`"), "text");
                None
            }
        }
    }

    /// A boolean as kubectl's YAML reads it: `yes` and `on` are true there.
    fn boolean(&mut self, node: &Node, key: &str) -> Option<Value> {
        let value = node.get(key)?;
        match &value.kind {
            Kind::Null => None,
            Kind::Scalar { text, plain: true } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" => Some(Value::Bool(true)),
                "false" | "no" | "off" | "n" => Some(Value::Bool(false)),
                _ => {
                    self.wrong(value, &format!("`{key}`"), "true or false");
                    None
                }
            },
            _ => {
                self.wrong(value, &format!("`{key}`"), "true or false");
                None
            }
        }
    }

    /// A list of `{name, <item>: {…}}`.
    fn named_list(&mut self, root: &Node, list: &str, item: &str, fields: &[Field], folder: &Path) -> Vec<Value> {
        let Some(node) = root.get(list).filter(|node| !node.is_null()) else { return Vec::new() };
        let Kind::List(nodes) = &node.kind else {
            self.wrong(node, &format!("`{list}`"), "a list");
            return Vec::new();
        };
        let mut seen: Vec<(String, (usize, usize))> = Vec::new();
        let mut values = Vec::new();
        for node in nodes {
            if !matches!(node.kind, Kind::Map(_)) {
                self.wrong(node, &format!("an entry of `{list}`"), &format!("a mapping with `name` and `{item}`"));
                continue;
            }
            let Some(Value::String(name)) = self.text(node, "name", "name") else {
                let message = format!("an entry of `{list}` lacks its `name`");
                self.errors.push(self.source.error_without_snippet(node.position, message));
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name) {
                let message = format!("`{list}` holds {} twice; kubectl refuses that", quoted(&name));
                let help = format!("the first one is at line {}, column {}", first.0, first.1);
                self.errors.push(self.source.error_without_snippet(node.position, message).help(help));
                continue;
            }
            let mut body = Map::new();
            if let Some(inner) = node.get(item).filter(|inner| !inner.is_null()) {
                if matches!(inner.kind, Kind::Map(_)) {
                    self.fields(inner, fields, folder, &mut body);
                } else {
                    self.wrong(inner, &format!("`{item}` of {}", quoted(&name)), "a mapping");
                }
            }
            if item == "context" && !body.contains_key("cluster") {
                body.insert("cluster".to_owned(), Value::String(String::new()));
            }
            values.push(json!({ "name": name, item: body }));
            seen.push((name, node.position));
        }
        values
    }

    fn fields(&mut self, node: &Node, fields: &[Field], folder: &Path, body: &mut Map<String, Value>) {
        for field in fields {
            let (key, value) = match field {
                Field::Text(key) => (*key, self.text(node, key, key)),
                Field::File(key) => {
                    let value = self.text(node, key, key).map(|value| match value {
                        Value::String(path) if !path.is_empty() => {
                            Value::String(folder.join(path).to_string_lossy().into_owned())
                        }
                        other => other,
                    });
                    (*key, value)
                }
                Field::Boolean(key) => (*key, self.boolean(node, key)),
                Field::Exec => ("exec", self.exec(node, folder)),
            };
            if let Some(value) = value.filter(|value| *value != Value::String(String::new())) {
                body.insert(key.to_owned(), value);
            }
        }
    }

    fn exec(&mut self, user: &Node, folder: &Path) -> Option<Value> {
        let node = user.get("exec").filter(|node| !node.is_null())?;
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong(node, "`exec`", "a mapping");
            return None;
        }
        let mut body = Map::new();
        self.fields(
            node,
            &[Field::Text("apiVersion"), Field::Text("installHint"), Field::Boolean("provideClusterInfo")],
            folder,
            &mut body,
        );
        if let Some(Value::String(command)) = self.text(node, "command", "command") {
            // As client-go: only a path is resolved, a bare name is looked up.
            let command =
                if command.contains('/') { folder.join(&command).to_string_lossy().into_owned() } else { command };
            body.insert("command".to_owned(), Value::String(command));
        }
        if let Some(Value::String(mode)) = self.text(node, "interactiveMode", "interactiveMode")
            && ["Never", "IfAvailable", "Always"].contains(&mode.as_str())
        {
            body.insert("interactiveMode".to_owned(), Value::String(mode));
        }
        let items = |reader: &mut Self, key: &str| -> Vec<Node> {
            match node.get(key).map(|value| (&value.kind, value)) {
                None | Some((Kind::Null, _)) => Vec::new(),
                Some((Kind::List(items), _)) => items.clone(),
                Some((_, value)) => {
                    reader.wrong(value, &format!("`{key}` of `exec`"), "a list");
                    Vec::new()
                }
            }
        };
        let mut arguments = Vec::new();
        for item in items(self, "args") {
            match &item.kind {
                Kind::Scalar { text, .. } => arguments.push(Value::String(text.to_string())),
                _ => self.wrong(&item, "an argument of `exec`", "text"),
            }
        }
        body.insert("args".to_owned(), Value::Array(arguments));
        let mut variables = Vec::new();
        for item in items(self, "env") {
            match (self.text(&item, "name", "name"), self.text(&item, "value", "value")) {
                (Some(name), value) => {
                    variables
                        .push(json!({ "name": name, "value": value.unwrap_or_else(|| Value::String(String::new())) }));
                }
                _ => self.wrong(&item, "a variable of `exec`", "a mapping with `name` and `value`"),
            }
        }
        body.insert("env".to_owned(), Value::Array(variables));
        Some(Value::Object(body))
    }
}

/// A field of a kubeconfig that kubereach reads.
enum Field {
    Text(&'static str),
    File(&'static str),
    Boolean(&'static str),
    Exec,
}

fn resolve(
    selection: &KubeconfigSelection,
    files: &[ReadFile],
    merged: &Kubeconfig,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<KubeCluster, InputErrors> {
    let known: Vec<&str> = merged.contexts.iter().map(|context| context.name.as_str()).collect();
    let first = files.first().map(|file| file.path.clone()).unwrap_or_default();
    let Some(context_name) = selection.context.clone().or_else(|| merged.current_context.clone()) else {
        let help = if known.is_empty() {
            "it names no context at all; kubectl would try localhost:8080 and say that it was refused".to_owned()
        } else {
            format!(
                "kubectl would try localhost:8080 and say that it was refused; choose one with --context or `kubectl config use-context`: {}",
                listed(known)
            )
        };
        return Err(InputError::new("the kubeconfig names no current context").in_file(first).help(help).into());
    };
    let Some(context) = merged.contexts.iter().find(|context| context.name == context_name) else {
        let mut message = format!("there is no context {}", quoted(&context_name));
        if let Some(similar) = closest(&context_name, known.iter().copied()) {
            message = format!("{message}; did you mean {}?", quoted(similar));
        }
        let mut error = InputError::new(message).in_file(first).help(format!("known contexts: {}", listed(known)));
        if selection.context.is_none()
            && let Some((file, node)) =
                files.iter().find_map(|file| file.root.get("current-context").map(|node| (file, node)))
        {
            error.file = Some(file.path.clone());
            error.position = Some(node.position);
        }
        return Err(error.into());
    };
    let context_place = locate(files, "contexts", &context_name);
    let details = context.context.clone().unwrap_or_default();
    if details.cluster.is_empty() {
        return Err(at(context_place, &first, format!("the context {} names no cluster", quoted(&context_name)))
            .help("add `cluster: <name>` to it")
            .into());
    }
    let Some(cluster) = merged.clusters.iter().find(|cluster| cluster.name == details.cluster) else {
        let names: Vec<&str> = merged.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let message = format!(
            "the context {} names the cluster {}, which does not exist",
            quoted(&context_name),
            quoted(&details.cluster)
        );
        return Err(at(context_place, &first, message).help(format!("known clusters: {}", listed(names))).into());
    };
    let place = locate(files, "clusters", &cluster.name);
    let fields = cluster.cluster.clone().unwrap_or_default();
    let inner = |key: &str| place.and_then(|(file, node)| Some((file, node.get("cluster")?.get(key)?)));
    let mut errors = Vec::new();
    let name = quoted(&cluster.name);

    let endpoint = match fields.server.as_deref().filter(|server| !server.is_empty()) {
        None => {
            errors
                .push(at(place, &first, format!("the cluster {name} has no `server`")).help(
                    "kubectl would then try localhost:8080 and say that it was refused; add `server: https://…`",
                ));
            None
        }
        Some(server) => parse_server_url(server)
            .map_err(|wrong| {
                let message = format!("`server` of the cluster {name}: {}", wrong.message);
                // A query may hold a token.
                let show = if server.contains('?') { at } else { shown };
                let mut error = show(inner("server"), &first, message);
                error.help = wrong.help;
                errors.push(error);
            })
            .ok(),
    };
    let ca_pem = authority(&fields, &name, &inner, &first, &mut errors);
    if let Some(server_name) = fields.tls_server_name.as_deref()
        && rustls::pki_types::ServerName::try_from(server_name).is_err()
    {
        errors.push(shown(
            inner("tls-server-name"),
            &first,
            format!("`tls-server-name` {} is no host name", quoted(server_name)),
        ));
    }

    let user_name = details.user.clone().filter(|user| !user.is_empty());
    let user = match &user_name {
        None => None,
        Some(user) => {
            let found = merged.auth_infos.iter().find(|known| known.name == *user);
            if found.is_none() {
                let names: Vec<&str> = merged.auth_infos.iter().map(|user| user.name.as_str()).collect();
                let message = format!(
                    "the context {} names the user {}, which does not exist; kubectl refuses that",
                    quoted(&context_name),
                    quoted(user)
                );
                errors.push(at(context_place, &first, message).help(format!("known users: {}", listed(names))));
            }
            found.and_then(|found| found.auth_info.clone())
        }
    };
    let user_place = user_name.as_deref().and_then(|user| locate(files, "users", user));
    let identity = user.as_ref().map(|user| credentials(user, user_place, &first, &mut errors)).unwrap_or_default();
    let Some(endpoint) = endpoint.filter(|_| errors.is_empty()) else { return Err(InputErrors(errors)) };

    let kubeconfig = place.map_or(first, |(file, _)| file.path.clone());
    let exec = user.as_ref().and_then(|user| user.exec.as_ref()).map(|exec| {
        let file = user_place.map_or_else(|| kubeconfig.clone(), |(file, _)| file.path.clone());
        exec_command(exec, file, &fields, ca_pem.as_deref())
    });
    let described = exec.as_ref().map(|exec| exec.describe(&endpoint.host, environment));
    Ok(KubeCluster {
        name: cluster.name.clone(),
        environment: ClientEnvironment {
            kubeconfig: Some(kubeconfig),
            context: Some(context_name),
            cluster: Some(cluster.name.clone()),
            skips_tls_verification: fields.insecure_skip_tls_verify.unwrap_or(false),
            exec: described,
            client_certificate_expires: identity.expires,
            proxy: proxy_for(&endpoint.host, endpoint.port, fields.proxy_url.as_deref(), environment),
        },
        endpoint,
        ca_pem,
        server_name: fields.tls_server_name.clone().filter(|name| !name.is_empty()),
        credentials: identity.credentials,
        exec,
    })
}

type Place<'a> = Option<(&'a ReadFile, &'a Node)>;

/// The first file's entry with this name: the one that wins.
fn locate<'a>(files: &'a [ReadFile], list: &str, name: &str) -> Place<'a> {
    files.iter().find_map(|file| {
        let Kind::List(items) = &file.root.get(list)?.kind else { return None };
        let item = items.iter().find(|item| {
            matches!(item.get("name").map(|node| &node.kind), Some(Kind::Scalar { text, .. }) if &**text == name)
        })?;
        Some((file, item))
    })
}

fn at(place: Place<'_>, otherwise: &Path, message: String) -> InputError {
    match place {
        Some((file, node)) => file.source().error_without_snippet(node.position, message),
        None => InputError::new(message).in_file(otherwise),
    }
}

/// As [`at`], with the line: for fields that hold no secret.
fn shown(place: Place<'_>, otherwise: &Path, message: String) -> InputError {
    match place {
        Some((file, node)) => file.source().error(node.position, message),
        None => InputError::new(message).in_file(otherwise),
    }
}

fn authority<'a>(
    fields: &kube::config::Cluster,
    name: &str,
    inner: &dyn Fn(&str) -> Place<'a>,
    otherwise: &Path,
    errors: &mut Vec<InputError>,
) -> Option<String> {
    let renew = "fetch the kubeconfig anew from the provider";
    match (fields.certificate_authority_data.as_deref(), fields.certificate_authority.as_deref()) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            let message = format!(
                "the cluster {name} has both `certificate-authority` and `certificate-authority-data`; kubectl refuses that"
            );
            errors.push(shown(inner("certificate-authority"), otherwise, message).help("keep one of them"));
            None
        }
        (Some(data), None) => base64_certificates_pem(data)
            .map_err(|reason| {
                let message = format!("`certificate-authority-data` of the cluster {name} cannot be used: {reason}");
                errors.push(at(inner("certificate-authority-data"), otherwise, message).help(renew));
            })
            .ok(),
        (None, Some(path)) => read_bytes(Path::new(path), "CA file", MEBIBYTE)
            .map_err(|error| error.message)
            .and_then(|bytes| certificates_pem(&bytes))
            .map_err(|reason| {
                let message = format!("`certificate-authority` of the cluster {name}, the file {path}: {reason}");
                errors.push(shown(inner("certificate-authority"), otherwise, message).help(renew));
            })
            .ok(),
    }
}

#[derive(Default)]
struct Identity {
    credentials: Option<Credentials>,
    expires: Option<jiff::Timestamp>,
}

/// Static credentials in client-go's order: token, token file, client certificate, password.
fn credentials(user: &AuthInfo, place: Place<'_>, otherwise: &Path, errors: &mut Vec<InputError>) -> Identity {
    let inner = |key: &str| place.and_then(|(file, node)| Some((file, node.get("user")?.get(key)?))).or(place);
    let mut fail = |key: &str, reason: String| {
        errors.push(at(inner(key), otherwise, format!("`{key}` of the user cannot be used: {reason}")));
    };
    let mut part = |data_key: &str, data: Option<&str>, file_key: &str, file: Option<&str>| match (data, file) {
        (Some(data), _) => decode_data(data).map_err(|reason| fail(data_key, reason)).ok(),
        (None, Some(path)) => read_bytes(Path::new(path), "file", MEBIBYTE)
            .map_err(|error| fail(file_key, format!("{path}: {}", error.message)))
            .ok(),
        (None, None) => None,
    };
    let certificate = part(
        "client-certificate-data",
        user.client_certificate_data.as_deref(),
        "client-certificate",
        user.client_certificate.as_deref(),
    );
    let key = part(
        "client-key-data",
        user.client_key_data.as_ref().map(ExposeSecret::expose_secret),
        "client-key",
        user.client_key.as_deref(),
    );
    let mut expires = None;
    if let Some(certificate) = &certificate {
        match certificates_pem(certificate) {
            Ok(_) => expires = expiry(certificate),
            Err(reason) => {
                let name = if user.client_certificate_data.is_some() {
                    "client-certificate-data"
                } else {
                    "client-certificate"
                };
                fail(name, reason);
            }
        }
    }
    let token = user.token.as_ref().map(|token| token.expose_secret().to_owned());
    let token = match (token, user.token_file.as_deref()) {
        (Some(token), _) => Some(token),
        (None, Some(path)) => read_text(Path::new(path), "token file", MEBIBYTE)
            .map(|text| text.trim().to_owned())
            .map_err(|error| fail("tokenFile", format!("{path}: {}", error.message)))
            .ok(),
        (None, None) => None,
    };
    let credentials = match (token, certificate, key, &user.username) {
        (Some(token), ..) if !token.is_empty() => Some(Credentials::Bearer(token)),
        (_, Some(certificate), Some(key), _) => Some(Credentials::ClientCertificate(certificate, key)),
        (.., Some(username)) => {
            let password = user.password.as_ref().map(|password| password.expose_secret().to_owned());
            Some(Credentials::Basic(username.clone(), password.unwrap_or_default()))
        }
        _ => None,
    };
    Identity { credentials, expires }
}

fn exec_command(
    exec: &ExecConfig,
    kubeconfig: PathBuf,
    cluster: &kube::config::Cluster,
    ca_pem: Option<&str>,
) -> ExecCommand {
    let variables = exec.env.iter().flatten().filter_map(|variable| {
        Some((variable.get("name")?.clone(), variable.get("value").cloned().unwrap_or_default()))
    });
    let about = exec.provide_cluster_info.then(|| {
        use base64::Engine;
        let mut about = json!({ "server": cluster.server });
        if let Some(name) = &cluster.tls_server_name {
            about["tls-server-name"] = json!(name);
        }
        if cluster.insecure_skip_tls_verify == Some(true) {
            about["insecure-skip-tls-verify"] = json!(true);
        }
        if let Some(pem) = ca_pem {
            about["certificate-authority-data"] = json!(base64::engine::general_purpose::STANDARD.encode(pem));
        }
        if let Some(proxy) = &cluster.proxy_url {
            about["proxy-url"] = json!(proxy);
        }
        about
    });
    ExecCommand {
        command: exec.command.clone().unwrap_or_default(),
        arguments: exec.args.clone().unwrap_or_default(),
        environment: variables.collect(),
        api_version: exec.api_version.clone().unwrap_or_else(|| "client.authentication.k8s.io/v1beta1".to_owned()),
        interactive: match exec.interactive_mode {
            Some(ExecInteractiveMode::Never) => Interactive::Never,
            Some(ExecInteractiveMode::Always) => Interactive::Always,
            Some(ExecInteractiveMode::IfAvailable) | None => Interactive::IfAvailable,
        },
        install_hint: exec.install_hint.clone(),
        cluster: about,
        kubeconfig,
    }
}

const LARGEST: u64 = 4 * MEBIBYTE;
const LIMITS: Limits = Limits { nodes: 400_000, depth: 64, documents: Documents::First };

const LISTS: &[(&str, &str, &[Field])] = &[
    (
        "clusters",
        "cluster",
        &[
            Field::Text("server"),
            Field::File("certificate-authority"),
            Field::Text("certificate-authority-data"),
            Field::Text("tls-server-name"),
            Field::Text("proxy-url"),
            Field::Boolean("insecure-skip-tls-verify"),
        ],
    ),
    (
        "users",
        "user",
        &[
            Field::Text("token"),
            Field::File("tokenFile"),
            Field::Text("username"),
            Field::Text("password"),
            Field::File("client-certificate"),
            Field::Text("client-certificate-data"),
            Field::File("client-key"),
            Field::Text("client-key-data"),
            Field::Exec,
        ],
    ),
    ("contexts", "context", &[Field::Text("cluster"), Field::Text("user"), Field::Text("namespace")]),
];
