//! Route 53 Resolver rules and private hosted zones, as `aws route53resolver …` and `aws route53 …` print them.

use serde::Deserialize;

/// What the facts say of name resolution in VPCs. `None`: no file said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// `list-resolver-rules`.
    pub rules: Option<Vec<ResolverRule>>,
    /// `list-resolver-rule-associations`.
    pub rule_associations: Option<Vec<ResolverRuleAssociation>>,
    /// `list-hosted-zones-by-vpc`, of the VPC that was asked for.
    pub hosted_zones: Option<Vec<HostedZone>>,
}

/// A resolver rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResolverRule {
    /// `rslvr-rr-…`.
    pub id: String,
    /// The domain, with a final dot.
    pub domain_name: Option<String>,
    /// `FORWARD`, `SYSTEM`, `RECURSIVE`.
    pub rule_type: Option<String>,
    /// `COMPLETE` counts.
    pub status: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// A VPC that a resolver rule is in effect in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResolverRuleAssociation {
    /// `rslvr-rr-…`.
    pub resolver_rule_id: Option<String>,
    /// `vpc-…`.
    #[serde(rename = "VPCId")]
    pub vpc_id: Option<String>,
    /// `COMPLETE` counts.
    pub status: Option<String>,
}

/// A private hosted zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostedZone {
    /// `Z…`.
    pub hosted_zone_id: String,
    /// The domain, with a final dot.
    pub name: Option<String>,
    /// Who made it.
    pub owner: Option<HostedZoneOwner>,
}

/// Who made a hosted zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostedZoneOwner {
    /// An account.
    pub owning_account: Option<String>,
    /// A service, such as `eks.amazonaws.com`.
    pub owning_service: Option<String>,
}
