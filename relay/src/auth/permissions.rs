//! What a token lets do with each collection's records. Must not know tokens or sessions.

use comptoir_engine::id::{Collection, NameError};
use comptoir_engine::wire::message::{Reach, Role};
use std::collections::BTreeMap;

/// The most collections that one token names.
pub const COLLECTIONS_MAX: usize = 32;
/// Stands for every collection that is not named.
const OTHERS: &str = "*";
/// What every device keeps of itself: it may write there wherever it may write at all.
const OF_DEVICES: [&str; 2] = ["_devices", "_series"];
/// What records look like.
const SCHEMAS: &str = "_schemas";

/// What may be done with a collection's records. Each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    None,
    /// See them.
    Read,
    /// Change them.
    Write,
}

impl Access {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::None, Self::Read, Self::Write];

    /// Its name in tokens and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The one with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.name() == name)
    }
}

/// Why permissions cannot be what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Not `COLLECTION=ACCESS`.
    #[error(
        "\"{given}\" is no permission: use a collection or * for all others, and none, read or write, as in sales=write"
    )]
    Form {
        /// What was given.
        given: String,
    },
    /// Not a collection's name.
    #[error(transparent)]
    Collection(#[from] NameError),
    /// Too many.
    #[error("a token names at most {COLLECTIONS_MAX} collections: use * for all others")]
    TooMany,
}

/// Access by collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    others: Access,
    collections: BTreeMap<Collection, Access>,
}

impl Permissions {
    /// Everything that the role allows.
    pub const ALL: Self = Self { others: Access::Write, collections: BTreeMap::new() };

    /// From `COLLECTION=ACCESS`, with `*` for all others, which a token that names some may only read unless it says so.
    /// Nothing named: everything.
    pub fn parse<'t>(given: impl IntoIterator<Item = &'t str>) -> Result<Self, PermissionError> {
        let pair = |given: &'t str| {
            let pair = given.split_once('=').and_then(|(name, access)| Some((name, Access::by_name(access)?)));
            pair.ok_or_else(|| PermissionError::Form { given: given.to_owned() })
        };
        let pairs = given.into_iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        Self::of(pairs)
    }

    /// From names, `*` among them, and access; as [`Permissions::parse`].
    pub fn of<'t>(pairs: impl IntoIterator<Item = (&'t str, Access)>) -> Result<Self, PermissionError> {
        let (mut others, mut collections) = (None, BTreeMap::new());
        for (name, access) in pairs {
            match name {
                OTHERS => others = Some(access),
                name => _ = collections.insert(Collection::new(name)?, access),
            }
        }
        if collections.len() > COLLECTIONS_MAX {
            return Err(PermissionError::TooMany);
        }
        let unsaid = if collections.is_empty() { Access::Write } else { Access::Read };
        Ok(Self { others: others.unwrap_or(unsaid), collections })
    }

    /// Names and access, `*` first; empty where everything is allowed.
    pub fn pairs(&self) -> Vec<(&str, Access)> {
        if *self == Self::ALL {
            return Vec::new();
        }
        let named = self.collections.iter().map(|(name, access)| (name.as_str(), *access));
        std::iter::once((OTHERS, self.others)).chain(named).collect()
    }

    /// What somebody with this role may do with the collection's records.
    pub fn of_role(&self, role: Role, collection: &Collection) -> Access {
        let role = if role >= Role::Editor { Access::Write } else { Access::Read };
        let named = self.collections.get(collection).copied();
        let granted = match named {
            Some(access) => access,
            None if OF_DEVICES.contains(&collection.as_str()) => Access::Write,
            // What records look like is told to whoever has some.
            None if collection.is_reserved() => self.others.max(Access::Read),
            None => self.others,
        };
        granted.min(role)
    }

    /// Where somebody with this role may write, where that is not everywhere.
    pub fn writable(&self, role: Role) -> Option<Reach> {
        if *self == Self::ALL || role < Role::Editor {
            return None;
        }
        let named = self.collections.keys().map(Collection::as_str).chain(OF_DEVICES);
        let writable =
            |name: &str| Some((name.to_owned(), self.of_role(role, &Collection::new(name).ok()?) == Access::Write));
        Some(Reach { others: self.others == Access::Write, named: named.filter_map(writable).collect() })
    }

    /// What may be read, where that is not everything.
    pub fn readable(&self) -> Option<Reach> {
        if self.reads_all() {
            return None;
        }
        let own = OF_DEVICES.into_iter().chain([SCHEMAS]).filter(|name| !self.names(name));
        let named = self.collections.keys().map(Collection::as_str).chain(own);
        let readable = |name: &str| {
            Some((name.to_owned(), self.of_role(Role::Reader, &Collection::new(name).ok()?) >= Access::Read))
        };
        Some(Reach { others: self.others >= Access::Read, named: named.filter_map(readable).collect() })
    }

    fn names(&self, name: &str) -> bool {
        self.collections.keys().any(|named| named.as_str() == name)
    }

    /// Whether any collection of the shop's may be read.
    pub fn reads_any(&self) -> bool {
        let named = self.collections.iter().filter(|(name, _)| !name.is_reserved());
        self.others >= Access::Read || named.into_iter().any(|(_, access)| *access >= Access::Read)
    }

    /// Something that these allow somebody of this role and those do not somebody of that one; `None`: they allow no more.
    pub fn beyond(&self, role: Role, others: &Self, their_role: Role) -> Option<String> {
        if role > their_role {
            return Some(super::role_name(role).to_owned());
        }
        // One that neither names stands for all of those.
        let named = self.collections.keys().chain(others.collections.keys()).cloned();
        let wider = |collection: &Collection| self.of_role(role, collection) > others.of_role(their_role, collection);
        let named = named.filter(wider).map(|collection| collection.to_string()).next();
        let by_role = |role| if role >= Role::Editor { Access::Write } else { Access::Read };
        let rest = self.others.min(by_role(role)) > others.others.min(by_role(their_role));
        named.or_else(|| rest.then(|| OTHERS.to_owned()))
    }

    /// Whether every collection may be read.
    pub fn reads_all(&self) -> bool {
        self.others >= Access::Read && self.collections.values().all(|access| *access >= Access::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str], role: Role, collection: &str) -> Access {
        let permissions = Permissions::parse(given.iter().copied()).expect("permissions");
        permissions.of_role(role, &Collection::new(collection).expect("a name"))
    }

    #[test]
    fn what_is_not_said_is_the_role_and_beside_a_name_it_is_reading() {
        assert_eq!(of(&[], Role::Editor, "sales"), Access::Write);
        assert_eq!(of(&[], Role::Reader, "sales"), Access::Read);
        let till = ["sales=write"];
        assert_eq!(of(&till, Role::Editor, "sales"), Access::Write);
        assert_eq!(of(&till, Role::Editor, "products"), Access::Read);
        assert_eq!(of(&till, Role::Editor, "_devices"), Access::Write, "a till writes its own name");
        assert_eq!(of(&till, Role::Editor, "_schemas"), Access::Read);
        assert_eq!(of(&till, Role::Reader, "sales"), Access::Read, "a role is never widened");
        assert_eq!(of(&["*=none", "sales=write"], Role::Editor, "products"), Access::None);
        assert_eq!(of(&["*=write", "prices=none"], Role::Admin, "prices"), Access::None);
    }

    #[test]
    fn what_is_said_comes_back_as_it_was() {
        for given in [&[][..], &["sales=write"], &["*=none", "a=read", "b=write"], &["*=read"]] {
            let permissions = Permissions::parse(given.iter().copied()).expect("permissions");
            assert_eq!(Permissions::of(permissions.pairs()), Ok(permissions.clone()), "{given:?}");
        }
        for wrong in ["sales", "sales=append", "Sales=write", "=write", ""] {
            assert!(Permissions::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
