//! `key`: the keys that sign tokens; works beside a running relay. Must not open the log.

use super::note;
use super::token::TokenError;
use crate::catalog::Catalog;
use crate::relay::keys_folder;
use crate::text::{text, text_with};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    #[command(about = text("cli.key_list"), help_template = text("cli.template"))]
    List(KeysArgs),
    #[command(about = text("cli.key_rotate"), help_template = text("cli.template"))]
    Rotate(KeysArgs),
    #[command(about = text("cli.key_retire"), help_template = text("cli.template"))]
    Retire(RetireArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct KeysArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct RetireArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(value_name = text("cli.key_name"), help = text("cli.key_id"))]
    key: String,
}

impl KeyCommand {
    pub(super) fn run(self) -> Result<(), TokenError> {
        match self {
            Self::List(args) => {
                let ids = Catalog::open(&keys_folder(&args.data))?.ids()?;
                ids.iter().for_each(|id| println!("{id}"));
            }
            Self::Rotate(args) => {
                let id = Catalog::open(&keys_folder(&args.data))?.rotate()?;
                note(&args.data, "key.made", None, None, &id);
                println!("{}", text_with("said.key_rotated", &[("id", id)]));
            }
            Self::Retire(args) => {
                Catalog::open(&keys_folder(&args.data))?.retire(&args.key)?;
                note(&args.data, "key.retired", None, None, &args.key);
                println!("{}", text_with("said.key_retired", &[("id", args.key)]));
            }
        }
        Ok(())
    }
}
