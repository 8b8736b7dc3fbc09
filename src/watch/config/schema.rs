//! The format of a watch configuration as JSON Schema, for editors.

use serde_json::{Value, json};

use crate::input::schema::{duration, object, text};

/// The JSON Schema (2020-12) of a watch configuration.
///
/// It tells shapes; what joins two places (a receiver that must exist, a timeout longer than its interval) and what is
/// asked of the host (a folder that can be written to) only kubereach tells.
#[must_use]
pub fn schema() -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let described = |mut schema: Value, description: &str| {
        schema["description"] = json!(description);
        schema
    };
    let lasting = |description: &str| described(reference("duration"), description);
    let kept = |description: &str| described(reference("longDuration"), description);
    let names = |description: &str| described(reference("names"), description);
    let confirm = json!({
        "type": "integer", "minimum": 1, "maximum": 100,
        "description": "How many rounds in a row must agree before a cell's state changes; 3 by default",
    });
    let every = lasting("How far apart the rounds of a cell are, 1s to 168h; 30s by default");
    let jitter = lasting("By how much each round is moved either way; 2s by default, a tenth of the interval at most");
    let spread = lasting("Over how long after each time of `cron` the cells are spread; 30s by default");
    let timezone = text("Where the hours of `cron` are meant: `Europe/Berlin`; UTC by default");
    let timeout = lasting("Bound of one round of one cell; 20s by default, the interval at most");
    let connect_timeout = lasting("Bound of each connect, handshake and first answer; 3s by default");
    let configuration_every = lasting("How often the provider's configuration is read again; 5m by default");
    let mut check = object(
        json!({
            "scenario": text("The scenario file"),
            "name": {
                "type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[^/*]*$",
                "description": "Name, unique; by default the stem of the scenario's file",
            },
            "every": every.clone(),
            "jitter": jitter.clone(),
            "cron": reference("cron"),
            "timezone": timezone.clone(),
            "spread": spread.clone(),
            "timeout": timeout.clone(),
            "connectTimeout": connect_timeout.clone(),
            "confirm": confirm.clone(),
            "configurationEvery": configuration_every.clone(),
        }),
        &["scenario"],
        "A scenario file with its schedule",
    );
    check["dependentRequired"] = json!({ "timezone": ["cron"], "spread": ["cron"] });
    check["allOf"] = json!([
        { "not": { "required": ["every", "cron"] } },
        { "not": { "required": ["jitter", "cron"] } },
    ]);
    let mut storage = object(
        json!({
            "sqlite": text("A database file on this host, for one process"),
            "postgres": one_of(
                object(
                    json!({
                        "url": { "type": "string", "pattern": "^postgres(ql)?://", "description": "Connection URL" },
                        "urlFile": text("A file that holds the connection URL"),
                        "urlEnv": text("A variable of the environment that holds the connection URL"),
                        "ca": text("PEM file with the authorities of the server's certificate"),
                    }),
                    &[],
                    "A PostgreSQL server, which several processes may share",
                ),
                &["url", "urlFile", "urlEnv"],
            ),
        }),
        &[],
        "Where history goes; kubereach.db beside this file by default",
    );
    storage["minProperties"] = json!(1);
    storage["maxProperties"] = json!(1);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:kubereach:watch:v1",
        "title": "kubereach watch configuration",
        "type": "object",
        "properties": {
            "apiVersion": { "const": "kubereach/v1" },
            "watch": object(
                json!({
                    "defaults": object(
                        json!({
                            "every": every,
                            "jitter": jitter,
                            "spread": spread,
                            "timezone": timezone,
                            "timeout": timeout,
                            "connectTimeout": connect_timeout,
                            "confirm": confirm,
                            "configurationEvery": configuration_every,
                        }),
                        &[],
                        "What holds for a check that does not say otherwise",
                    ),
                    "checks": { "type": "array", "minItems": 1, "items": check, "description": "What is checked" },
                    "storage": storage,
                    "retention": object(
                        json!({
                            "rounds": kept("Single rounds; 14d by default"),
                            "rollups": kept("Hours and days; 400d by default"),
                            "events": kept("Events with what they name; 400d by default"),
                        }),
                        &[],
                        "How long history is kept",
                    ),
                    "maintenance": {
                        "type": "array",
                        "items": reference("maintenance"),
                        "description": "When nobody is to be alerted",
                    },
                    "alerts": object(
                        json!({
                            "receivers": {
                                "type": "object",
                                "minProperties": 1,
                                "additionalProperties": reference("receiver"),
                                "description": "Who can be told, by name",
                            },
                            "routes": {
                                "type": "array",
                                "minItems": 1,
                                "items": object(
                                    json!({
                                        "checks": names("Only of these checks"),
                                        "clusters": names("Only of these clusters"),
                                        "vantages": names("Only of these vantages"),
                                        "severity": {
                                            "enum": ["error", "warning", "info"],
                                            "default": "error",
                                            "description": "Only of findings at least this bad",
                                        },
                                        "inconclusive": {
                                            "type": "boolean",
                                            "default": false,
                                            "description": "Cells that stay inconclusive count, too",
                                        },
                                        "receivers": names("Names of `receivers`"),
                                        "repeat": lasting("How long after a delivery it is sent again; 4h by default"),
                                        "labels": {
                                            "type": "object",
                                            "propertyNames": { "pattern": "^(?!__)[A-Za-z_][A-Za-z0-9_]*$" },
                                            "additionalProperties": { "type": ["string", "number", "boolean"] },
                                            "description": "Labels added to every alert",
                                        },
                                    }),
                                    &["receivers"],
                                    "Who is told of what; every route that matches counts",
                                ),
                                "description": "Without it every receiver is told of every cell that fails",
                            },
                        }),
                        &["receivers"],
                        "Whom to tell",
                    ),
                    "web": web(),
                }),
                &["checks"],
                "Scheduled checks",
            ),
        },
        "required": ["apiVersion", "watch"],
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn web() -> Value {
    let mut properties = object(
        json!({
            "listen": {
                "type": "string",
                "pattern": "^[^\\s]+:[0-9]{1,5}$",
                "default": "127.0.0.1:8480",
                "description": "Address and port",
            },
            "tokenFile": text("A file that holds the token that a visitor must show"),
            "tokenEnv": text("A variable of the environment that holds it"),
            "behindProxy": { "type": "boolean", "default": false, "description": "A reverse proxy asks for credentials" },
            "publicUrl": { "type": "string", "pattern": "^https?://[^@?#\\s]+$", "description": "For links in alerts" },
        }),
        &[],
        "The web page, its JSON and /metrics",
    );
    properties["not"] = json!({ "required": ["tokenFile", "tokenEnv"] });
    json!({ "oneOf": [{ "type": "boolean", "description": "false turns it off" }, properties] })
}

fn definitions() -> Value {
    let names = json!({ "$ref": "#/$defs/names" });
    let mut maintenance = object(
        json!({
            "name": text("Why, for people"),
            "checks": names,
            "clusters": names,
            "vantages": names,
            "from": { "$ref": "#/$defs/time" },
            "until": { "$ref": "#/$defs/time" },
            "cron": { "$ref": "#/$defs/cron" },
            "lasts": { "$ref": "#/$defs/duration" },
            "timezone": text("Where the hours of `cron` are meant; UTC by default"),
        }),
        &[],
        "When nobody is to be alerted of some cells",
    );
    maintenance["oneOf"] = json!([
        { "required": ["from", "until"],
          "properties": { "cron": false, "lasts": false, "timezone": false } },
        { "required": ["cron", "lasts"], "properties": { "from": false, "until": false } },
    ]);
    let webhook = object(
        json!({
            "url": { "type": "string", "pattern": "^https?://", "description": "Where the JSON is posted to" },
            "urlFile": text("A file that holds the URL"),
            "urlEnv": text("A variable of the environment that holds the URL"),
            "secretFile": text("A file that holds the key of the signature (HMAC-SHA-256)"),
            "secretEnv": text("A variable of the environment that holds the key"),
        }),
        &[],
        "A POST of JSON, signed",
    );
    let mut webhook = one_of(webhook, &["url", "urlFile", "urlEnv"]);
    webhook["not"] = json!({ "required": ["secretFile", "secretEnv"] });
    let receiver = object(
        json!({
            "alertmanager": object(
                json!({ "urls": {
                    "type": "array",
                    "minItems": 1,
                    "items": { "type": "string", "pattern": "^https?://[^@?#\\s]+$" },
                    "description": "Base URLs of all its replicas",
                } }),
                &["urls"],
                "Prometheus' Alertmanager, API v2",
            ),
            "webhook": webhook,
            "command": {
                "type": "array",
                "minItems": 1,
                "prefixItems": [{ "type": "string", "pattern": "^/" }],
                "items": { "type": ["string", "number", "boolean"] },
                "description": "A program by its absolute path, with arguments; it gets the JSON on its standard input",
            },
            "timeout": { "$ref": "#/$defs/duration", "description": "Bound of one delivery; 10s by default" },
        }),
        &[],
        "Who can be told",
    );
    json!({
        "maintenance": maintenance,
        "receiver": one_of(receiver, &["alertmanager", "webhook", "command"]),
        "names": {
            "description": "One or more names; `*` stands for any run of characters",
            "oneOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } },
            ],
        },
        "cron": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "Five fields, minute to day of the week, or six with seconds first: `*/5 8-18 * * MON-FRI`",
        },
        "time": {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
            "description": "RFC 3339",
        },
        "duration": duration(),
        "longDuration": {
            "type": "string",
            "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "description": "14d, 12h",
        },
    })
}

/// Exactly one of these keys must be there.
fn one_of(mut schema: Value, keys: &[&str]) -> Value {
    schema["oneOf"] = keys.iter().map(|key| json!({ "required": [key] })).collect();
    schema
}
