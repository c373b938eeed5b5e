//! `comptoir demo`.

use super::output::Output;
use crate::error::Error;
use clap::Args;

#[derive(Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self, _output: &Output) -> Result<(), Error> {
        Ok(())
    }
}
