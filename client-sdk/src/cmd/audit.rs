//! `comptoir audit`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::SeriesAudit;
use serde_json::{Value as Json, json};

#[derive(Args)]
pub(super) struct Audit {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.number-field"))]
    field: String,
}

impl Audit {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let audits = shop.audit(&self.collection, &self.field).await?;
        audits.iter().for_each(|audit| say(output, audit));
        let (gaps, duplicates) = audits.iter().fold((0, 0), |(gaps, duplicates), audit| {
            (gaps + missing(audit), duplicates + audit.duplicates.len() as u64)
        });
        match gaps + duplicates {
            0 => Ok(()),
            _ => Err(Error::Audit { gaps, duplicates }),
        }
    }
}

fn missing(audit: &SeriesAudit) -> u64 {
    audit.gaps.iter().map(|(from, through)| through - from + 1).sum()
}

fn say(output: &Output, audit: &SeriesAudit) {
    output.say(|| line(audit), || object(audit));
}

fn line(audit: &SeriesAudit) -> String {
    let number = |number: &u64| format!("{}-{number:06}", audit.label);
    let gap = |(from, through): &(u64, u64)| match from == through {
        true => number(from),
        false => format!("{} … {}", number(from), number(through)),
    };
    let twice = |(twice, keys): &(u64, Vec<comptoir_engine::Key>)| {
        let keys: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        format!("{} ({})", number(twice), keys.join(", "))
    };
    let list = |all: Vec<String>| if all.is_empty() { text("said.none") } else { all.join(", ") };
    let values = [
        ("series", audit.label.clone()),
        ("numbers", audit.numbers.to_string()),
        ("last", number(&audit.last)),
        ("gaps", list(audit.gaps.iter().map(gap).collect())),
        ("duplicates", list(audit.duplicates.iter().map(twice).collect())),
    ];
    text_with("said.audit", &values)
}

fn object(audit: &SeriesAudit) -> Json {
    let gaps: Vec<_> = audit.gaps.iter().map(|(from, through)| json!({"from": from, "through": through})).collect();
    let twice = |(number, keys): &(u64, Vec<comptoir_engine::Key>)| json!({"number": number, "keys": keys.iter().map(|key| key.as_str()).collect::<Vec<_>>()});
    let duplicates: Vec<_> = audit.duplicates.iter().map(twice).collect();
    json!({"series": audit.label, "numbers": audit.numbers, "last": audit.last, "gaps": gaps, "duplicates": duplicates})
}
