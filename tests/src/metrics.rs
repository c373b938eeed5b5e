//! A strict reader of OpenMetrics 1.0: what a Prometheus would stumble over makes it panic. Must not know which metrics
//! there are.

use crate::http;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Labels and their values, in their order.
pub type Labels = Vec<(String, String)>;

/// One page of numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// The families and their kinds.
    pub kinds: BTreeMap<String, String>,
    /// Every sample's value.
    samples: BTreeMap<(String, Labels), f64>,
}

/// Reads the numbers of the relay at this address.
pub fn read(address: SocketAddr) -> Metrics {
    let answer = http::get(address, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(kind), "{}", answer.head);
    Metrics::parse(&answer.content)
}

impl Metrics {
    /// Reads a page, strictly.
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        let (mut page, mut family, mut helped) = (Self::default(), String::new(), BTreeSet::new());
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "helped once: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a kind");
                assert!(helped.contains(name), "help comes first: {line}");
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
                assert!(page.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "a family in one piece: {line}");
                family = name.to_owned();
            } else {
                page.sample(&family, line);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, family: &str, line: &str) {
        let name_ends = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
        let (name, rest) = line.split_at(name_ends);
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("outside of its family {family}: {line}"));
        let suffixes: &[&str] = match self.kinds.get(family).map(String::as_str) {
            Some("counter") => &["_total"],
            Some("gauge") => &[""],
            Some("histogram") => &["_bucket", "_sum", "_count"],
            Some("info") => &["_info"],
            kind => panic!("a sample of {kind:?}: {line}"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (Labels::new(), rest),
        };
        let value = value.strip_prefix(' ').expect("a blank before the value");
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(number >= 0.0, "nothing here is below zero: {line}");
        assert!(self.samples.insert((name.to_owned(), labels), number).is_none(), "twice: {line}");
    }

    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let bucket = format!("{name}_bucket");
            let buckets = self.samples.iter().filter(|((sample, _), _)| *sample == bucket);
            let bound = |labels: &Labels| -> f64 {
                let (_, bound) = labels.iter().find(|(label, _)| label == "le").expect("a bound");
                bound.parse().unwrap_or(f64::INFINITY)
            };
            let mut buckets: Vec<_> = buckets.map(|((_, labels), count)| (bound(labels), *count)).collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{name}: {buckets:?}");
            let (bound, all) = buckets.last().expect("buckets");
            assert!(bound.is_infinite() && *all == self.value(&format!("{name}_count"), &[]), "{name}");
        }
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }

    /// A sample's value; 0 where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied().unwrap_or_default()
    }

    /// The sum of all samples of this name.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|((sample, _), _)| sample == name).map(|(_, value)| value).sum()
    }

    /// The values a label has in the samples of this name.
    pub fn label_values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let samples = self.samples.keys().filter(|(sample, _)| sample == name);
        let labels = samples.flat_map(|(_, labels)| labels).filter(|(known, _)| known == label);
        labels.map(|(_, value)| value.as_str()).collect()
    }
}

/// The labels in braces, and what stands behind them.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {rest}"));
        assert!(label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{label}");
        let ends = after.find('"').expect("the value's end");
        assert!(!after[..ends].contains(['\\', '\n']), "no value here needs an escape: {after}");
        labels.push((label.to_owned(), after[..ends].to_owned()));
        match after[ends + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, after[ends + 1..].strip_prefix('}').expect("the labels' end")),
        }
    }
}
