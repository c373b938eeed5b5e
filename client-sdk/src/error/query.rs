//! Codes and values of a query's errors. Must not know how they are shown.

use comptoir_engine::QueryError;

/// What the text speaks of, by name.
pub(super) fn args(error: &QueryError) -> Vec<(&'static str, String)> {
    match error {
        QueryError::Syntax { position, expected, found } => {
            vec![("position", position.to_string()), ("expected", (*expected).to_owned()), ("found", found.clone())]
        }
        QueryError::TooLarge { limit, limit_max } => {
            vec![("limit", (*limit).to_owned()), ("limit_max", limit_max.to_string())]
        }
        QueryError::BadCursor | QueryError::ForeignCursor => vec![("cause", error.to_string())],
        QueryError::Unsorted { order, records_max } => {
            vec![("order", order.clone()), ("records_max", records_max.to_string())]
        }
        QueryError::Groups { field, groups_max } => {
            vec![("field", field.clone()), ("groups_max", groups_max.to_string())]
        }
    }
}

/// A stable name.
pub(super) fn code(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax { .. } => "query-syntax",
        QueryError::TooLarge { .. } => "query-too-large",
        QueryError::BadCursor | QueryError::ForeignCursor => "cursor",
        QueryError::Unsorted { .. } => "unsorted",
        QueryError::Groups { .. } => "groups",
    }
}
