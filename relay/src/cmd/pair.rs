//! `pair`: gives out a code for a new device, as text and as a picture for its camera; works beside a running relay. Must not
//! open the log.

use super::token::{TokenError, WantedArgs, auth, time};
use super::{note, say};
use crate::text::{text, text_with};
use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use std::path::PathBuf;

/// How long a code is good unless said otherwise.
const DEFAULT_GOOD_FOR: &str = "10m";

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct PairArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.url_name"), help = text("cli.pair_relay"))]
    relay: String,
    #[arg(long, value_name = text("cli.time_name"), default_value = DEFAULT_GOOD_FOR, hide_default_value = true, help = text("cli.good_for"))]
    good_for: String,
    #[arg(long, help = text("cli.json"))]
    json: bool,
    #[command(flatten)]
    wanted: WantedArgs,
}

impl PairArgs {
    pub(super) fn run(self) -> Result<(), TokenError> {
        let good_for = time(&self.good_for)?;
        let relay = self.relay.trim_end_matches('/');
        if !["ws://", "wss://"].iter().any(|scheme| relay.strip_prefix(scheme).is_some_and(is_plain)) {
            return Err(TokenError::Relay { relay: self.relay });
        }
        let request = self.wanted.request()?;
        let code = auth(&self.data)?.offer(&request, good_for)?.to_string();
        let subject = request.subject.as_ref().map(ToString::to_string).unwrap_or_default();
        note(&self.data, "code.given_out", Some(&request.workspace), None, &subject);
        let link = format!("{relay}/pair#{code}");
        let object = json!({"code": code, "link": link, "relay": relay, "good_for_s": good_for.as_secs()});
        say(self.json, &object, || {
            // A link is far shorter than the longest picture holds.
            let picture = QrCode::new(&link).map(|code| code.render::<Dense1x2>().quiet_zone(true).build());
            let values = [("code", code.clone()), ("link", link.clone()), ("good_for", self.good_for.clone())];
            format!("{}\n{}", picture.unwrap_or_default(), text_with("said.pair", &values))
        });
        Ok(())
    }
}

/// Host and port, and a path perhaps: what a link can carry, and a picture.
fn is_plain(rest: &str) -> bool {
    !rest.is_empty() && rest.len() <= 512 && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}
