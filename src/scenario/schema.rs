//! The scenario format as JSON Schema, for editors.

use serde_json::{Value, json};

use crate::input::schema::{duration, object, text};

/// The JSON Schema (2020-12) of a scenario file.
///
/// It tells shapes; what joins two places (a `from` that must exist, a range with host bits) only kubereach tells.
#[must_use]
pub fn schema() -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let nullable = |mut schema: Value| {
        schema["type"] = json!([schema["type"], "null"]);
        schema
    };
    let named = |name: &str, description: &str| {
        json!({
            "type": "object",
            "description": description,
            "minProperties": 1,
            "additionalProperties": reference(name),
        })
    };
    let mut cluster = object(
        json!({
            "endpoint": {
                "type": "string",
                "pattern": "^[Hh][Tt][Tt][Pp][Ss]://[^@?#\\s]+$",
                "description": "Where the API server is: https://host[:port][/path]; the port defaults to 443",
            },
            "kubeconfig": object(
                json!({
                    "path": text("A kubeconfig file; relative to this file, `~/` is the home folder"),
                    "context": text("A context of it; its current one by default"),
                }),
                &[],
                "A kubeconfig that says where the API server is",
            ),
            "eks": object(
                json!({
                    "name": text("Name of the EKS cluster"),
                    "region": text("Its region"),
                    "profile": text("A profile of the AWS configuration"),
                    "endpointUrl": text("Any AWS-compatible API"),
                }),
                &["name"],
                "An Amazon EKS cluster",
            ),
            "aks": object(
                json!({
                    "subscription": text("Subscription id"),
                    "resourceGroup": text("Resource group"),
                    "name": text("Name of the AKS cluster"),
                    "endpointUrl": text("Any ARM-compatible API"),
                }),
                &["subscription", "resourceGroup", "name"],
                "An Azure AKS cluster",
            ),
            "addresses": {
                "type": "array",
                "items": reference("address"),
                "description": "Known addresses of the API server",
            },
            "ca": text("The cluster's certificate authorities: a PEM file, PEM text, or base64 of it"),
            "serverName": nullable(text("SNI and certificate name when it differs from the endpoint's host")),
            "facts": text("A folder with the provider's configuration, instead of the live API"),
            "intent": {
                "type": "object",
                "description": "The configuration that should be",
                "minProperties": 1,
                "properties": { "publicAccess": reference("access"), "privateAccess": reference("access") },
                "additionalProperties": false,
            },
        }),
        &[],
        "A cluster: where its API server is, and what is known of it",
    );
    cluster["allOf"] = json!([
        { "anyOf": [
            { "required": ["endpoint"] }, { "required": ["kubeconfig"] }, { "required": ["eks"] }, { "required": ["aks"] },
            { "required": ["facts"] },
        ] },
        { "not": { "required": ["endpoint", "kubeconfig"] } },
        { "not": { "required": ["eks", "aks"] } },
    ]);
    let mut vantage = object(
        json!({
            "local": nullable(object(
                json!({
                    "sourceIp": reference("address"),
                    "interface": { "type": "string", "minLength": 1, "maxLength": 15, "pattern": "^[^/\\s]+$" },
                    "netns": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^/\\s]+$" },
                }),
                &[],
                "This host",
            )),
            "proxy": object(
                json!({
                    "url": {
                        "type": "string",
                        "pattern": "^([Hh][Tt][Tt][Pp][Ss]?|[Ss][Oo][Cc][Kk][Ss]5[Hh]?)://",
                        "description": "http, https, socks5 (name resolved here) or socks5h (name resolved by the proxy)",
                    },
                }),
                &["url"],
                "Through a proxy",
            ),
            "model": {
                "type": "object",
                "description": "Never probed, only predicted",
                "minProperties": 1,
                "properties": { "ip": reference("address"), "instance": reference("word") },
                "additionalProperties": false,
            },
            "ssh": object(
                json!({
                    "host": {
                        "type": "string",
                        "pattern": "^(?!-)([^\\s]+@)?([^\\s:@]+|[0-9A-Fa-f:]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
                        "description": "[user@]host, or an alias of OpenSSH's configuration",
                    },
                    "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
                    "config": text("An OpenSSH client configuration instead of the user's own"),
                    "agent": reference("remotePath"),
                }),
                &["host"],
                "On another host, by OpenSSH",
            ),
            "ssm": object(
                json!({
                    "instance": {
                        "type": "string",
                        "pattern": "^m?i-[0-9A-Za-z]+$",
                        "description": "Id of an EC2 instance (i-…) or of another managed node (mi-…)",
                    },
                    "region": reference("word"),
                    "profile": reference("word"),
                    "endpointUrl": reference("word"),
                    "agent": reference("remotePath"),
                    "download": object(
                        json!({
                            "url": { "type": "string", "pattern": "^https://" },
                            "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
                        }),
                        &["url", "sha256"],
                        "Where the instance fetches an agent for one run when it has none",
                    ),
                }),
                &["instance"],
                "On an EC2 instance, by AWS Systems Manager",
            ),
            "kubernetes": object(
                json!({
                    "kubeconfig": object(
                        json!({
                            "path": text("A kubeconfig file; the user's own by default"),
                            "context": text("A context of it; its current one by default"),
                        }),
                        &[],
                        "The cluster that the pod runs in",
                    ),
                    "namespace": {
                        "type": "string",
                        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
                        "description": "Namespace of the pod; the context's by default",
                    },
                    "image": { "$ref": "#/$defs/word", "description": "An image whose entry point is the agent" },
                    "serviceAccount": reference("word"),
                    "nodeSelector": { "type": "object", "additionalProperties": { "type": "string" } },
                }),
                &["image"],
                "In a pod of a cluster",
            ),
            "agent": object(
                json!({
                    "name": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "The agent's name" },
                    "key": { "type": "string", "pattern": "^U[A-Z2-7]{55}$", "description": "The agent's public key" },
                }),
                &["name"],
                "Behind a long-lived agent",
            ),
            "resolvers": reference("resolvers"),
            "egress": object(
                json!({
                    "addresses": {
                        "type": "array",
                        "items": reference("range"),
                        "description": "The public addresses that this vantage should be seen by",
                    },
                    "echo": reference("echo"),
                }),
                &[],
                "The public address of this vantage",
            ),
        }),
        &[],
        "A place to look from",
    );
    vantage["oneOf"] = json!([
        { "required": ["local"] }, { "required": ["proxy"] }, { "required": ["model"] },
        { "required": ["ssh"] }, { "required": ["ssm"] }, { "required": ["kubernetes"] }, { "required": ["agent"] },
    ]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:kubereach:scenario:v1",
        "title": "kubereach scenario",
        "type": "object",
        "properties": {
            "apiVersion": { "const": "kubereach/v1" },
            "clusters": named("cluster", "The clusters, by name"),
            "resolvers": reference("resolvers"),
            "vantages": named("vantage", "The places to look from, by name"),
            "expect": {
                "type": "array",
                "description": "What should be",
                "items": object(
                    json!({
                        "cluster": text("A name of `clusters`"),
                        "target": {
                            "enum": ["kubernetes", "eks-api"],
                            "default": "kubernetes",
                            "description": "The cluster's own API server, or the EKS management API of its region",
                        },
                        "from": {
                            "description": "One or more names of `vantages`",
                            "oneOf": [
                                { "type": "string", "minLength": 1 },
                                { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } },
                            ],
                        },
                        "reachable": { "type": "boolean" },
                        "via": { "enum": ["public", "private"], "description": "Class of the addresses that should answer" },
                    }),
                    &["cluster", "from", "reachable"],
                    "One expectation",
                ),
            },
            "propagation": object(
                json!({
                    "window": reference("duration"),
                    "interval": reference("duration"),
                    "consecutive": { "type": "integer", "minimum": 1, "maximum": 1000 },
                }),
                &[],
                "How to wait for a change to take effect",
            ),
            "controls": {
                "type": "array",
                "description": "Targets (host:port) that show whether the prober is online; [] asks nobody",
                "items": { "type": "string", "pattern": ":[0-9]{1,5}$" },
            },
            "egress": object(
                json!({ "echo": reference("echo") }),
                &[],
                "Who tells the public address of each vantage that does not name its own",
            ),
            "nats": object(
                json!({
                    "servers": {
                        "type": "array",
                        "minItems": 1,
                        "items": { "type": "string", "pattern": "^(tls|nats)://" },
                    },
                    "ca": text("PEM file with the servers' certificate authorities"),
                    "credentials": text("The controller's credentials file (JWT and seed)"),
                    "userKey": text("File with the seed of the controller's user key"),
                    "certificate": text("PEM file with the controller's client certificate"),
                    "key": text("PEM file with its key"),
                    "signingKey": text("File with the seed that orders are signed with"),
                }),
                &["servers", "signingKey"],
                "The servers that `agent` vantages take their orders from",
            ),
            "classes": object(
                json!({
                    "private": { "type": "array", "items": reference("range") },
                    "public": { "type": "array", "items": reference("range") },
                }),
                &[],
                "Ranges whose class differs from the registries'",
            ),
        },
        "required": ["apiVersion", "clusters", "vantages"],
        "additionalProperties": false,
        "$defs": {
            "cluster": cluster,
            "vantage": vantage,
            "access": object(
                json!({
                    "enabled": { "type": "boolean", "default": true },
                    "allow": {
                        "type": "array",
                        "items": reference("range"),
                        "description": "Who should be let in; everybody when absent",
                    },
                }),
                &[],
                "One path's intended setting",
            ),
            "resolvers": {
                "type": "object",
                "description": "Resolvers by label; `system` replaces the host's own",
                "additionalProperties": {
                    "oneOf": [
                        { "type": "string", "minLength": 1 },
                        { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } },
                    ],
                },
            },
            "address": { "type": "string", "pattern": "^[0-9A-Fa-f:.]+$", "description": "An IPv4 or IPv6 address" },
            "range": {
                "type": "string",
                "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
                "description": "A range without host bits, or one address",
            },
            "echo": {
                "type": "array",
                "description": "Servers that tell by which address they are asked",
                "items": { "type": "string", "pattern": "^(https?|stun|stun-tcp)://" },
            },
            "remotePath": {
                "type": "string",
                "pattern": "^/[A-Za-z0-9/._+-]*$",
                "description": "Path of an agent there; otherwise kubereach-agent or kubereach is looked for",
            },
            "word": { "type": "string", "pattern": "^[^-\\s]\\S*$" },
            "duration": duration(),
        },
    })
}
