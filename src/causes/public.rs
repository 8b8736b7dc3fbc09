//! What the causes of a public endpoint say of the list that guards it: shared by the causes of every provider.

use std::net::IpAddr;

use super::{
    CellView, Configured, Told,
    configuration::words,
    egress,
    evidence::clean,
    shown::{Shown, listed, not_what_is_seen},
};
use crate::{
    facts::Cidr,
    model::PublicPath,
    report::{Confidence, Intended, Reachability, Severity},
};

/// The list of a public endpoint, and what its provider calls things.
pub(super) struct PublicList {
    /// The setting that holds it.
    pub(super) setting: &'static str,
    /// Who reads it.
    pub(super) provider: &'static str,
    /// What a network is called.
    pub(super) network: &'static str,
    /// Its entries, as the provider prints them.
    pub(super) entries: Vec<String>,
}

impl PublicList {
    /// What is said of addresses that no entry holds, by `told`, which takes what the configuration says; `None` where
    /// something answered, which refutes a silent list.
    pub(super) fn not_listed(
        &self,
        shown: &Shown<'_>,
        in_a_network: bool,
        (unlisted, listed_too): (&[IpAddr], &[IpAddr]),
        told: impl FnOnce(String) -> Told,
    ) -> Option<Told> {
        let partly = !listed_too.is_empty();
        if matches!(shown, Shown::Answer) && !partly {
            return None;
        }
        let of = unlisted.len() + listed_too.len();
        let addresses = if of == 1 { "address" } else { "addresses" };
        let as_whom = if in_a_network {
            format!("the {addresses} by which its {} lets it out", self.network)
        } else {
            format!("its {addresses}")
        };
        let mut told = told(format!(
            "{} {} {}, {as_whom}",
            self.words(),
            if unlisted.len() == 1 { "does not contain" } else { "contains none of" },
            listed(unlisted),
        ));
        if partly {
            told = told.and(format!(
                "{} of {of} are not listed; {} is, so that some connections get in and others do not",
                unlisted.len(),
                listed(listed_too)
            ));
            told.confidence = Some(Confidence::Likely);
            if !matches!(shown, Shown::Silence(_)) {
                told = told.severity(Severity::Warning);
            }
        }
        Some(told)
    }

    /// `inconclusive-egress-address-unknown`.
    pub(super) fn egress_not_known(
        &self,
        view: &CellView<'_>,
        configured: &Configured<'_>,
        public: &PublicPath,
        shown: &Shown<'_>,
    ) -> Option<Told> {
        if *public != PublicPath::EgressNotKnown
            || view.observed == Reachability::Reachable
            || matches!(shown, Shown::Answer)
        {
            return None;
        }
        let unknown = view.observed == Reachability::Unknown;
        // Of what was seen it is one reading of several.
        let confidence = if unknown { Confidence::Certain } else { Confidence::Possible };
        let vantage = clean(view.vantage);
        let mut told = Told::new(
            confidence,
            format!("{} decides, and the address that {} sees of {vantage} is not known", self.words(), self.provider),
        );
        let standpoint = configured.standpoint;
        if standpoint.behind_proxy {
            told = told.and(format!("the proxy's own address is what {} sees", self.provider));
        } else if !standpoint.own.is_empty() {
            told = told.and(not_what_is_seen(&standpoint.own));
        }
        told.evidence.extend(egress::failures(view));
        if view.intended == Intended::Unspecified && unknown {
            told = told.severity(Severity::Info);
        }
        Some(told.setting(format!("vantages.{vantage}.egress")).fix(format!(
            "# Declare it, or let a server tell it on this very path:\n\
             # vantages: {{ {vantage}: {{ egress: {{ addresses: [<egress address>/32], echo: [\"https://<echo server>/ip\"] }} }} }}"
        )))
    }

    /// Why everybody is let in.
    pub(super) fn lets_everybody_in(&self) -> String {
        if self.entries.is_empty() {
            format!("what lets it in: {} is empty, which means everybody", self.setting)
        } else {
            format!("what lets it in: {} = {}, which means everybody", self.setting, words::listed(&self.entries))
        }
    }

    /// Why this address is let in.
    pub(super) fn lets_in(&self, egress: IpAddr, entry: &str) -> String {
        format!("what lets it in: {egress} is in the entry {} of {}", clean(entry), self.setting)
    }

    /// The entries that hold an address, then the others.
    pub(super) fn parted_by(&self, address: IpAddr) -> (Vec<String>, Vec<String>) {
        let holds = |text: &String| Cidr::parse(text).is_ok_and(|cidr| cidr.net.contains(&address));
        self.entries.iter().cloned().partition(holds)
    }

    /// `publicAccessCidrs = 203.0.113.0/24 (1 entry)`.
    fn words(&self) -> String {
        format!(
            "{} = {} ({})",
            self.setting,
            words::listed(&self.entries),
            words::counted(self.entries.len(), "entry", "entries")
        )
    }
}
