//! What is wrong with a command line, in one line. Must not know the commands.

use super::listed;
use crate::text::Told;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A command line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UsageError {
    #[error("the option {what} is missing: add it, or see --help")]
    MissingArgument { what: String },
    #[error("there is no option or argument \"{what}\": see --help")]
    UnknownArgument { what: String },
    #[error("there is no command \"{what}\": see --help")]
    UnknownCommand { what: String },
    #[error("a command is missing: see --help")]
    MissingCommand,
    #[error("the option {what} is given more than once: give it once")]
    Repeated { what: String },
    #[error("the option {what} needs a value, and \"{value}\" is none it takes: see --help")]
    InvalidValue { what: String, value: String },
    #[error("the command line is not understood: see --help")]
    Other,
}

impl From<clap::Error> for UsageError {
    fn from(error: clap::Error) -> Self {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => listed(texts),
            _ => String::new(),
        };
        let what = context(ContextKind::InvalidArg);
        match error.kind() {
            ErrorKind::MissingRequiredArgument => Self::MissingArgument { what },
            ErrorKind::UnknownArgument => Self::UnknownArgument { what },
            ErrorKind::InvalidSubcommand => Self::UnknownCommand { what: context(ContextKind::InvalidSubcommand) },
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::MissingCommand,
            ErrorKind::ArgumentConflict => Self::Repeated { what },
            ErrorKind::InvalidValue
            | ErrorKind::ValueValidation
            | ErrorKind::NoEquals
            | ErrorKind::TooManyValues
            | ErrorKind::TooFewValues
            | ErrorKind::WrongNumberOfValues => Self::InvalidValue { what, value: context(ContextKind::InvalidValue) },
            _ => Self::Other,
        }
    }
}

impl Told for UsageError {
    fn code(&self) -> &'static str {
        match self {
            Self::MissingArgument { .. } => "usage_missing_argument",
            Self::UnknownArgument { .. } => "usage_unknown_argument",
            Self::UnknownCommand { .. } => "usage_unknown_command",
            Self::MissingCommand => "usage_missing_command",
            Self::Repeated { .. } => "usage_repeated",
            Self::InvalidValue { .. } => "usage_invalid_value",
            Self::Other => "usage_other",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::MissingArgument { what }
            | Self::UnknownArgument { what }
            | Self::UnknownCommand { what }
            | Self::Repeated { what } => vec![("what", what.clone())],
            Self::InvalidValue { what, value } => vec![("what", what.clone()), ("value", value.clone())],
            Self::MissingCommand | Self::Other => Vec::new(),
        }
    }
}
